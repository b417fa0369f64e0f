"""brummerbus: an in-process event bus, bounded, prioritised and measured.

Any thread publishes an event and continues; a static pool of OS threads runs the handlers.

    from brummerbus import Event, EventBus

    with EventBus() as bus:

        @bus.on("log.line")
        def show(event):
            print(event.data)

        bus.publish(Event("log.line", "hello"))
"""

from typing import TYPE_CHECKING, Any

from brummerbus import _typing, sizing
from brummerbus._bus import EventBus
from brummerbus._config import EventBusConfig
from brummerbus._core.outcome import Outcome
from brummerbus._core.scheduled import Scheduled
from brummerbus._core.streams import Stream
from brummerbus._core.subscriptions import Subscription
from brummerbus._core.taps import Listener
from brummerbus._errors import BusClosed, BusError, QueueFull, Retry
from brummerbus._events import Event, EventType, Priority
from brummerbus._policies import BackpressurePolicy, DropReason

if TYPE_CHECKING:
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

# The public module appears in reprs, tracebacks, pickles and `help`.
for _public in (
    BackpressurePolicy,
    BusClosed,
    BusError,
    DropReason,
    EventBus,
    EventBusConfig,
    EventType,
    Listener,
    Outcome,
    Priority,
    QueueFull,
    Retry,
    Scheduled,
    Stream,
    Subscription,
):
    _public.__module__ = __name__


def __getattr__(name: str) -> Any:
    """Import on first use what takes milliseconds and few programs need."""
    value: Any
    if name in {"Advice", "BusStats"}:
        value = getattr(_typing, name)
    elif name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415

        value = version("brummerbus")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names only."""
    return [*__all__, "__version__"]
