"""The system refuses a thread: at construction, and in the child of a fork at its first publish.

The k-th start fails where Python calls the system, so that all of `Thread.start` runs; one test
reaches a real limit. `test_construction.py` and `test_fork.py` have the simple cases.
"""

import _thread
import gc
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from brummerbus import Event, EventBus
from brummerbus._core._ext import Entry
from brummerbus._core.engine import live_engines
from brummerbus._core.queue import Queue
from brummerbus._core.threads import PoolThread
from helpers.buses import BusFactory
from helpers.checks import assert_balance
from helpers.handlers import Recorder
from helpers.processes import in_child, run_python
from helpers.waiting import HANG, poll

WORKERS = 4
START = "_start_joinable_thread" if sys.version_info >= (3, 13) else "_start_new_thread"
ERRORS = [RuntimeError("can't start new thread"), MemoryError("no stack")]


@contextmanager
def failing_after(k: int, error: BaseException) -> Iterator[None]:
    """Let the system start k threads, and raise for each further one."""
    start: Callable[..., Any] = getattr(threading, START)
    left = iter(range(k))

    def failing(*arguments: Any, **keywords: Any) -> Any:
        if next(left, None) is None:
            raise error
        return start(*arguments, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, START, failing)
        yield


def queues() -> int:
    """Return how many queues there are in this process."""
    gc.collect()
    return sum(isinstance(thing, Queue) for thing in gc.get_objects())


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("k", range(WORKERS))
def test_construction_whose_kth_thread_fails_leaves_nothing(k: int, error: BaseException) -> None:
    """No thread, no queue, nothing to drain at exit; the error is the system's."""
    threads, before, engines = set(threading.enumerate()), queues(), set(live_engines())
    with failing_after(k, error), pytest.raises(type(error)) as raised:
        EventBus(workers=WORKERS)
    assert raised.value is error
    error.__traceback__ = None  # it refers to the frames, and they to the bus
    del raised
    assert set(threading.enumerate()) == threads
    assert set(live_engines()) == engines
    assert queues() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("how", ["publish", "publish_many", "to_nobody"])
@pytest.mark.parametrize("k", range(WORKERS))
def test_publish_in_a_child_whose_kth_thread_fails_can_be_made_again(
    factory: BusFactory, k: int, how: str
) -> None:
    """The error reaches the publisher, repeatedly, and its event is not published."""
    bus, seen = factory.bus(workers=WORKERS), Recorder()
    bus.subscribe("a", seen)
    publish: Callable[[str], object] = {
        "publish": lambda data: bus.publish(Event("a", data)),
        "publish_many": lambda data: bus.publish_many([Event("a", data)]),
        "to_nobody": lambda data: bus.publish(Event("nobody", data)),
    }[how]

    def child() -> None:
        for _ in range(3):
            with failing_after(k, ERRORS[0]), pytest.raises(RuntimeError, match="can't start"):
                publish("refused")
            poll(lambda: threading.active_count() == 1)
            assert bus.stats().published == 0
        publish("accepted")
        assert threading.active_count() == 1 + WORKERS
        assert bus.flush(HANG)
        assert seen.data == ([] if how == "to_nobody" else ["accepted"])
        assert_balance(bus.stats())
        assert bus.stop()

    assert in_child(child) == 0


def test_exit_after_failed_starts_is_clean_and_later_buses_work() -> None:
    """A program that continues with what it can get."""
    end = run_python(f"""
        start, left = threading.{START}, []
        def failing(*arguments, **keywords):
            if not left:
                raise RuntimeError("can't start new thread")
            left.pop()
            return start(*arguments, **keywords)
        threading.{START} = failing
        for k in range(5):
            left[:] = [None] * k
            try:
                bus = bus_of(workers=5)
            except RuntimeError as error:
                say(k, error, threading.active_count())
        left[:] = [None] * 5
        bus = bus_of(workers=5)
        bus.subscribe("a", lambda event: say(event.data))
        bus.publish(Event("a", "handled"))
    """)
    assert (end.code, end.err) == (0, "")
    assert end.lines == [*(f"{k} can't start new thread 1" for k in range(5)), "handled"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads /proc")
def test_construction_at_a_real_limit_fails_cleanly_and_works_without_it() -> None:
    """Address space for a few stacks, and no more."""
    end = run_python("""
        import resource
        from brummerbus._core import engine
        threading.stack_size(64 << 20)
        pages = int(open("/proc/self/statm").read().split()[0])
        unlimited = resource.getrlimit(resource.RLIMIT_AS)
        limit = pages * resource.getpagesize() + (300 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, unlimited[1]))
        try:
            EventBus(workers=100)
        except (RuntimeError, MemoryError) as error:
            say(error, threading.active_count(), len(engine.live_engines()))
        resource.setrlimit(resource.RLIMIT_AS, unlimited)
        threading.stack_size(0)
        bus = EventBus(workers=100)
        bus.subscribe("a", lambda event: say(event.data))
        bus.publish(Event("a", "handled"))
    """)
    assert (end.code, end.err) == (0, "")
    assert end.lines == ["can't start new thread 1 0", "handled"]


def test_a_thread_that_threading_does_not_know_leaves_no_trace(
    factory: BusFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`current_thread()` would create a dummy that stays; finalizers run so at a thread's end."""
    monkeypatch.setattr(logging.getLogger("brummerbus"), "disabled", True)  # logging creates one
    bus = factory.bus(queue_size=1)
    factory.hold(bus)
    bus.subscribe("a", Recorder())
    threads = set(threading.enumerate())
    outcomes: list[object] = []

    def use() -> None:
        outcomes.append(bus.publish(Event("a"), timeout=0.001))
        outcomes.append(bus.publish(Event("a"), timeout=0.001))
        outcomes.append(bus.flush(0))
        outcomes.append(bus.stop(timeout=0))

    _thread.start_new_thread(use, ())
    poll(lambda: len(outcomes) == 4)
    assert outcomes == [True, True, False, False]
    assert set(threading.enumerate()) == threads


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collect what the interpreter reports of threads that die, instead of printing it."""
    reported: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", reported.append)
    return reported


def test_a_thread_without_memory_for_its_first_frame_fails_its_start(
    monkeypatch: pytest.MonkeyPatch, deaf: list[Any]
) -> None:
    """What fails here is C code, so no line of Python has run in the thread (cpython#140746)."""
    monkeypatch.setattr(threading.Thread, "_bootstrap", staticmethod(partial(divmod, 1, 0)))
    before = set(threading.enumerate())
    ran: list[int] = []
    with pytest.raises(RuntimeError, match=r"^timer: the thread ended before it could begin$"):
        PoolThread("timer", lambda: ran.append(1)).start()
    assert not ran
    assert set(threading.enumerate()) == before
    assert [report.exc_type for report in deaf] == [ZeroDivisionError]


def test_construction_of_a_bus_whose_worker_has_no_memory_for_its_first_frame_fails(
    monkeypatch: pytest.MonkeyPatch, deaf: list[Any]
) -> None:
    """And leaves no engine."""
    engines = set(live_engines())
    monkeypatch.setattr(threading.Thread, "_bootstrap", staticmethod(partial(divmod, 1, 0)))
    with pytest.raises(RuntimeError, match="-worker-1: the thread ended before it could begin"):
        EventBus(workers=2)
    assert set(live_engines()) == engines
    assert deaf


def test_a_thread_that_the_system_takes_but_never_runs_releases_its_starter() -> None:
    """The entry's last reference is enough; so it is after the end of a call, and only once."""
    lock, calls = threading.Lock(), list[int]()
    lock.acquire()
    entry = Entry(partial(calls.append, 1), lock)
    assert lock.locked()
    del entry
    assert not lock.locked()

    lock.acquire()
    entry = Entry(partial(calls.append, 2), lock)
    entry()
    assert not lock.locked()
    lock.acquire()
    entry()
    del entry
    assert lock.locked()
    assert calls == [2]


def test_an_entry_passes_on_what_its_function_raises_and_releases_the_lock() -> None:
    """So the interpreter reports it."""
    lock = threading.Lock()
    lock.acquire()
    with pytest.raises(ZeroDivisionError):
        Entry(partial(divmod, 1, 0), lock)()
    assert not lock.locked()


def test_a_thread_is_started_where_a_lock_of_threading_is_held() -> None:
    """As in a signal handler or a finalizer that has struck inside `threading.enumerate`.

    The new thread needs that lock before it runs anything: a starter that waits for more than that
    it has begun waits for ever.
    """
    end = run_python("""
        from brummerbus._core.threads import PoolThread

        done = threading.Event()
        with threading._active_limbo_lock:
            PoolThread("timer", done.set).start()
        say(done.wait(20))
    """)
    assert (end.code, end.err, end.lines) == (0, "", ["True"])
