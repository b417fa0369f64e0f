"""A bus on each side, and a relay."""

import threading
from time import monotonic

from bench.relay_ways.common import PATIENCE, Task, payload, ready
from brummerbus import Event, EventBus
from brummerbus.relay import Relay


def send(task: Task) -> float:
    """Publish all, and wait until they are acknowledged; return when the first was published."""
    with (
        EventBus(policy="block", queue_size=1000) as bus,
        Relay(bus, task.url, send=["bench.*"], namespace=task.run) as relay,
    ):
        ready()
        began = monotonic()
        for number in range(task.events):
            bus.publish(Event("bench.event", payload(number)))
        bus.flush()
        relay.stop(timeout=PATIENCE)
    return began


def receive(task: Task) -> float:
    """Handle all; return when the last was handled."""
    done = threading.Event()
    left = task.events

    def handle(event: Event) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    with EventBus(workers=1, queue_size=1000) as bus:
        bus.subscribe("bench.*", handle)
        with Relay(bus, task.url, receive=["bench.*"], namespace=task.run):
            ready()
            done.wait(PATIENCE)
            return monotonic()
