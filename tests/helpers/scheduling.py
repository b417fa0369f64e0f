"""Scheduled events: what their tests share."""

from typing import Any

from brummerbus import Event, EventBus
from helpers.buses import BusFactory
from helpers.handlers import Gate, Recorder


def full_bus(factory: BusFactory, policy: str, **settings: Any) -> tuple[EventBus, Gate, Recorder]:
    """Make a bus whose one worker is held and whose one place is taken."""
    bus, seen = factory.bus(queue_size=1, policy=policy, **settings), Recorder()
    gate = factory.hold(bus)
    bus.subscribe("a", seen)
    assert bus.publish(Event("a", "first"))
    return bus, gate, seen
