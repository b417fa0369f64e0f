"""brummerbus: an in-process event bus, bounded, prioritised and measured.

Any thread publishes an event and continues; a static pool of OS threads runs the handlers.

    from brummerbus import Event, EventBus

    with EventBus() as bus:

        @bus.on("log.line")
        def show(event):
            print(event.data)

        bus.publish(Event("log.line", "hello"))
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from brummerbus._errors import BusClosed, BusError, QueueFull, Retry
from brummerbus._events import Event, EventType, Priority
from brummerbus._policies import BackpressurePolicy, DropReason

if TYPE_CHECKING:
    from brummerbus import sizing
    from brummerbus._bus import EventBus
    from brummerbus._config import EventBusConfig
    from brummerbus._core.outcome import Outcome
    from brummerbus._core.scheduled import Scheduled
    from brummerbus._core.streams import Stream
    from brummerbus._core.subscriptions import Subscription
    from brummerbus._core.taps import Listener
    from brummerbus._stats import BusStats
    from brummerbus.sizing._advice import Advice

    __version__: str

__all__ = [
    "Advice",
    "BackpressurePolicy",
    "BusClosed",
    "BusError",
    "BusStats",
    "DropReason",
    "Event",
    "EventBus",
    "EventBusConfig",
    "EventType",
    "Listener",
    "Outcome",
    "Priority",
    "QueueFull",
    "Retry",
    "Scheduled",
    "Stream",
    "Subscription",
    "sizing",
]

_ON_FIRST_USE = {
    "Advice": "brummerbus.sizing._advice",
    "BusStats": "brummerbus._stats",
    "EventBus": "brummerbus._bus",
    "EventBusConfig": "brummerbus._config",
    "Listener": "brummerbus._core.taps",
    "Outcome": "brummerbus._core.outcome",
    "Scheduled": "brummerbus._core.scheduled",
    "Stream": "brummerbus._core.streams",
    "Subscription": "brummerbus._core.subscriptions",
}
"""Where the names are that need the core or take milliseconds. A module that defines events, hooks
or handlers does without most of them."""

# The public module appears in reprs, tracebacks, pickles and `help`. Those above have it too.
for _name in __all__:
    if _name in globals():
        globals()[_name].__module__ = __name__


def __getattr__(name: str) -> Any:
    """Import a public name on its first use."""
    value: Any
    if name in _ON_FIRST_USE:
        value = getattr(import_module(_ON_FIRST_USE[name]), name)
    elif name == "sizing":
        value = import_module("brummerbus.sizing")
    elif name == "__version__":
        value = import_module("importlib.metadata").version("brummerbus")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names only."""
    return [*__all__, "__version__"]
