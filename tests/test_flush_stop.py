"""Waiting for the end of the work, and stopping."""

import signal
import threading
from time import monotonic
from typing import Any

import pytest

from brummerbus import (
    BackpressurePolicy,
    BusClosed,
    BusError,
    DropReason,
    Event,
    EventBus,
)
from helpers.buses import BusFactory, accepts, fill, inside
from helpers.checks import assert_balance, assert_closed
from helpers.handlers import Drops, Logged, Recorder
from helpers.threads import InThread
from helpers.waiting import HANG, pause, poll

SHORT = 0.02
"""Seconds after which a wait is to give up."""


# ---- flush ---------------------------------------------------------------------------------


def test_flush_returns_true_at_once_if_there_is_nothing(factory: BusFactory) -> None:
    """Also with a time-out of 0, and repeatedly."""
    bus = factory.bus()
    assert bus.flush() is True
    assert bus.flush(0) is True
    assert bus.flush(timeout=0.0) is True


def test_flush_waits_for_what_is_queued_and_what_runs(factory: BusFactory) -> None:
    """It returns only when the last handler has returned."""
    bus, recorder = factory.bus(workers=2, queue_size=100), Recorder()
    gate = factory.hold(bus)
    bus.subscribe("a", recorder)
    fill(bus, 100)
    flush = InThread(bus.flush)
    gate.let_through(1)
    recorder.wait_for(100)
    assert flush.running
    gate.open()
    assert flush.result() is True
    stats = bus.stats()
    assert (stats.queued, stats.running, stats.processed) == (0, 0, 102)


@pytest.mark.parametrize("timeout", [0, SHORT])
def test_flush_returns_false_when_its_time_is_over(factory: BusFactory, timeout: float) -> None:
    """Not before, and the bus continues."""
    bus = factory.bus()
    gate = factory.hold(bus)
    began = monotonic()
    assert bus.flush(timeout) is False
    assert timeout <= monotonic() - began < HANG
    gate.open()
    assert bus.flush(HANG) is True


def test_flush_waits_for_what_handlers_publish(factory: BusFactory) -> None:
    """A chain of a hundred events is one piece of work."""
    bus, recorder = factory.bus(), Recorder()

    def pass_on(event: Event) -> None:
        recorder(event)
        if event.data:
            bus.publish(Event("a", event.data - 1))

    bus.subscribe("a", pass_on)
    bus.publish(Event("a", 99))
    assert bus.flush(HANG)
    assert len(recorder.events) == 100


def test_flush_in_a_handler_raises_bus_error(factory: BusFactory) -> None:
    """It would wait for itself; on another bus it may."""
    bus, other = factory.bus(), factory.bus()
    for timeout in (None, 0, 1):
        with pytest.raises(BusError):
            inside(bus, lambda timeout=timeout: bus.flush(timeout))
    assert inside(bus, other.flush) is True


def test_flush_in_a_handler_that_the_caller_runs_raises_bus_error(factory: BusFactory) -> None:
    """With CALLER_RUNS the main thread is a handler, and afterwards it is not any more."""
    bus = factory.bus(policy=BackpressurePolicy.CALLER_RUNS, queue_size=1)
    errors: list[Exception] = []

    def handler(event: Event) -> None:
        try:
            bus.flush(0)
        except BusError as error:
            errors.append(error)

    gate = factory.hold(bus)
    bus.subscribe("a", handler)
    fill(bus, 2)
    assert len(errors) == 1
    assert bus.flush(0) is False
    gate.open()
    assert bus.flush(HANG) is True


def test_flush_after_stop_returns_true(factory: BusFactory) -> None:
    """Nothing is queued, and nothing will be."""
    bus = factory.bus()
    bus.stop()
    assert bus.flush() is True


def test_several_flushes_end_together(factory: BusFactory) -> None:
    """All of them are woken."""
    bus = factory.bus()
    gate = factory.hold(bus)
    flushes = [InThread(bus.flush) for _ in range(5)]
    gate.open()
    assert [flush.result() for flush in flushes] == [True] * 5


@pytest.mark.parametrize("timeout", [-1, float("nan"), -0.001])
def test_negative_and_undefined_timeouts_are_refused(factory: BusFactory, timeout: float) -> None:
    """With the argument's name, before anything changed."""
    bus = factory.bus()
    for call in (bus.flush, lambda timeout: bus.stop(timeout=timeout)):
        with pytest.raises(ValueError, match=r"timeout must be .* at least 0"):
            call(timeout)
    assert not bus.closed


@pytest.mark.parametrize("timeout", ["1", True, [], object()])
def test_timeouts_that_are_no_numbers_are_refused(factory: BusFactory, timeout: Any) -> None:
    """With the argument's name, before anything changed."""
    bus = factory.bus()
    for call in (bus.flush, lambda timeout: bus.stop(timeout=timeout)):
        with pytest.raises(TypeError, match="timeout must be a number"):
            call(timeout)
    with pytest.raises(TypeError, match="drain must be"):
        bus.stop(drain=1)  # type: ignore[arg-type]
    assert not bus.closed


@pytest.mark.parametrize("timeout", [10**400, float("inf"), None])
def test_endless_timeouts_mean_no_limit(factory: BusFactory, timeout: Any) -> None:
    """Whatever their type."""
    bus, seen = factory.bus(), Recorder()
    bus.subscribe("a", seen)
    bus.publish(Event("a"))
    assert bus.flush(timeout)
    assert bus.stop(timeout=timeout)
    assert len(seen.events) == 1


# ---- stop ----------------------------------------------------------------------------------


def test_stop_finishes_what_is_queued_and_ends_the_threads(factory: BusFactory) -> None:
    """True: nothing was left."""
    before = threading.active_count()
    bus, recorder = factory.bus(workers=3, queue_size=50), Recorder()
    assert threading.active_count() == before + 3
    bus.subscribe("a", recorder)
    fill(bus, 50)
    assert bus.stop() is True
    assert threading.active_count() == before
    assert sorted(recorder.data) == list(range(50))
    assert bus.stats().dropped == 0


def test_stop_is_idempotent(factory: BusFactory) -> None:
    """Whatever its arguments, on a bus that had nothing left."""
    bus = factory.bus()
    assert bus.stop() is True
    assert bus.stop() is True
    assert bus.stop(drain=False) is True
    assert bus.stop(timeout=0) is True
    assert bus.stop(timeout=None) is True


def test_stop_without_draining_drops_what_is_queued(factory: BusFactory) -> None:
    """It is counted by reason and level, passed to on_drop, and False is returned."""
    drops = Drops()
    bus = factory.bus(on_drop=drops, priorities={"a": 3, "b": 1})
    gate = factory.hold(bus)
    high, low = [bus.subscribe("a", print)], [bus.subscribe("b", print)]
    fill(bus, 3)
    fill(bus, 2, "b")
    stop = InThread(lambda: bus.stop(drain=False))
    poll(lambda: len(drops) == 5)
    gate.open()
    assert stop.result() is False
    assert [drop[1:] for drop in drops] == (
        [(subscription, DropReason.SHUTDOWN) for subscription in high * 3 + low * 2]
    )
    assert drops.data == [0, 1, 2, 0, 1]
    stats = bus.stats()
    assert_balance(stats)
    assert (stats.processed, stats.dropped) == (1, 5)
    assert stats.dropped_by[DropReason.SHUTDOWN] == {1: 2, 2: 0, 3: 3}


def test_stop_without_draining_lets_a_running_handler_finish(factory: BusFactory) -> None:
    """With nothing queued nothing is lost: True."""
    bus = factory.bus()
    gate = factory.hold(bus)
    stop = InThread(lambda: bus.stop(drain=False))
    poll(lambda: bus.closed)
    gate.open()
    assert stop.result() is True
    assert bus.stats().processed == 1


def test_stop_drops_what_is_left_when_its_time_is_over(factory: BusFactory, logged: Logged) -> None:
    """A stuck handler: False, the rest is dropped, and the log says how much."""
    drops = Drops()
    bus = factory.bus(on_drop=drops, name="mine")
    gate = factory.hold(bus)
    bus.subscribe("a", print)
    fill(bus, 4)
    began = monotonic()
    assert bus.stop(timeout=SHORT) is False
    assert SHORT <= monotonic() - began < HANG
    assert drops.data == [0, 1, 2, 3]
    stats = bus.stats()
    assert_balance(stats)
    assert (stats.dropped, stats.queued, stats.running) == (4, 0, 1)
    assert "mine: stopped with 4 deliveries dropped and 1 handler still running" in logged.text
    gate.open()


def test_stop_without_a_timeout_has_no_limit(factory: BusFactory) -> None:
    """`shutdown_timeout` applies at interpreter exit."""
    bus = factory.bus(shutdown_timeout=SHORT, publish_timeout=SHORT)
    gate, seen = factory.hold(bus), Recorder()
    bus.subscribe("a", seen)
    fill(bus, 3)
    stop = InThread(bus.stop)
    poll(lambda: not accepts(bus))
    pause(5 * SHORT)
    assert stop.running
    gate.open()
    assert stop.result() is True
    assert seen.data == [0, 1, 2]


def test_stop_says_false_as_long_as_a_handler_runs(factory: BusFactory) -> None:
    """And True when it has returned, for nothing was lost."""
    before = threading.active_count()
    bus = factory.bus()
    gate = factory.hold(bus)
    assert bus.stop(timeout=0) is False
    assert bus.stop(timeout=SHORT) is False
    assert threading.active_count() == before + 1
    gate.open()
    assert bus.stop(timeout=HANG) is True
    assert threading.active_count() == before


def test_stopped_bus_refuses_at_once(factory: BusFactory) -> None:
    """Any events, with and without subscriptions; none of them is counted."""
    bus = factory.bus(publish_timeout=HANG)
    bus.subscribe("a", print)
    bus.subscribe("a*", print)
    bus.stop()
    began = monotonic()
    assert_closed(bus)
    assert_closed(bus, 7)
    assert monotonic() - began < HANG / 2


def test_draining_bus_refuses_from_outside(factory: BusFactory) -> None:
    """While its handlers are still running."""
    bus = factory.bus(publish_timeout=HANG)
    bus.subscribe("a", print)
    gate = factory.hold(bus)
    stop = InThread(bus.stop)
    poll(lambda: bus.closed and not accepts(bus))
    assert_closed(bus)
    gate.open()
    assert stop.result() is True


def test_bus_closed_is_a_runtime_error_and_a_bus_error() -> None:
    """Callers may catch either."""
    assert issubclass(BusClosed, RuntimeError)
    assert issubclass(BusClosed, BusError)


# ---- Ctrl-C --------------------------------------------------------------------------------


def strike(bus: EventBus) -> None:
    """Send a Ctrl-C once the bus refuses events, that is, while the main thread stops it."""
    poll(lambda: not accepts(bus))
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("how", ["stop", "with"])
def test_ctrl_c_in_a_drain_drops_what_is_left(
    factory: BusFactory, logged: Logged, how: str
) -> None:
    """It is propagated to the caller; the rest is counted, passed to on_drop, and logged."""
    drops = Drops()
    bus = factory.bus(on_drop=drops, name="mine")
    gate = factory.hold(bus)
    bus.subscribe("a", print)
    fill(bus, 4)
    striker = InThread(lambda: strike(bus))
    with pytest.raises(KeyboardInterrupt):
        bus.stop() if how == "stop" else leave(bus)
    striker.result()
    assert drops.data == [0, 1, 2, 3]
    stats = bus.stats()
    assert_balance(stats)
    assert stats.dropped_by[DropReason.SHUTDOWN] == {1: 0, 2: 4, 3: 0}
    assert "mine: stopped with 4 deliveries dropped and 1 handler still running" in logged.text
    gate.open()
    assert bus.stop() is False
    assert bus.stats().running == 0


def leave(bus: EventBus) -> None:
    """Use a bus as a context manager, and leave it normally."""
    with bus:
        pass
