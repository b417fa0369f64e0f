"""Checks of handlers, event types and published objects."""

import functools
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from brummerbus._arguments import shown
from brummerbus._core import deferred

_LAZY = (
    ("iscoroutinefunction", "a coroutine function"),
    ("isasyncgenfunction", "an async generator function"),
    ("isgeneratorfunction", "a generator function"),
)


def check_event_type(event_type: Any) -> str | type:
    """Return the event type of a subscription: a non-empty plain string, or a class.

    Raises:
        TypeError: It is neither, or a class for which `issubclass` raises.
        ValueError: It is empty.
    """
    if isinstance(event_type, type):
        try:
            issubclass(object, event_type)
        except Exception as error:  # such as a plain `Protocol`; matching would always fail
            raise TypeError(f"event_type {shown(event_type)} does not support issubclass: {error}")
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


def check_handler(handler: Any, *, in_loop: bool = False) -> None:
    """Raise `TypeError` unless the handler is a callable that does its work when called.

    With `in_loop`: unless it is a coroutine function.
    """
    if not callable(handler):
        raise TypeError(f"handler must be callable, got {shown(handler)}")
    layers = _layers(handler)
    if in_loop:
        if not any(_holds("iscoroutinefunction", function) for function in layers):
            raise TypeError(
                f"with loop, handler must be a coroutine function, got {shown(handler)}"
            )
        _check_parameters(handler)
        return
    for function in layers:
        for test, what in _LAZY:
            if _holds(test, function):
                raise TypeError(
                    f"handler must do its work when called, got {shown(handler)}: calling {what} "
                    "only returns an object, which the bus does not await or iterate over"
                    + (": subscribe(..., loop=loop) does" if "coroutine" in what else "")
                )
    _check_parameters(handler)


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


def _layers(handler: Any) -> list[Any]:
    """Return a handler and the functions in it: of partials, decorators, methods, dispatchers."""
    found: list[Any] = []
    todo = [handler]
    while todo and len(found) < 50:
        function = todo.pop()
        found.append(function)
        if isinstance(function, (functools.partial, MethodType)):
            todo.append(_attribute(function, "func") or _attribute(function, "__func__"))
        elif isinstance(function, FunctionType):
            todo.extend(function.__dict__[n] for n in ("__wrapped__",) if n in function.__dict__)
            registry = function.__dict__.get("registry")  # of functools.singledispatch
            if registry is not None and "dispatch" in function.__dict__:
                todo.extend(dict(registry).values())
        elif not isinstance(function, (type, BuiltinFunctionType)):
            call = _attribute(type(function), "__call__")
            if isinstance(call, FunctionType):
                todo.append(call)
    return found


def _holds(test: str, function: Any) -> bool:
    """Return whether a test of `inspect` holds; False if it raises."""
    try:
        return bool(getattr(deferred.inspect, test)(function))
    except Exception:
        return False


def _attribute(owner: object, name: str) -> Any:
    """Return an attribute; None if there is none or access raises."""
    try:
        return getattr(owner, name, None)
    except Exception:
        return None


def _check_parameters(handler: Any) -> None:
    """Raise `TypeError` if the handler cannot be called with one argument."""
    code = _attribute(handler, "__code__") if isinstance(handler, FunctionType) else None
    if isinstance(code, CodeType) and code.co_argcount == 1 and not code.co_kwonlyargcount:
        return  # the usual case, detected in a tenth of the time
    try:
        # Of the outermost function: a decorator may pass more arguments to what it decorates.
        signature = deferred.inspect.signature(handler, follow_wrapped=False)
    except Exception:  # a builtin without a signature, or an invalid one
        return
    try:
        signature.bind(object())
    except TypeError as error:
        parameters = list(signature.parameters)
        hint = ""
        if parameters[:1] == ["self"] and isinstance(handler, FunctionType):
            hint = "; subscribe a method through its object, as object.method"
        raise TypeError(
            f"handler must take one argument, the event, got {shown(handler)} with the signature "
            f"{signature} ({error}){hint}"
        ) from None


def is_python_function(handler: Any) -> bool:
    """Return whether calling it runs bytecode, which lets the interpreter switch threads."""
    function = handler.__func__ if isinstance(handler, MethodType) else handler
    return isinstance(function, FunctionType)
