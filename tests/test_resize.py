"""`resize`: more workers, fewer workers, at any time, without losses."""

import os
import threading
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, BusClosed, Event, EventBus
from helpers.buses import BusFactory
from helpers.checks import assert_balance
from helpers.handlers import Recorder
from helpers.processes import in_child
from helpers.waiting import HANG, poll


def workers_alive(bus: EventBus) -> int:
    """Return the number of the bus's worker threads."""
    return sum(f"{bus.name}-worker-" in thread.name for thread in threading.enumerate())


def test_more_workers_run_more_handlers_at_once(factory: BusFactory) -> None:
    """As many as there are workers now."""
    bus, gate = factory.bus(name="up"), factory.gate()
    bus.subscribe("a", gate)
    for number in range(5):
        assert bus.publish(Event("a", number))
    gate.wait_entered()
    bus.resize(4)
    gate.wait_entered(3)
    assert (bus.workers, workers_alive(bus), bus.stats().running) == (4, 4, 4)
    assert len(bus.stats().worker_utilization) == 4


def test_fewer_workers_end_at_once_when_idle(factory: BusFactory) -> None:
    """They need no delivery for that."""
    bus = factory.bus(workers=8, name="idle")
    bus.resize(3)
    poll(lambda: workers_alive(bus) == 3)
    assert bus.workers == 3
    assert len(bus.stats().worker_utilization) == 3


def test_fewer_workers_interrupt_no_handler_and_lose_no_delivery(factory: BusFactory) -> None:
    """Those that run finish first; the others handle what is queued."""
    bus, gate, seen = factory.bus(workers=4, name="down"), factory.gate(), Recorder()
    bus.subscribe("held", gate)
    bus.subscribe("a", seen)
    for _ in range(4):
        assert bus.publish(Event("held"))
    gate.wait_entered(4)
    for number in range(10):
        assert bus.publish(Event("a", number))
    bus.resize(1)
    assert (bus.stats().running, workers_alive(bus)) == (4, 4)
    gate.open()
    assert bus.flush(HANG)
    assert sorted(seen.data) == list(range(10))
    poll(lambda: workers_alive(bus) == 1)
    assert bus.stats().processed == 14
    assert_balance(bus.stats())


def test_a_surplus_that_is_called_back_does_not_end(factory: BusFactory) -> None:
    """Down and up again while all are in handlers starts no thread."""
    bus, gate = factory.bus(workers=4, name="back"), factory.gate()
    bus.subscribe("held", gate)
    for _ in range(4):
        assert bus.publish(Event("held"))
    gate.wait_entered(4)
    before = set(threading.enumerate())
    bus.resize(1)
    bus.resize(4)
    assert set(threading.enumerate()) == before
    gate.open()
    assert bus.flush(HANG)
    assert workers_alive(bus) == 4


@pytest.mark.parametrize("policy", [BackpressurePolicy.BLOCK, BackpressurePolicy.CALLER_RUNS])
def test_resizing_all_the_time_loses_nothing(
    factory: BusFactory, policy: BackpressurePolicy
) -> None:
    """Publishers continue; each delivery is handled once."""
    bus, seen = factory.bus(workers=2, queue_size=50, policy=policy, name="often"), Recorder()
    bus.subscribe("a", seen)
    over = threading.Event()

    def resize() -> None:
        size = 0
        while not over.is_set():
            size = size % 9 + 1
            bus.resize(size)

    resizer = threading.Thread(target=resize)
    resizer.start()
    publishers = [
        threading.Thread(target=lambda n=n: [bus.publish(Event("a", (n, i))) for i in range(2000)])
        for n in range(3)
    ]
    for thread in publishers:
        thread.start()
    for thread in publishers:
        thread.join(HANG)
    over.set()
    resizer.join(HANG)
    assert bus.flush(HANG)
    assert sorted(seen.data) == [(n, i) for n in range(3) for i in range(2000)]
    assert_balance(bus.stats())
    assert bus.stop(timeout=HANG)
    assert workers_alive(bus) == 0


def test_a_handler_may_resize_its_own_bus(factory: BusFactory) -> None:
    """Also if that removes the worker in which it runs."""
    bus = factory.bus(workers=3, name="own")
    bus.subscribe("down", lambda _: bus.resize(1))
    bus.subscribe("up", lambda _: bus.resize(5))
    assert bus.publish(Event("down"))
    assert bus.flush(HANG)
    poll(lambda: workers_alive(bus) == 1)
    assert bus.publish(Event("up"))
    assert bus.flush(HANG)
    assert workers_alive(bus) == 5


def test_each_step_is_kept_with_its_reason(factory: BusFactory) -> None:
    """The same number is not a step."""
    bus = factory.bus(workers=2, name="steps")
    bus.resize(3)
    bus.resize(3)
    bus.resize(1)
    steps = bus.stats().sizing
    assert [(step.before, step.after) for step in steps] == [(2, 3), (3, 1)]
    assert all(step.reason == "resize() was called" for step in steps)
    assert steps[0].time <= steps[1].time
    assert bus.stats().as_dict()["sizing"][1]["after"] == 1


def test_the_log_has_each_step_at_info(
    factory: BusFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """With the bus, both numbers and the reason."""
    caplog.set_level("INFO", "brummerbus")
    factory.bus(workers=2, name="noted").resize(3)
    assert caplog.messages == ["noted: 3 workers instead of 2: resize() was called"]


@pytest.mark.parametrize("workers", [0, -1, 1025, 2**63])
def test_a_size_out_of_range_is_refused(factory: BusFactory, workers: int) -> None:
    """And nothing has changed."""
    bus = factory.bus(workers=2)
    with pytest.raises(ValueError, match="workers must be an int from 1 to 1024, got"):
        bus.resize(workers)
    assert bus.workers == 2


@pytest.mark.parametrize("workers", [True, 2.0, "2", None, (1, 2)])
def test_a_size_that_is_no_int_is_refused(factory: BusFactory, workers: Any) -> None:
    """A bool is not a number."""
    with pytest.raises(TypeError, match="workers must be an int from 1 to 1024, got"):
        factory.bus().resize(workers)


def test_a_stopped_bus_is_not_resized(factory: BusFactory) -> None:
    """It has no workers any more."""
    bus = factory.bus()
    assert bus.stop()
    with pytest.raises(BusClosed):
        bus.resize(2)


def test_a_thread_that_cannot_be_started_changes_nothing(
    factory: BusFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that were started end again; the bus continues with its previous number."""
    bus, seen = factory.bus(workers=2, name="short"), Recorder()
    bus.subscribe("a", seen)
    left = [None, None]
    start = threading.Thread.start

    def start_two(thread: threading.Thread) -> None:
        if not left:
            raise RuntimeError("can't start new thread")
        left.pop()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_two)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        bus.resize(6)
    monkeypatch.undo()
    poll(lambda: workers_alive(bus) == 2)
    assert (bus.workers, len(bus.stats().worker_utilization), bus.stats().sizing) == (2, 2, ())
    assert bus.publish(Event("a"))
    assert bus.flush(HANG)
    bus.resize(3)
    assert workers_alive(bus) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_resized_bus_has_its_configured_size_after_a_fork(factory: BusFactory) -> None:
    """The child starts from the beginning."""
    bus, seen = factory.bus(workers=2, name="forked"), Recorder()
    bus.subscribe("a", seen)
    bus.resize(4)

    def child() -> None:
        assert bus.workers == 2
        bus.resize(3)
        assert bus.publish(Event("a"))
        assert bus.flush(HANG)
        assert workers_alive(bus) == 3
        assert bus.stop()

    assert in_child(child) == 0
