"""The bus from outside: its beginning, its properties, its end as a context manager."""

import threading
from typing import Any

import pytest
from conftest import HANG, Bench, Recorder

from brummerbus import BackpressurePolicy, Event, EventBus, EventBusConfig


def test_bus_shows_what_it_was_made_with(bench: Bench) -> None:
    """Its name, its settings, and how many workers it has."""
    config = EventBusConfig(workers=3, queue_size=7, policy=BackpressurePolicy.REJECT)
    with EventBus(config, name="mine") as bus:
        assert (bus.name, bus.config, bus.workers) == ("mine", config, 3)
        names = {thread.name for thread in threading.enumerate()}
        assert names >= {"mine-worker-1", "mine-worker-2", "mine-worker-3"}
    with EventBus(config, workers=1) as bus:
        assert (bus.name, bus.workers, bus.config.queue_size) == ("bus", 1, 7)


def test_depth_is_what_is_queued(bench: Bench) -> None:
    """Deliveries, without those that run."""
    bus = bench.bus()
    gate = bench.hold(bus)
    bus.subscribe("a", print)
    bus.subscribe("*", lambda event: None)
    assert bus.depth == 0
    with bus.subscribe("b", lambda event: None):
        bus.publish(Event("b"))
        bus.publish(Event("b"))
    assert bus.depth == 4
    gate.open()
    assert bus.flush(HANG)
    assert bus.depth == 0


def test_closed_says_whether_stop_was_called(bench: Bench) -> None:
    """From the first call on, also while it drains."""
    bus = bench.bus()
    assert bus.closed is False
    gate = bench.hold(bus)
    assert bus.stop(timeout=0) is False
    assert bus.closed is True
    gate.open()


def test_context_manager_stops_with_draining(bench: Bench) -> None:
    """And gives itself to the block."""
    before, recorder = threading.active_count(), Recorder()
    made = bench.bus()
    with made as bus:
        assert bus is made
        bus.subscribe("a", recorder)
        for number in range(10):
            assert bus.publish(Event("a", number), timeout=HANG)
    assert recorder.data == list(range(10))
    assert bus.closed
    assert threading.active_count() == before


def test_context_manager_passes_exceptions_on(bench: Bench) -> None:
    """After the bus was stopped."""
    recorder = Recorder()
    with pytest.raises(LookupError), bench.bus() as bus:
        bus.subscribe("a", recorder)
        bus.publish(Event("a", 1))
        raise LookupError
    assert recorder.data == [1]
    assert bus.closed


def test_context_manager_waits_no_longer_than_the_shutdown_timeout(bench: Bench) -> None:
    """A stuck handler does not keep the block from being left."""
    with bench.bus(shutdown_timeout=0.02) as bus:
        gate = bench.hold(bus)
    assert bus.stats().running == 1
    gate.open()


def test_repr_says_what_it_is(bench: Bench) -> None:
    """Name, workers, and queue or end."""
    bus = bench.bus(name="mine")
    assert repr(bus) == "<EventBus 'mine', 1 workers, 0 queued>"
    bus.stop()
    assert repr(bus) == "<EventBus 'mine', 1 workers, closed>"


class FailingStart:
    """Lets `Thread.start` fail from the n-th call on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, n: int) -> None:
        self.left = n
        start = threading.Thread.start

        def failing(thread: threading.Thread) -> None:
            self.left -= 1
            if self.left < 0:
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", failing)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_thread_that_does_not_start_leaves_none(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    """The constructor raises what `Thread.start` raised, and those that were started have ended."""
    before = set(threading.enumerate())
    with monkeypatch.context() as patch:
        FailingStart(patch, n)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            EventBus(workers=4)
    assert set(threading.enumerate()) == before
    with EventBus(workers=4) as bus:
        assert bus.publish(Event("a"))


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


def test_overrides_take_the_place_of_settings() -> None:
    """The rest is the config's."""
    with EventBus(EventBusConfig(workers=1, queue_size=3), queue_size=4) as bus:
        assert bus.config == EventBusConfig(workers=1, queue_size=4)
