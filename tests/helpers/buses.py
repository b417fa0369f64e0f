"""Buses that are stopped at the end of a test, and what tests often do with a bus."""

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from brummerbus import BusClosed, Event, EventBus, EventBusConfig, QueueFull
from helpers.checks import assert_at_rest
from helpers.handlers import Gate
from helpers.waiting import HANG

HOOKS = (
    "name",
    "on_error",
    "on_drop",
    "on_unrouted",
    "on_worker_start",
    "on_worker_stop",
)
"""Arguments of a bus that are no settings."""


class BusFactory:
    """Creates buses and gates, and stops and opens them at the end."""

    def __init__(self) -> None:
        self._buses: list[EventBus] = []
        self._gates: list[Gate] = []

    def bus(self, **settings: Any) -> EventBus:
        """Create a bus; by default a small one that never waits."""
        hooks = {key: settings.pop(key) for key in HOOKS if key in settings}
        small = {"workers": 1, "queue_size": 10, "publish_timeout": 0}
        bus = EventBus(EventBusConfig(**{**small, **settings}), **hooks)
        self._buses.append(bus)
        return bus

    def gate(self) -> Gate:
        """Create a gate that is opened at the end of the test."""
        gate = Gate()
        self._gates.append(gate)
        return gate

    def hold(self, bus: EventBus) -> Gate:
        """Block every worker in a handler of the type `gate`, so that nothing leaves the queue."""
        gate = self.gate()
        with bus.subscribe("gate", gate):
            for _ in range(bus.workers):
                assert bus.publish(Event("gate"), timeout=HANG)
                gate.wait_entered()
        return gate

    def end(self) -> None:
        """Open the gates and stop the buses."""
        for gate in self._gates:
            gate.open()
        for bus in self._buses:
            bus.stop(drain=False)


def offer(bus: EventBus, event: Any) -> None:
    """Publish without waiting, and ignore whether the event was accepted."""
    with contextlib.suppress(QueueFull):
        bus.publish(event, timeout=0)


def fill(bus: EventBus, count: int, event_type: str = "a") -> None:
    """Publish that many events, which must all be accepted."""
    for number in range(count):
        assert bus.publish(Event(event_type, number))


def accepts(bus: EventBus) -> bool:
    """Return whether the bus is open."""
    try:
        return bus.publish(Event("nobody"))
    except BusClosed:
        return False


def inside(bus: EventBus, call: Callable[[], Any]) -> Any:
    """Make a call in a handler of a bus, and return or raise its outcome."""
    outcome: list[Any] = []
    done = threading.Event()

    def handler(event: Event) -> None:
        try:
            outcome.append(call())
        except Exception as error:  # noqa: BLE001, RUF100
            outcome.append(error)
        done.set()

    with bus.subscribe("inside", handler):
        assert bus.publish(Event("inside"))
        assert done.wait(HANG)
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


class Turnstile:
    """Blocks the only worker of a bus in a handler, repeatedly."""

    def __init__(self, bus: EventBus, gate: Gate) -> None:
        self._bus = bus
        self._gate = gate
        self._held = False
        bus.subscribe("hold", gate)

    def hold(self, filled: int = 0) -> None:
        """Block the worker, and put that many deliveries into the queue, which was empty."""
        assert self._bus.flush(HANG)
        assert self._bus.publish(Event("hold"), timeout=HANG)
        self._gate.wait_entered()
        self._held = True
        for _ in range(filled):
            assert self._bus.publish(Event("fill"))
        assert self._bus.depth == filled

    def let_go(self) -> None:
        """Let the worker continue."""
        if self._held:
            self._held = False
            self._gate.let_through()

    def assert_whole(self) -> None:
        """Check that no slot was lost: the queue fills to its capacity, and then drains."""
        room = self._bus.config.queue_size
        for _ in range(room + 2):
            offer(self._bus, Event("fill"))
        assert self._bus.depth == room
        self.let_go()
        assert_at_rest(self._bus)
