"""Flush and stop: what they wait for, what they refuse, what they return."""

import threading
from typing import Any

import pytest
from conftest import HANG, Bench, Drops, InThread, Recorder, assert_balance

from brummerbus import (
    BackpressurePolicy,
    BusClosed,
    BusError,
    DropReason,
    Event,
    EventBus,
    EventBusConfig,
)


def test_flush_waits_for_what_is_queued_and_what_runs(bench: Bench) -> None:
    """And says True when nothing is left."""
    bus, seen = bench.bus(), Recorder()
    gate = bench.hold(bus)
    bus.subscribe("a", seen)
    for number in range(3):
        bus.publish(Event("a", number))
    flushing = InThread(bus.flush)
    assert not bus.flush(0)
    gate.open()
    assert flushing.result() is True
    assert seen.data == [0, 1, 2]


def test_flush_gives_up_at_its_timeout(bench: Bench) -> None:
    """False, and nothing is lost."""
    bus = bench.bus()
    bench.hold(bus)
    assert bus.flush(0.01) is False
    assert bus.stats().running == 1


def test_flush_of_an_idle_bus_returns_at_once(bench: Bench) -> None:
    """With any time-out, also after stop."""
    bus = bench.bus()
    assert bus.flush(0)
    bus.stop()
    assert bus.flush()


def test_flush_in_a_handler_is_refused(bench: Bench) -> None:
    """It would wait for itself."""
    bus = bench.bus()
    errors: list[BaseException] = []

    def handler(event: Any) -> None:
        try:
            bus.flush()
        except BusError as error:
            errors.append(error)

    bus.subscribe("a", handler)
    bus.publish(Event("a"))
    assert bus.flush(HANG)
    assert [BusError] == [type(error) for error in errors]


@pytest.mark.parametrize("timeout", [-1, float("nan"), -0.001])
def test_negative_and_undefined_timeouts_are_refused(bench: Bench, timeout: float) -> None:
    """With the argument's name, before anything changed."""
    bus = bench.bus()
    for call in (bus.flush, lambda timeout: bus.stop(timeout=timeout)):
        with pytest.raises(ValueError, match="timeout must be .* at least 0"):
            call(timeout)
    assert not bus.closed


@pytest.mark.parametrize("timeout", ["1", True, [], object()])
def test_timeouts_that_are_no_numbers_are_refused(bench: Bench, timeout: Any) -> None:
    """With the argument's name, before anything changed."""
    bus = bench.bus()
    for call in (bus.flush, lambda timeout: bus.stop(timeout=timeout)):
        with pytest.raises(TypeError, match="timeout must be a number"):
            call(timeout)
    with pytest.raises(TypeError, match="drain must be"):
        bus.stop(drain=1)  # type: ignore[arg-type]
    assert not bus.closed


@pytest.mark.parametrize("timeout", [10**400, float("inf"), None])
def test_endless_timeouts_mean_no_limit(bench: Bench, timeout: Any) -> None:
    """However they are written."""
    bus, seen = bench.bus(), Recorder()
    bus.subscribe("a", seen)
    bus.publish(Event("a"))
    assert bus.flush(timeout)
    assert bus.stop(timeout=timeout)
    assert len(seen.events) == 1


def test_stop_drains_what_is_queued(bench: Bench) -> None:
    """All of it is handled, no thread is left, and stop says True."""
    bus, seen = bench.bus(workers=2), Recorder()
    gate = bench.hold(bus)
    bus.subscribe("a", seen)
    for number in range(10):
        bus.publish(Event("a", number))
    stopping = InThread(bus.stop)
    gate.open()
    assert stopping.result() is True
    assert len(seen.events) == 10
    assert not [t for t in threading.enumerate() if t.name.startswith("bus-worker")]


def test_stop_is_idempotent(bench: Bench) -> None:
    """A second stop says the same."""
    bus = bench.bus()
    assert not bus.closed
    assert bus.stop()
    assert bus.stop()
    assert bus.stop(drain=False)
    assert bus.closed


def test_publishing_to_a_stopped_bus_is_refused_and_not_counted(bench: Bench) -> None:
    """Whether anybody subscribed or not."""
    bus = bench.bus()
    bus.subscribe("a", Recorder())
    bus.stop()
    for event in (Event("a"), Event("nobody"), object()):
        with pytest.raises(BusClosed):
            bus.publish(event)
        with pytest.raises(BusClosed):
            bus.publish_many([event, event])
    stats = bus.stats()
    assert (stats.published, stats.unrouted, stats.dropped) == (0, 0, 0)


def test_bus_closed_is_a_runtime_error_and_a_bus_error() -> None:
    """Callers may catch either."""
    assert issubclass(BusClosed, RuntimeError)
    assert issubclass(BusClosed, BusError)


def test_a_publisher_waiting_for_room_is_sent_home_by_stop(bench: Bench) -> None:
    """With BusClosed; what it wanted to publish is not counted."""
    bus = bench.bus(queue_size=1, policy=BackpressurePolicy.BLOCK)
    seen = Recorder()
    bus.subscribe("a", seen)
    gate = bench.hold(bus)
    bus.publish(Event("a", "queued"))
    waiting = InThread(lambda: bus.publish(Event("a", "waiting")))
    waiting.wait_in_line()
    stopping = InThread(bus.stop)
    with pytest.raises(BusClosed):
        waiting.result()
    gate.open()
    assert stopping.result() is True
    assert seen.data == ["queued"]
    assert bus.stats().published == 2  # the gate's and the queued one


def test_handlers_may_publish_while_the_bus_drains(bench: Bench) -> None:
    """Outsiders may not."""
    bus, seen = bench.bus(), Recorder()
    gate = bench.gate()
    bus.subscribe("seen", seen)

    def handler(event: Any) -> None:
        gate(event)
        bus.publish(Event("seen", event.data))

    bus.subscribe("a", handler)
    for number in range(3):
        bus.publish(Event("a", number))
    gate.wait_entered()
    stopping = InThread(bus.stop)
    closed = threading.Event()
    while not bus.closed:
        closed.wait(0.001)
    with pytest.raises(BusClosed):
        bus.publish(Event("seen"))
    gate.open()
    assert stopping.result() is True
    assert seen.data == [0, 1, 2]


def test_stop_without_draining_drops_the_queue(bench: Bench) -> None:
    """Counted as shutdown, by level, and handed to on_drop."""
    drops = Drops()
    bus, seen = bench.bus(on_drop=drops, priorities={"a": 2}), Recorder()
    subscription = bus.subscribe("a", seen)
    gate = bench.hold(bus)
    for number in range(4):
        bus.publish(Event("a", number))
    stopping = InThread(lambda: bus.stop(drain=False))
    while bus.depth:
        threading.Event().wait(0.001)
    gate.open()
    assert stopping.result() is False  # something was left
    assert drops.data == [0, 1, 2, 3]
    assert {(s, r) for _, s, r in drops} == {(subscription, DropReason.SHUTDOWN)}
    stats = bus.stats()
    assert_balance(stats)
    assert stats.dropped_by[DropReason.SHUTDOWN] == {1: 0, 2: 4, 3: 0}
    assert seen.events == []


def test_stop_gives_up_on_a_stuck_handler(bench: Bench, logged: Any) -> None:
    """False; what was queued behind it is dropped, and the log says what is left."""
    drops = Drops()
    bus = bench.bus(on_drop=drops)
    bus.subscribe("a", Recorder())
    gate = bench.hold(bus)
    bus.publish(Event("a", "behind"))
    assert bus.stop(timeout=0.05) is False
    assert drops.data == ["behind"]
    assert bus.stats().running == 1
    assert "1 deliveries dropped and 1 handlers still running" in logged.text
    gate.open()
    assert bus.stop(timeout=HANG) is False  # something was left, and that stays true
    assert bus.stats().running == 0


def test_stop_in_a_handler_begins_the_stop_and_returns(bench: Bench) -> None:
    """The rest of the queue is still handled, and the workers end."""
    bus, seen = bench.bus(), Recorder()
    results: list[bool] = []
    bus.subscribe("stop", lambda event: results.append(bus.stop()))
    bus.subscribe("a", seen)
    gate = bench.hold(bus)
    bus.publish(Event("stop"))
    bus.publish(Event("a"))
    gate.open()
    seen.wait_for(1)
    assert bus.stop(timeout=HANG) is True
    assert results == [False]
    assert bus.closed


def test_a_stop_begun_in_a_handler_ends_at_its_deadline(bench: Bench) -> None:
    """The workers themselves drop what is left, though nobody waits for them."""
    drops = Drops()
    bus = bench.bus(on_drop=drops)
    bus.subscribe("stop", lambda event: bus.stop(timeout=0))
    bus.subscribe("a", Recorder())
    gate = bench.hold(bus)
    bus.publish(Event("stop"))
    bus.publish(Event("a", "late"))
    gate.open()
    bus.flush(HANG)
    assert bus.stop(timeout=HANG) is False
    assert drops.data == ["late"]


def test_two_threads_may_stop_at_once(bench: Bench) -> None:
    """Both wait, and both are told the same."""
    bus = bench.bus()
    gate = bench.hold(bus)
    first, second = InThread(bus.stop), InThread(bus.stop)
    gate.open()
    assert first.result() is True
    assert second.result() is True


def test_leaving_the_block_stops_with_draining() -> None:
    """Also when the block raises."""
    seen = Recorder()
    with pytest.raises(KeyError), EventBus(workers=1, queue_size=10) as bus:
        bus.subscribe("a", seen)
        bus.publish(Event("a"))
        raise KeyError
    assert bus.closed
    assert len(seen.events) == 1


def test_a_bus_tells_its_name_settings_depth_and_workers(bench: Bench) -> None:
    """As they were given."""
    config = EventBusConfig(workers=3, queue_size=7)
    with EventBus(config, name="mail", queue_size=9) as bus:
        assert (bus.name, bus.workers, bus.config.queue_size, bus.depth) == ("mail", 3, 9, 0)
        names = {t.name for t in threading.enumerate()}
        assert {"mail-worker-1", "mail-worker-2", "mail-worker-3"} <= names
    bus = bench.bus()
    bus.subscribe("a", Recorder())
    bench.hold(bus)
    bus.publish(Event("a"))
    assert bus.depth == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": 3}, "name"),
        ({"on_error": 3}, "on_error"),
        ({"on_drop": "x"}, "on_drop"),
        ({"wrokers": 3}, "wrokers"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    """As a TypeError, and no thread is started."""
    with pytest.raises(TypeError, match=message):
        EventBus(**arguments)
    with pytest.raises(TypeError, match="config"):
        EventBus({"workers": 1})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="workers"):
        EventBus(workers=0)


@pytest.mark.parametrize("fails_at", [1, 3])
def test_a_thread_that_cannot_be_started_leaves_none(
    monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    """The error comes through as it is, and the threads before it are ended."""
    real_start = threading.Thread.start
    started: list[threading.Thread] = []

    def start(thread: threading.Thread) -> None:
        started.append(thread)
        if len(started) == fails_at:
            raise RuntimeError("can't start new thread")
        real_start(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        EventBus(workers=5)
    monkeypatch.undo()
    assert len(started) == fails_at
    assert not [thread for thread in started if thread.is_alive()]
