"""The bus from outside: construction, properties, and its end as a context manager."""

import sys
import threading
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, BusError, DropReason, Event, EventBus, EventBusConfig
from brummerbus._core import engine
from helpers.buses import BusFactory
from helpers.handlers import Drops, Logged, Recorder
from helpers.threads import InThread
from helpers.waiting import HANG, pause, poll


def test_bus_shows_what_it_was_made_with(factory: BusFactory) -> None:
    """Its name, its settings, and how many workers it has."""
    config = EventBusConfig(workers=3, queue_size=7, policy=BackpressurePolicy.REJECT)
    with EventBus(config, name="mine") as bus:
        assert (bus.name, bus.config, bus.workers) == ("mine", config, 3)
        names = {thread.name for thread in threading.enumerate()}
        assert names >= {"mine-worker-1", "mine-worker-2", "mine-worker-3"}
    with EventBus(config, workers=1) as bus:
        assert (bus.name, bus.workers, bus.config.queue_size) == ("bus", 1, 7)


def test_depth_is_what_is_queued(factory: BusFactory) -> None:
    """Deliveries, without running ones."""
    bus = factory.bus()
    gate = factory.hold(bus)
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


def test_closed_says_whether_stop_was_called(factory: BusFactory) -> None:
    """From the first call on, also while it drains."""
    bus = factory.bus()
    assert bus.closed is False
    gate = factory.hold(bus)
    assert bus.stop(timeout=0) is False
    assert bus.closed is True
    gate.open()


def test_context_manager_stops_with_draining(factory: BusFactory) -> None:
    """And the block gets the bus."""
    before, recorder = threading.active_count(), Recorder()
    made = factory.bus()
    with made as bus:
        assert bus is made
        bus.subscribe("a", recorder)
        for number in range(10):
            assert bus.publish(Event("a", number), timeout=HANG)
    assert recorder.data == list(range(10))
    assert bus.closed
    assert threading.active_count() == before


def test_context_manager_passes_exceptions_on(factory: BusFactory) -> None:
    """After the bus was stopped."""
    recorder = Recorder()
    with pytest.raises(LookupError), factory.bus() as bus:
        bus.subscribe("a", recorder)
        bus.publish(Event("a", 1))
        raise LookupError
    assert recorder.data == [1]
    assert bus.closed


def test_context_manager_left_normally_drains_without_a_limit(factory: BusFactory) -> None:
    """However long that takes: `shutdown_timeout` does not apply."""
    bus, recorder = factory.bus(shutdown_timeout=0.01), Recorder()
    gate = factory.hold(bus)
    bus.subscribe("a", recorder)
    for number in range(5):
        assert bus.publish(Event("a", number))
    leaving = InThread(lambda: bus.__exit__(None, None, None))
    poll(lambda: bus.closed)
    pause(0.2)  # far longer than the time-out: it is not over
    assert bus.stats().queued == 5
    gate.open()
    leaving.result()
    assert recorder.data == list(range(5))


def leave_by_an_exception(bus: EventBus) -> None:
    with pytest.raises(LookupError), bus:
        raise LookupError


def test_context_manager_left_by_an_exception_gives_up_a_standstill(factory: BusFactory) -> None:
    """A stuck handler does not block the exit; what is queued is dropped."""
    drops = Drops()
    bus = factory.bus(shutdown_timeout=0.02, on_drop=drops)
    gate = factory.hold(bus)
    bus.subscribe("a", Recorder())
    assert bus.publish(Event("a", 1))
    leave_by_an_exception(bus)
    assert bus.stats().running == 1
    assert [(e.data, reason) for e, _, reason in drops] == [(1, DropReason.SHUTDOWN)]
    gate.open()


@pytest.mark.slow
def test_context_manager_left_by_an_exception_drains_as_long_as_deliveries_end(
    factory: BusFactory,
) -> None:
    """Together far longer than the `shutdown_timeout`, which none of them reaches."""
    bus, recorder = factory.bus(shutdown_timeout=1.0, queue_size=40), Recorder()
    bus.subscribe("a", lambda event: (pause(0.05), recorder(event)))
    for number in range(40):
        assert bus.publish(Event("a", number))
    leave_by_an_exception(bus)
    assert recorder.data == list(range(40))
    assert bus.stats().dropped == 0


def test_context_manager_without_a_shutdown_timeout_waits_after_an_exception_too(
    factory: BusFactory,
) -> None:
    """None means no limit."""
    bus, recorder = factory.bus(shutdown_timeout=None), Recorder()
    gate = factory.hold(bus)
    bus.subscribe("a", recorder)
    assert bus.publish(Event("a", 1))
    leaving = InThread(lambda: leave_by_an_exception(bus))
    poll(lambda: bus.closed)
    gate.open()
    leaving.result()
    assert recorder.data == [1]


def test_drain_without_a_limit_names_the_handlers_that_stand_still(
    factory: BusFactory, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, as a warning: the user sees what it waits for."""
    monkeypatch.setattr(engine, "STILL_AFTER", 0.01)
    with factory.bus(name="night") as bus:
        gate = factory.hold(bus)
        opener = InThread(lambda: (poll(lambda: bool(logged.records)), pause(0.1), gate.open()))
    opener.result()
    [record] = logged.records
    assert record.levelname == "WARNING"
    assert "night: waits for handlers" in logged.text
    assert "gate -> Gate object" in logged.text


seen: ContextVar[str] = ContextVar("seen", default="nothing")


def test_workers_run_in_an_empty_context(factory: BusFactory) -> None:
    """Not for ever in that of the thread that created the bus."""
    token = seen.set("of the maker")
    try:
        bus, values = factory.bus(workers=2), Recorder()
        bus.subscribe("a", lambda _: values(Event("value", seen.get())))
        assert bus.publish_many([Event("a")] * 4) == 4
        bus.resize(3)
        assert bus.publish_many([Event("a")] * 4) == 4
        assert bus.flush(HANG)
    finally:
        seen.reset(token)
    assert values.data == ["nothing"] * 8


class Patched(ModuleType):
    """Resembles the module that has replaced `threading`."""

    def is_module_patched(self, name: str) -> bool:
        """Answer as gevent does."""
        return name == "threading"

    def is_monkey_patched(self, name: str) -> bool:
        """Answer as eventlet does."""
        return name == "thread"


@pytest.mark.parametrize("by", ["gevent.monkey", "eventlet.patcher"])
def test_bus_without_real_threads_says_so_at_once(monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    """In one sentence that names the library that replaced them."""
    monkeypatch.setitem(sys.modules, by, Patched(by))
    with pytest.raises(BusError, match=f"monkey-patched by {by.partition('.')[0]}"):
        EventBus(workers=1)


def test_repr_says_what_it_is(factory: BusFactory) -> None:
    """Name, workers, and queue or end."""
    bus = factory.bus(name="mine")
    assert repr(bus) == "<EventBus 'mine', 1 worker, 0 queued>"
    bus.stop()
    assert repr(bus) == "<EventBus 'mine', 1 worker, closed>"
    assert "2 workers" in repr(factory.bus(workers=2))


class FailingStart:
    """Makes `Thread.start` fail from the n-th call on."""

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
    """The constructor raises what `Thread.start` raises, and the started threads have ended."""
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


class _OnlyOne(EventBus):
    """Returns the one object that there is, as singletons do, and so initialises it again."""

    one: "_OnlyOne | None" = None

    def __new__(cls, *args: Any, **kwargs: Any) -> "_OnlyOne":
        if cls.one is None:
            cls.one = super().__new__(cls)
        return cls.one


def test_bus_that_is_initialised_again_stays_as_it_was(factory: BusFactory) -> None:
    """Its subscriptions and threads would be lost without a word."""
    before, recorder = threading.active_count(), Recorder()
    with _OnlyOne(workers=1, name="first") as bus:
        bus.subscribe("a", recorder)
        with pytest.raises(BusError, match="first: the bus is initialised already"):
            _OnlyOne(workers=2)
        assert bus.publish(Event("a"))
    assert (len(recorder.events), bus.name) == (1, "first")
    assert threading.active_count() == before
