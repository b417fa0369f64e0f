"""The end of an executor, of which every future ends."""

import os
import threading
import weakref
from concurrent.futures import wait

import pytest

from brummerbus import BusClosed
from brummerbus.executor import BusExecutor
from helpers.buses import BusFactory
from helpers.executors import SHARED, Make, either, hold
from helpers.handlers import Logged, Recorder
from helpers.processes import assert_clean, in_child, run_python
from helpers.waiting import HANG, pause, poll


@SHARED
def test_shutdown_waits_for_what_was_submitted(
    make: Make, factory: BusFactory, shared: bool
) -> None:
    """Then it refuses, with a `RuntimeError` as `ThreadPoolExecutor` does."""
    executor = either(make, factory, shared=shared)
    with executor:
        gate = hold(factory, executor)
        futures = [executor.submit(int) for _ in range(5)]
        gate.open()
    assert all(future.done() for future in futures)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(int)
    executor.shutdown()
    assert not any(thread.is_alive() for thread in executor._threads) or shared


@SHARED
def test_shutdown_waits_for_a_task_that_runs(make: Make, factory: BusFactory, shared: bool) -> None:
    """Although none is queued."""
    executor, began, seen = either(make, factory, shared=shared), threading.Event(), Recorder()

    def task() -> None:
        began.set()
        poll(lambda: executor._shutdown)
        pause(0.05)  # in which a shutdown that does not wait would return
        seen("done")

    executor.submit(task)
    assert began.wait(HANG)
    executor.shutdown()
    assert seen.events == ["done"]


@SHARED
def test_shutdown_without_waiting_finishes_what_was_submitted(
    make: Make, factory: BusFactory, shared: bool
) -> None:
    """In the background; the workers of an own bus end then."""
    executor = either(make, factory, shared=shared)
    gate = hold(factory, executor)
    futures = [executor.submit(int) for _ in range(5)]
    executor.shutdown(wait=False)
    with pytest.raises(BusClosed):
        executor.submit(int)
    assert not any(future.done() for future in futures)
    gate.open()
    assert [future.result(HANG) for future in futures] == [0] * 5
    for thread in () if shared else executor._threads:
        thread.join(HANG)
        assert not thread.is_alive()
    executor.shutdown()


@SHARED
def test_shutdown_cancels_what_waits_if_told_to(
    make: Make, factory: BusFactory, logged: Logged, shared: bool
) -> None:
    """Immediately, and those who wait are notified; a running task ends as usual."""
    executor = either(make, factory, shared=shared)
    gate = factory.gate()
    running = executor.submit(gate, None)
    gate.wait_entered()
    futures = [executor.submit(int) for _ in range(5)]
    executor.shutdown(wait=False, cancel_futures=True)
    assert not wait(futures, HANG).not_done
    assert all(future.cancelled() for future in futures)
    assert not running.done()
    gate.open()
    executor.shutdown()
    assert running.result(HANG) is None
    assert not logged.text


@SHARED
def test_a_task_can_shut_its_executor_down(make: Make, factory: BusFactory, shared: bool) -> None:
    """It does not wait for itself."""
    executor = either(make, factory, shared=shared)
    executor.submit(executor.shutdown).result(HANG)
    with pytest.raises(BusClosed):
        executor.submit(int)


@SHARED
def test_futures_are_cancelled_when_the_bus_is_stopped_without_draining(
    make: Make, factory: BusFactory, shared: bool
) -> None:
    """In any of the ways to do that."""
    executor = either(make, factory, shared=shared)
    gate = hold(factory, executor)
    futures = [executor.submit(int) for _ in range(5)]
    executor.bus.stop(drain=False, timeout=0)
    assert not wait(futures, HANG).not_done
    assert all(future.cancelled() for future in futures)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(int)
    gate.open()


def test_a_forgotten_executor_finishes_its_tasks_and_ends_its_workers(
    make: Make, factory: BusFactory
) -> None:
    """As a forgotten `ThreadPoolExecutor` does."""
    executor = BusExecutor(1, queue_size=10)
    gate, threads, reference = hold(factory, executor), executor._threads, weakref.ref(executor)
    future, results = executor.submit(int), executor.map(int, "123")
    del executor
    assert reference() is None  # without the garbage collector
    gate.open()
    assert future.result(HANG) == 0
    assert list(results) == [1, 2, 3]
    for thread in threads:
        thread.join(HANG)
        assert not thread.is_alive()


def test_tasks_are_finished_before_the_interpreter_exits() -> None:
    """However long they take, and although the executor was never shut down."""
    end = run_python("""
        from brummerbus.executor import BusExecutor
        executor = BusExecutor(1, queue_size=10)
        def work(word):
            time.sleep(0.1)
            say(word)
        futures = [executor.submit(work, word) for word in ("first", "second")]
        @atexit.register
        def later():
            try:
                executor.submit(int)
            except RuntimeError as error:
                say(error)
    """)
    assert_clean(end)
    assert end.lines == ["first", "second", "cannot schedule new futures after shutdown"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@SHARED
def test_the_child_of_a_fork_has_an_empty_executor_with_its_own_workers(
    make: Make, factory: BusFactory, shared: bool
) -> None:
    """The parent's tasks are run by the parent."""
    executor = either(make, factory, shared=shared)
    gate = hold(factory, executor)
    future = executor.submit(int)

    def child() -> None:
        assert executor.submit(pow, 2, 3).result(HANG) == 8
        assert executor._work_queue.qsize() == 0
        executor.shutdown(cancel_futures=True)
        assert not future.done()

    assert in_child(child) == 0
    gate.open()
    assert future.result(HANG) == 0
