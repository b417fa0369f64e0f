"""Types of public signatures: how handlers are checked against classes, and lazily imported names.

The rules for handlers are for type checkers only, and cost nothing at run time. They are in one
place because `EventBus.subscribe` and `EventBus.on` use them several times.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["Advice", "BusStats", "ConfigOverrides", "EventBusConfig", "Unpack"]

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from typing import ParamSpec, Protocol, TypedDict, TypeVar, overload

    from typing_extensions import Unpack

    from brummerbus._config import ConfigOverrides, EventBusConfig
    from brummerbus._events import Event
    from brummerbus._stats import BusStats
    from brummerbus.sizing._advice import Advice

    EventHandler = TypeVar("EventHandler", bound=Callable[[Event], object])

    T = TypeVar("T")
    # For the second to fifth class given to `on`. Checkers omit those that are not given from the
    # union, so no overload is needed for each number of classes.
    T2 = TypeVar("T2")
    T3 = TypeVar("T3")
    T4 = TypeVar("T4")
    T5 = TypeVar("T5")

    P = ParamSpec("P")
    R = TypeVar("R")
    R_co = TypeVar("R_co", covariant=True)
    T_co = TypeVar("T_co", covariant=True)
    T_contra = TypeVar("T_contra", contravariant=True)

    class NoClass(type):
        """The metaclass of no class, used where mypy accepts an abstract class only in a union.

        `type[T]` alone would reject abstract classes, which can be subscribed to like any other.
        """

    class HandlerOf(Protocol[T_contra, P, R_co]):  # pyright: ignore[reportInvalidTypeVarUse]
        """A handler that can be called with a `T`, whose parameters are `P` and result `R`.

        It has to match both signatures. So the first checks it and the second captures it whole,
        which neither a bound (it cannot contain `T`) nor `Callable[[T], R]` could do: that loses
        the names, the defaults and the wider type of its parameters.
        """

        @overload
        def __call__(self, event: T_contra, /) -> object: ...
        @overload
        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    class SubscribeOptions(TypedDict, total=False):
        """Options of `subscribe` that say nothing of the type of an event."""

        once: bool
        max_concurrency: int | None
        retries: int
        backoff: float
        weak: bool
        loop: Any
        concurrency: int | None

    class EventOptions(SubscribeOptions, total=False):
        """Those of handlers that take one event."""

        key: Callable[[Any], Hashable] | str | None

    class BatchOptions(EventOptions, total=False):
        """Those of handlers that take a list of events, beside `batch`."""

        batch_wait: float

    class Decorator(Protocol[T_co]):
        """The result of `on`: accepts a handler that can be called with a `T`, and returns it."""

        def __call__(self, handler: HandlerOf[T_co, P, R], /) -> Callable[P, R]: ...

elif sys.version_info >= (3, 11):
    from typing import Unpack
else:

    class Unpack:
        """Missing in Python 3.10: there the annotation is the `TypedDict` itself."""

        def __class_getitem__(cls, fields: Any) -> Any:
            """Return the fields."""
            return fields


_ON_FIRST_USE = {
    "Advice": "brummerbus.sizing._advice",
    "BusStats": "brummerbus._stats",
    "ConfigOverrides": "brummerbus._config",
    "EventBusConfig": "brummerbus._config",
}


def __getattr__(name: str) -> Any:
    """Import on first use what takes milliseconds and no signature needs before.

    `typing.get_type_hints` evaluates `_typing.BusStats`, and so finds it.
    """
    if name in _ON_FIRST_USE:
        return getattr(import_module(_ON_FIRST_USE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
