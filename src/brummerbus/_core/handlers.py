"""Checks of handlers, event types and published objects."""

from types import FunctionType, MethodType, ModuleType
from typing import Any

from brummerbus._arguments import shown
from brummerbus._core.callables import check_parameters, check_works, holds, layers

_EVENT = ("event",)

_NEVER_PUBLISHED = (str, type, ModuleType)


def check_event_type(event_type: Any) -> str | type:
    """Return the event type of a subscription: a non-empty plain string, or a class.

    Raises:
        TypeError: It is neither, or a class for which `issubclass` raises, or of which nothing can
            be published.
        ValueError: It is empty.
    """
    if event_type is Any:  # since Python 3.11 a class, of which nothing is an instance
        raise TypeError(
            "event_type must be a string, a glob or a class, got Any; did you mean object?"
        )
    if isinstance(event_type, type):
        try:
            issubclass(object, event_type)
            cannot_be_published = issubclass(event_type, _NEVER_PUBLISHED)
        except Exception as error:  # such as a plain `Protocol`; matching would always fail
            raise TypeError(f"event_type {shown(event_type)} does not support issubclass: {error}")
        if cannot_be_published:
            raise TypeError(
                f"event_type {shown(event_type)} would receive nothing: strings, classes and "
                "modules cannot be published; did you mean the event type as a string?"
            )
        return event_type
    if not isinstance(event_type, str):
        hint = ""
        if callable(event_type):
            hint = (
                "; did you mean bus.on('event.type') above it, or subscribe(event_type, handler)?"
            )
        raise TypeError(
            f"event_type must be a string, a glob or a class, got {shown(event_type)}{hint}"
        )
    if not event_type:
        raise ValueError("event_type must be a non-empty string or a class, got ''")
    return str.__str__(event_type)  # for a subclass of str, as `Event` does


def check_event_types(method: str, event_types: tuple[str | type, ...]) -> list[str | type]:
    """Return the event types that a method was given, each checked; there must be one."""
    if not event_types:
        raise TypeError(f"{method}() needs at least one event type")
    return [check_event_type(event_type) for event_type in event_types]


def check_handler(handler: Any, *, in_loop: bool = False) -> None:
    """Raise `TypeError` unless the handler is a callable that does its work when called.

    With `in_loop`: unless it is a coroutine function.
    """
    if not callable(handler):
        raise TypeError(f"handler must be callable, got {shown(handler)}")
    found = layers(handler)
    if not in_loop:
        check_works("handler", handler, found, ": subscribe(..., loop=loop) does")
    elif not any(holds("iscoroutinefunction", function) for function in found):
        raise TypeError(f"with loop, handler must be a coroutine function, got {shown(handler)}")
    check_parameters("handler", handler, _EVENT)


def check_published(event: Any) -> None:
    """Raise `TypeError` for objects whose publishing can only be a mistake."""
    cls = type(event)  # `__class__` can be overridden
    if issubclass(cls, str):
        meant = f"Event({shown(event)})"
    elif issubclass(cls, type):
        meant = f"an object of {event.__qualname__}"
    elif issubclass(cls, ModuleType):
        meant = f"one of the objects in {event.__name__}"
    else:
        return
    raise TypeError(f"publish() takes an event, got {shown(event)}; did you mean {meant}?")


def is_python_function(handler: Any) -> bool:
    """Return whether calling it runs bytecode, which lets the interpreter switch threads."""
    function = handler.__func__ if isinstance(handler, MethodType) else handler
    return isinstance(function, FunctionType)
