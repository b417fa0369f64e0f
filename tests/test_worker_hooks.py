"""The hooks that each worker calls: before its first and after its last delivery."""

import ctypes
import gc
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from brummerbus import BusClosed, BusError, Event, EventBus
from brummerbus._core import engine, threads
from helpers.buses import BusFactory
from helpers.handlers import Logged, Recorder
from helpers.processes import in_child, run_python
from helpers.threads import InThread
from helpers.waiting import HANG, pause, poll

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
with_threads = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


class Diary:
    """Keeps what happens in which thread."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str]] = []

    def note(self, what: str) -> Callable[..., None]:
        """Return a hook or handler that is noted under a word."""
        return lambda *_: self.entries.append((threading.current_thread().name, what))

    def by_thread(self) -> dict[str, list[str]]:
        """Return what has happened in each thread, in order."""
        threads = sorted({name for name, _ in self.entries})
        return {name: [what for n, what in self.entries if n == name] for name in threads}

    def count(self, what: str) -> int:
        """Return how often something happened."""
        return sum(w == what for _, w in self.entries)


def diary_bus(factory: BusFactory, **settings: Any) -> tuple[EventBus, Diary]:
    """Make a bus that keeps a diary of its workers."""
    diary = Diary()
    hooks = {"on_worker_start": diary.note("start"), "on_worker_stop": diary.note("stop")}
    return factory.bus(**{**hooks, **settings}), diary


@pytest.mark.parametrize("drain", [True, False])
def test_each_worker_calls_them_around_its_deliveries(factory: BusFactory, drain: bool) -> None:
    """Once each, in its own thread."""
    bus, diary = diary_bus(factory, workers=3)
    gate = factory.gate()
    bus.subscribe("a", diary.note("handle"))
    bus.subscribe("a", gate)
    for _ in range(3):
        bus.publish(Event("a"), timeout=HANG)
    gate.wait_entered(3)
    gate.open()
    assert bus.flush(HANG)
    assert bus.stop(drain=drain)
    found = diary.by_thread()
    assert sorted(found) == ["bus-worker-1", "bus-worker-2", "bus-worker-3"]
    for what in found.values():
        assert (what[0], what[-1]) == ("start", "stop")
        assert set(what[1:-1]) <= {"handle"}


def test_a_pool_that_grows_and_shrinks_calls_them(factory: BusFactory) -> None:
    """In the workers that come and in those that leave."""
    bus, diary = diary_bus(factory, workers=1)
    bus.resize(4)
    poll(lambda: diary.count("start") == 4)
    bus.resize(1)
    poll(lambda: diary.count("stop") == 3)
    assert bus.stop()
    assert set(map(tuple, diary.by_thread().values())) == {("start", "stop")}
    assert len(diary.by_thread()) == 4


def test_a_worker_takes_nothing_until_its_start_hook_returns(factory: BusFactory) -> None:
    """The constructor does not wait for it."""
    gate, seen = factory.gate(), Recorder()
    bus = factory.bus(on_worker_start=lambda: gate(None))
    bus.subscribe("a", seen)
    gate.wait_entered()
    bus.publish(Event("a", 1))
    assert (bus.depth, seen.data) == (1, [])
    gate.open()
    seen.wait_for(1)


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_what_they_raise_is_logged_and_the_worker_works(
    factory: BusFactory, logged: Logged, error: type[BaseException]
) -> None:
    """The stop hook is called although the start hook has failed."""
    stopped = Recorder()

    def start() -> None:
        raise error("of start")

    def stop() -> None:
        stopped(None)
        raise error("of stop")

    bus, seen = factory.bus(on_worker_start=start, on_worker_stop=stop), Recorder()
    bus.subscribe("a", seen)
    bus.publish(Event("a"))
    seen.wait_for(1)
    assert bus.stop()
    assert len(stopped.events) == 1
    assert f"{error.__name__}: of start" in logged.text
    assert f"{error.__name__}: of stop" in logged.text
    assert bus.stats().failed == 0


def throw(ident: int, error: type[BaseException]) -> None:
    """Raise an exception in another thread."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(error))


@pytest.mark.parametrize("which", ["start", "stop"])
def test_an_exception_from_another_thread_does_not_end_the_worker(
    factory: BusFactory, logged: Logged, which: str
) -> None:
    """It ends the hook, and is logged."""
    idents: list[int] = []
    go_on = threading.Event()

    def hook() -> None:
        idents.append(threading.get_ident())
        while not go_on.is_set():
            pause(0.001)

    diary = Diary()
    hooks = {"on_worker_start": diary.note("start"), "on_worker_stop": diary.note("stop")}
    bus, seen = factory.bus(**{**hooks, f"on_worker_{which}": hook}), Recorder()
    bus.subscribe("a", seen)
    stop = InThread(bus.stop) if which == "stop" else None
    poll(lambda: bool(idents))
    throw(idents[0], KeyError)
    poll(lambda: "KeyError" in logged.text)
    if stop is None:
        bus.publish(Event("a"))
        seen.wait_for(1)
        assert bus.stop()
    else:
        assert stop.result()
    assert diary.count("stop" if which == "start" else "start") == 1


def test_in_a_hook_one_is_inside_the_bus(factory: BusFactory) -> None:
    """It may publish, but not wait for itself; a hook at the end finds the bus closed."""
    outcome: list[Any] = []
    made = threading.Event()

    def start() -> None:
        assert made.wait(HANG)
        with pytest.raises(BusError, match="would wait"):
            bus.flush()
        outcome.append(bus.publish(Event("a", "of start")))

    def stop() -> None:
        with pytest.raises(BusClosed):
            bus.publish(Event("a"))
        outcome.append(bus.stop())

    bus = factory.bus(on_worker_start=start, on_worker_stop=stop)
    seen = Recorder()
    bus.subscribe("a", seen)
    made.set()
    seen.wait_for(1)
    assert bus.stop()
    assert seen.data == ["of start"]
    assert outcome == [True, False]


def test_a_stop_waits_for_the_stop_hooks(
    factory: BusFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than for a worker that only has to end."""
    monkeypatch.setattr(threads, "JOIN_GRACE", 0.001)
    monkeypatch.setattr(engine, "JOIN_GRACE", 0.001)
    gate = factory.gate()
    bus = factory.bus(on_worker_stop=lambda: gate(None))
    stop = InThread(bus.stop)
    gate.wait_entered()
    pause(0.1)
    assert stop.running
    gate.open()
    assert stop.result()
    poll(lambda: not [t for t in threading.enumerate() if t.name.startswith("bus-worker")])


@pytest.mark.parametrize("settings", [{"shutdown_timeout": 0.02}, {}])
def test_a_stop_does_not_wait_for_a_stop_hook_that_hangs(
    factory: BusFactory, monkeypatch: pytest.MonkeyPatch, logged: Logged, settings: Any
) -> None:
    """No longer than `shutdown_timeout`, or its own `timeout`; it says so."""
    monkeypatch.setattr(engine, "JOIN_GRACE", 0.001)
    gate = factory.gate()
    bus = factory.bus(on_worker_stop=lambda: gate(None), **settings)
    assert bus.stop(timeout=None if settings else 0.02)
    assert "stopped while on_worker_stop still runs in 1 thread" in logged.text


def test_at_exit_the_stop_hooks_are_called() -> None:
    """Before the program's own hooks at exit, also if they take longer than a worker needs."""
    end = run_python("""
        from brummerbus._core import engine
        engine.JOIN_GRACE = 0.05
        atexit.register(say, "exit")
        def stopped():
            time.sleep(0.2)
            say("stop")
        bus = EventBus(workers=2, on_worker_stop=stopped)
        bus.subscribe("a", lambda event: say("handled"))
        bus.publish(Event("a"))
    """)
    assert (end.code, end.err) == (0, "")
    assert end.lines == ["handled", "stop", "stop", "exit"]


def test_a_bus_that_is_collected_calls_the_stop_hooks() -> None:
    """Its workers end when its queue is empty."""
    diary = Diary()
    bus = EventBus(workers=2, on_worker_stop=diary.note("stop"))
    del bus
    gc.collect()
    poll(lambda: diary.count("stop") == 2)


@needs_fork
@with_threads
def test_the_workers_of_a_forked_child_call_them(factory: BusFactory) -> None:
    """The parent's are not called there."""
    bus, diary = diary_bus(factory, workers=2)
    poll(lambda: diary.count("start") == 2)

    def child() -> None:
        diary.entries.clear()
        bus.publish(Event("a"))
        poll(lambda: diary.count("start") == 2)
        assert bus.stop()
        assert diary.count("stop") == 2

    assert in_child(child) == 0
    assert diary.count("stop") == 0


@needs_fork
@with_threads
def test_a_worker_that_forks_does_not_call_the_stop_hook_in_the_child(factory: BusFactory) -> None:
    """What its start hook has opened is the parent's; closing it would close it there, too."""
    reader, writer = os.pipe()
    children: list[int] = []
    bus = factory.bus(on_worker_stop=lambda: os.write(writer, f"{os.getpid()} ".encode()))

    def handler(event: Event) -> None:
        pid = os.fork()
        if pid:
            children.append(pid)
            os.waitpid(pid, 0)

    bus.subscribe("a", handler)
    bus.publish(Event("a"))
    assert bus.flush(HANG)
    assert bus.stop()
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read().split() == [str(os.getpid()).encode()]
    assert len(children) == 1


@pytest.mark.parametrize("hook", ["on_unrouted", "on_worker_start", "on_worker_stop"])
def test_hooks_are_checked_and_cannot_be_replaced(factory: BusFactory, hook: str) -> None:
    """As the others."""
    with pytest.raises(TypeError, match=f"{hook} must be callable or None, got 3"):
        EventBus(**{hook: 3})  # type: ignore[arg-type]
    function = print
    bus = factory.bus(**{hook: function})
    assert getattr(bus, hook) is function
    with pytest.raises(
        AttributeError, match=rf"{hook} cannot be set later: EventBus\({hook}=...\)"
    ):
        setattr(bus, hook, print)
