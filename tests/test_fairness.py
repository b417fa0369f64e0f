"""Publishers that do not wait, beside those that do; and what a full queue costs them."""

import gc
import threading
import tracemalloc
from contextlib import suppress

import pytest

from brummerbus import BackpressurePolicy, Event, EventBus, QueueFull
from helpers.buses import BusFactory
from helpers.handlers import Gate
from helpers.interpreter import needs_immediate_release
from helpers.threads import InThread, run_together
from helpers.waiting import HANG


def full(factory: BusFactory, size: int, policy: BackpressurePolicy) -> tuple[EventBus, Gate]:
    """Return a bus whose worker is blocked and whose queue is full."""
    bus = factory.bus(queue_size=size, policy=policy)
    gate = factory.hold(bus)
    bus.subscribe("a", gate)
    for _ in range(size):
        assert bus.publish(Event("a"))
    return bus, gate


def test_a_publisher_that_does_not_wait_leaves_room_to_those_that_do(factory: BusFactory) -> None:
    """An event with many deliveries would never get enough free slots."""
    bus, gate = full(factory, 3, BackpressurePolicy.BLOCK)
    for _ in range(3):
        bus.subscribe("wide", lambda event: None)
    wide = InThread(lambda: bus.publish(Event("wide")))
    wide.await_waiter(bus)
    gate.let_through()
    gate.wait_entered()
    assert bus.depth == 2
    with pytest.raises(QueueFull):
        bus.publish(Event("a"), timeout=0)
    gate.open()
    assert wide.result() is True


@pytest.mark.parametrize("policy", BackpressurePolicy)
def test_a_full_queue_costs_no_more_memory_the_longer_it_is(
    factory: BusFactory, policy: BackpressurePolicy
) -> None:
    """For an event, at most as many deliveries are lost as it has itself."""
    bus, _gate = full(factory, 50_000, policy)
    bus.subscribe("b", lambda event: None)
    event = Event("b")

    def publish() -> None:
        with suppress(QueueFull):
            bus.publish(event, timeout=0)

    publish()
    gc.collect()
    tracemalloc.start()
    try:
        publish()
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_resizing_from_several_threads_ends_with_the_number_that_is_shown(
    factory: BusFactory,
) -> None:
    """The number of workers is the queue's, and a resize to it changes nothing."""
    bus = factory.bus(workers=1, name="resized")
    for _ in range(20):
        run_together(3, lambda n: [bus.resize(m) for m in ((2, 5), (6, 3), (4, 1))[n]])
        shown = bus.workers
        bus.resize(shown)

        def alive() -> int:
            return sum(t.name.startswith("resized-worker") for t in threading.enumerate())

        deadline = threading.Event()
        for _ in range(int(HANG / 0.01)):
            if alive() == shown:
                break
            deadline.wait(0.01)
        assert alive() == shown


@needs_immediate_release
def test_classes_that_come_and_go_are_not_kept_without_end(factory: BusFactory) -> None:
    """Nor are subclasses of Event, whose routes are kept by class and type."""
    bus = factory.bus()
    bus.subscribe("*", lambda event: None)
    before = len(Event.__subclasses__())
    for _ in range(6_000):
        assert bus.publish(type("Made", (Event,), {})("a"), timeout=HANG)
    assert bus.flush(HANG)
    gc.collect()
    assert len(Event.__subclasses__()) - before < 5_000
