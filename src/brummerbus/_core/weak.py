"""Handlers that do not keep their objects alive, and which handlers are the same."""

import weakref
from collections.abc import Callable
from types import BuiltinMethodType, MethodType, MethodWrapperType
from typing import Any

from brummerbus._arguments import shown

_METHODS = (MethodType, BuiltinMethodType, MethodWrapperType)
"""Created again each time that they are asked for, and compared by their objects' identities."""


def check_weak(handler: Any) -> MethodType:
    """Return a handler that is a bound method of an object that can be referred to weakly.

    Raises:
        TypeError: It is not.
    """
    if not isinstance(handler, MethodType):
        raise TypeError(
            f"weak=True needs a bound method, such as object.method, got {shown(handler)}: nothing "
            "would keep another handler alive"
        )
    try:
        weakref.ref(handler.__self__)
    except TypeError:
        name = type(handler.__self__).__qualname__
        raise TypeError(
            f"weak=True needs an object that can be referred to weakly, got {shown(handler)}: "
            f"{name} has __slots__ without '__weakref__'"
        ) from None
    return handler


class WeakHandler:
    """What is called in place of a bound method, whose object it does not keep alive."""

    __slots__ = ("_ended", "_function", "_object")

    def __init__(self, method: MethodType, ended: Callable[[], object]) -> None:
        """`ended` is called when the object is gone, perhaps more than once."""
        self._function = method.__func__
        self._ended = ended
        self._object = weakref.ref(method.__self__, lambda _: ended())

    def __call__(self, argument: Any) -> Any:
        """Call the method; do nothing once the object is gone."""
        method = self.method()
        if method is None:
            self._ended()
            return None
        return method(argument)

    def method(self) -> MethodType | None:
        """Return the method, or None once the object is gone."""
        owner = self._object()
        return None if owner is None else MethodType(self._function, owner)

    def __repr__(self) -> str:
        return f"<weak {self.method()!r}>"


def is_same(handler: object, given: object) -> bool:
    """Return whether a subscription's handler is the given one, or the same method."""
    if isinstance(handler, WeakHandler):
        handler = handler.method()
    if handler is given:
        return True
    return type(handler) is type(given) and isinstance(given, _METHODS) and handler == given
