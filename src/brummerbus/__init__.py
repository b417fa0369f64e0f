"""brummerbus: an in-process event bus, bounded, prioritised and measured.

Any thread publishes an event and goes on; a static pool of OS threads runs the handlers.

    from brummerbus import Event, EventBus

    with EventBus() as bus:

        @bus.on("log.line")
        def show(event):
            print(event.data)

        bus.publish(Event("log.line", "hello"))
"""

from brummerbus import sizing
from brummerbus._core.subscriptions import Subscription
from brummerbus.advice import Advice
from brummerbus.backpressure import BackpressurePolicy, DropReason
from brummerbus.bus import EventBus
from brummerbus.config import EventBusConfig
from brummerbus.errors import BusClosed, BusError, QueueFull
from brummerbus.events import Event, EventType, Priority
from brummerbus.metrics import BusStats

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
    "Priority",
    "QueueFull",
    "Subscription",
    "sizing",
]
