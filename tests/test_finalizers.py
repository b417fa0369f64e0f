"""What a handler's own finalizer may do: it runs in the worker that dropped the last reference."""

import weakref
from collections.abc import Callable
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, BusError, Event, EventBus
from helpers.buses import BusFactory
from helpers.internals import forget_routes
from helpers.interpreter import needs_immediate_release
from helpers.processes import run_python
from helpers.waiting import HANG, poll


def handler_that_ends(bus: EventBus, finalizer: Callable[[], Any], outcome: list[Any]) -> None:
    """Subscribe a handler to "last" that is released after its first event, with a finalizer."""

    class Handler:
        def __call__(self, event: Event) -> None:
            subscriptions.pop().cancel()
            forget_routes(bus)

    def end() -> None:
        try:
            outcome.append(finalizer())
        except BusError as error:
            outcome.append(error)

    handler = Handler()
    weakref.finalize(handler, end).atexit = False
    subscriptions = [bus.subscribe("last", handler)]


@pytest.mark.parametrize("reserve", [0, 8])
def test_a_handlers_finalizer_that_publishes_into_its_full_queue_does_not_wait_for_itself(
    factory: BusFactory, reserve: int
) -> None:
    """It counts as inside a handler: it uses the reserve, or is refused; `BLOCK` would wait."""
    bus = factory.bus(queue_size=2, policy=BackpressurePolicy.BLOCK, handler_reserve=reserve)
    outcome: list[Any] = []
    handled: list[Any] = []
    bus.subscribe("a", lambda event: handled.append(event.data))
    gate = factory.hold(bus)
    handler_that_ends(bus, lambda: bus.publish(Event("a", "finalizer")), outcome)
    bus.publish(Event("last"), priority=3)
    bus.publish(Event("a", 1))
    gate.open()
    for number in (2, 3):
        bus.publish(Event("a", number), timeout=HANG)
    poll(lambda: bool(outcome))
    assert bus.flush(HANG)
    assert [n for n in handled if n != "finalizer"] == [1, 2, 3]
    assert len(handled) == 3 + (outcome[0] is True)


@needs_immediate_release
@pytest.mark.parametrize("call", ["flush", "stop"])
def test_a_handlers_finalizer_that_waits_for_the_bus_does_not_hang(
    factory: BusFactory, call: str
) -> None:
    """As from a handler: `flush` is refused, `stop` only begins."""
    bus = factory.bus()
    outcome: list[Any] = []
    gate = factory.hold(bus)
    handler_that_ends(bus, getattr(bus, call), outcome)
    bus.subscribe("a", lambda event: None)
    bus.publish(Event("last"))
    bus.publish(Event("a"))
    gate.open()
    poll(lambda: bool(outcome))
    assert bus.flush(HANG)
    assert isinstance(outcome[0], BusError) if call == "flush" else outcome == [False]
    assert bus.stats().processed == 3


@needs_immediate_release
def test_a_finalizer_in_a_worker_that_leaves_does_no_harm() -> None:
    """The worker has left the queue; it may wait for another bus."""
    end = run_python(
        """
        other = bus_of(queue_size=1, policy=BackpressurePolicy.BLOCK, shutdown_timeout=0.1)
        gate = Gate()
        other.subscribe("x", gate)
        other.publish(Event("x"))
        gate.entered.acquire()
        other.publish(Event("x"))
        bus = bus_of(workers=2)
        done = threading.Event()
        class Handler:
            def __call__(self, event):
                subscriptions.pop().cancel()
                forget_routes(bus)
                bus.resize(1)
            def __del__(self):
                try:
                    other.publish(Event("x"), timeout=0.2)
                except QueueFull:
                    say("full")
                done.set()
        subscriptions = [bus.subscribe("a", Handler())]
        bus.publish(Event("a"))
        done.wait(60)
        gate.opened.set()
        say(bus.stop(), other.stop())
        """
    )
    assert (end.code, end.err, end.lines[-1]) == (0, "", "True True")
