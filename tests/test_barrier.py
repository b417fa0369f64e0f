"""`bus.barrier()`: all that was accepted before the call has ended, whatever is published since."""

import os
import signal
import threading
from time import monotonic
from typing import Any

import pytest

from brummerbus import BusError, Event
from helpers.buses import BusFactory, inside
from helpers.checks import assert_at_rest
from helpers.internals import queue_of
from helpers.processes import in_child
from helpers.threads import InThread, run_together
from helpers.waiting import HANG, pause

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "keyed": {"key": lambda event: 0},
    "limited": {"max_concurrency": 1},
    "batched": {"batch": 3},
}


def test_an_idle_bus_has_nothing_to_wait_for(factory: BusFactory) -> None:
    """Before the first event and after the last."""
    bus = factory.bus()
    assert bus.barrier() is True
    assert bus.barrier(0) is True
    bus.subscribe("a", lambda event: None)
    bus.publish(Event("a"))
    assert bus.flush(HANG)
    assert bus.barrier(0) is True


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_it_waits_for_what_is_queued_and_for_what_runs(
    factory: BusFactory, options: dict[str, Any]
) -> None:
    """And for nothing else."""
    bus = factory.bus(queue_size=100)
    gate = factory.gate()
    bus.subscribe("a", gate, **options)
    bus.publish(Event("a"))
    gate.wait_entered()
    assert bus.barrier(0.01) is False
    bus.publish_many([Event("a")] * 5)
    assert bus.barrier(0) is False
    gate.open()
    assert bus.barrier(HANG) is True
    assert bus.stats().processed == 6


def test_what_is_published_later_is_not_waited_for(factory: BusFactory) -> None:
    """Of a lower and of a higher level, and of the same."""
    bus = factory.bus(workers=2, queue_size=100)
    first, later = factory.gate(), factory.gate()
    bus.subscribe("first", first)
    bus.subscribe("later", later)
    bus.publish(Event("first"))
    first.wait_entered()
    waiting = InThread(bus.barrier)
    _barrier_waits()
    for priority in (1, 2, 3):
        bus.publish(Event("later"), priority=priority)
    later.wait_entered()
    first.open()
    assert waiting.result() is True
    assert bus.stats().processed == 1
    later.open()
    assert_at_rest(bus)


def _barrier_waits() -> None:
    """Wait a little: that a thread sleeps in C cannot be seen."""
    pause(0.02)


def test_it_ends_beside_a_steady_publisher(factory: BusFactory) -> None:
    """Which keeps the queue from ever being idle: `flush` does not."""
    bus = factory.bus(workers=2, queue_size=50, policy="block")
    stop = threading.Event()
    turn = 0

    def handler(event: Event) -> None:
        nonlocal turn
        turn += 1

    bus.subscribe("a", handler)
    # Each event causes another one: at no moment is the bus idle.
    bus.subscribe("again", lambda event: stop.is_set() or bus.publish(Event("again")))
    bus.publish_many([Event("again")] * 3)
    bus.publish(Event("a"))
    for _ in range(5):
        before = turn
        bus.publish(Event("a"))
        assert bus.barrier(HANG) is True
        assert turn > before
    assert bus.flush(0.05) is False
    stop.set()
    assert_at_rest(bus)


def test_everything_published_by_the_caller_has_been_handled(
    factory: BusFactory, frequent_switches: None
) -> None:
    """In several threads at once, with several workers and options."""
    bus = factory.bus(workers=3, queue_size=20, policy="block")
    handled: set[tuple[int, int]] = set()
    bus.subscribe("a", lambda event: handled.add(event.data), key=lambda event: event.data[0] % 2)
    bus.subscribe("a", lambda event: None)

    def work(number: int) -> None:
        for n in range(100):
            bus.publish(Event("a", (number, n)), priority=1 + n % 3)
            if n % 10 == 0:
                assert bus.barrier(HANG) is True
                assert {(number, k) for k in range(n + 1)} <= handled

    run_together(3, work)
    assert_at_rest(bus)


def test_a_delivery_that_waits_for_its_retry_has_not_ended(factory: BusFactory) -> None:
    """It ends with its last try."""
    bus = factory.bus(on_error=lambda *_: None)
    calls: list[Event] = []

    def fail(event: Event) -> None:
        calls.append(event)
        raise ValueError

    bus.subscribe("a", fail, retries=2, backoff=0.05)
    bus.publish(Event("a"))
    assert bus.barrier(HANG) is True
    assert len(calls) == 3


def test_a_drop_is_an_end(factory: BusFactory) -> None:
    """By eviction, by expiry and by a stop."""
    bus = factory.bus(queue_size=1, workers=2)
    gate = factory.hold(bus)
    bus.subscribe("a", lambda event: None)
    bus.publish(Event("a", "old"))
    barrier = queue_of(bus).barrier()
    for data in range(3):
        bus.publish(Event("a", data))  # evicts the one before
    gate.let_through(2)
    assert queue_of(bus).wait_barrier(barrier, int(HANG * 1e9))
    gate.open()
    assert_at_rest(bus)
    bus = factory.bus(queue_size=10)
    gate = factory.gate()
    bus.subscribe("b", gate)
    bus.subscribe("a", lambda event: None)
    bus.publish(Event("b"))
    gate.wait_entered()
    bus.publish_many([Event("a")] * 3)
    waiting = InThread(bus.barrier)
    _barrier_waits()
    assert not bus.stop(drain=False, timeout=0)
    gate.open()
    assert waiting.result() is True


def test_handlers_that_run_in_a_caller_are_waited_for(factory: BusFactory) -> None:
    """Until the last has returned."""
    bus = factory.bus(queue_size=1, policy="caller_runs")
    held = factory.hold(bus)
    bus.subscribe("fill", lambda event: None)
    bus.publish(Event("fill"))
    gate = factory.gate()
    bus.subscribe("a", gate)
    caller = InThread(lambda: bus.publish(Event("a")))
    gate.wait_entered()
    held.open()
    assert bus.barrier(0.05) is False
    gate.open()
    assert caller.result()
    assert bus.barrier(HANG) is True


def test_in_a_handler_it_would_wait_for_itself(factory: BusFactory) -> None:
    """As `flush`; in one of another bus it may wait."""
    bus, other = factory.bus(), factory.bus()
    with pytest.raises(BusError, match=r"barrier\(\)"):
        inside(bus, bus.barrier)
    assert inside(other, lambda: bus.barrier(HANG)) is True


@pytest.mark.parametrize(
    ("bad", "error"),
    [(-1, ValueError), (float("nan"), ValueError), ("1", TypeError), (True, TypeError)],
)
def test_a_timeout_that_is_none_is_refused(
    factory: BusFactory, bad: Any, error: type[Exception]
) -> None:
    """The message names it."""
    with pytest.raises(error, match="timeout"):
        factory.bus().barrier(bad)


def test_a_ctrl_c_is_answered_within_a_tenth_of_a_second(factory: BusFactory) -> None:
    """And leaves the bus whole."""
    bus = factory.bus()
    gate = factory.hold(bus)
    sent: list[float] = []

    def interrupt() -> None:
        pause(0.1)
        sent.append(monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    helper = InThread(interrupt)
    with pytest.raises(KeyboardInterrupt):
        bus.barrier(HANG)
    answered = monotonic()
    helper.result()
    assert answered - sent[0] < 10.0  # 0.05 on an idle machine
    gate.open()
    assert_at_rest(bus)
    assert bus.barrier(HANG) is True


def test_a_stopped_bus_has_nothing_to_wait_for(factory: BusFactory) -> None:
    """Nor one whose stop found something left."""
    bus = factory.bus()
    bus.subscribe("a", lambda event: None)
    bus.publish(Event("a"))
    assert bus.stop()
    assert bus.barrier(0) is True


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_the_child_of_a_fork_waits_for_its_own(factory: BusFactory) -> None:
    """And not for what is queued in the parent."""
    bus = factory.bus()
    gate = factory.hold(bus)
    bus.subscribe("a", lambda event: None)
    bus.publish(Event("a"))

    def child() -> None:
        assert bus.barrier(0) is True
        bus.publish(Event("a"))
        assert bus.barrier(HANG) is True
        assert bus.stats().processed == 1

    assert in_child(child) == 0
    assert bus.barrier(0) is False
    gate.open()


def test_many_threads_may_wait_at_once(factory: BusFactory) -> None:
    """For different moments; each is woken when its own has come."""
    bus = factory.bus(workers=1, queue_size=100)
    gate = factory.gate()
    bus.subscribe("a", gate)
    waiting: list[InThread] = []
    for _ in range(5):
        bus.publish(Event("a"))
        waiting.append(InThread(bus.barrier))
        _barrier_waits()
    for one in waiting:
        gate.wait_entered()
        assert one.running
        gate.let_through()
        assert one.result() is True
    assert bus.barrier(0)
