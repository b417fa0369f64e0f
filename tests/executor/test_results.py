"""What an executor on a bus returns: a future for each task, as a `ThreadPoolExecutor` does."""

import asyncio
import contextvars
import logging
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor, wait
from concurrent.futures.thread import BrokenThreadPool
from typing import Any

import pytest

from brummerbus import QueueFull
from brummerbus.executor import BusExecutor
from helpers.buses import BusFactory
from helpers.executors import SHARED, Make, either, hold
from helpers.handlers import Logged
from helpers.interpreter import needs_immediate_release
from helpers.processes import modules_after
from helpers.waiting import HANG, pause

# ---- results -------------------------------------------------------------------------------------


@SHARED
def test_a_future_has_the_result_or_what_the_call_raised(
    make: Make, factory: BusFactory, shared: bool
) -> None:
    """As of any executor."""
    executor = either(make, factory, shared=shared)
    assert executor.submit(divmod, 7, 2).result(HANG) == (3, 1)
    assert executor.submit(dict, fn=1, self=2).result(HANG) == {"fn": 1, "self": 2}
    with pytest.raises(ZeroDivisionError):
        executor.submit(divmod, 7, 0).result(HANG)
    assert isinstance(executor.submit(exit).exception(HANG), SystemExit)
    assert executor.submit(pow, 2, 3).result(HANG) == 8


def test_it_is_a_thread_pool_executor_for_those_who_ask(make: Make) -> None:
    """And they find the private attributes that some of them read."""
    executor = make(2)
    assert isinstance(executor, ThreadPoolExecutor)
    assert executor._max_workers == len(executor._threads) == 2
    assert executor._work_queue.qsize() == 0
    assert executor._work_queue.empty()
    assert not executor._shutdown
    assert not executor._broken
    executor.shutdown()
    assert executor._shutdown


def test_its_threads_are_named_as_those_of_a_thread_pool_executor(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the executor exists, however slow they are."""

    def slow() -> threading.Thread:
        pause(0.02)
        return threading.current_thread()

    monkeypatch.setattr("brummerbus.executor._tasks.current_thread", slow)
    executor = make(2, thread_name_prefix="mail")
    assert sorted(thread.name for thread in executor._threads) == ["mail_0", "mail_1"]
    assert make().bus.name.startswith("BusExecutor-")


@SHARED
def test_a_task_runs_in_the_context_of_its_submitter(
    make: Make, factory: BusFactory, shared: bool
) -> None:
    """In a copy as of the submit; what it sets stays there."""
    variable = contextvars.ContextVar("variable", default="none")
    executor = either(make, factory, shared=shared)
    gate = hold(factory, executor)
    variable.set("at submit")
    future = executor.submit(variable.get)
    executor.submit(variable.set, "by a task")
    variable.set("later")
    gate.open()
    assert future.result(HANG) == "at submit"
    assert contextvars.Context().run(executor.submit, variable.get).result(HANG) == "none"
    assert variable.get() == "later"


@needs_immediate_release
def test_a_finished_task_is_released(make: Make) -> None:
    """With its arguments, its result and its exception, once nobody has the future."""

    class Object:
        pass

    def fail(argument: object) -> None:
        raise ValueError

    executor, refs = make(), []
    for function in (id, list, fail):
        argument = Object()
        refs.append(weakref.ref(argument))
        wait([executor.submit(function, [argument])], HANG)
        del argument
    assert executor.bus.flush(HANG)
    assert [ref() for ref in refs] == [None] * 3


def test_its_bus_has_the_figures(make: Make, factory: BusFactory) -> None:
    """Of the tasks that wait, and of those that were run."""
    executor = make()
    gate = hold(factory, executor)
    executor.submit(int)
    assert executor._work_queue.qsize() == executor.bus.depth == 1
    gate.open()
    assert executor.bus.flush(HANG)
    assert executor.bus.stats().by_type["Task"].processed == 2


# ---- initializers --------------------------------------------------------------------------------


def test_each_worker_is_initialised_before_its_first_task(make: Make, factory: BusFactory) -> None:
    """The constructor does not wait for that."""
    gate, local = factory.gate(), threading.local()

    def initialise(value: int) -> None:
        gate(None)
        local.value = value

    executor = make(2, initializer=initialise, initargs=(7,))
    gate.wait_entered(2)
    futures = [executor.submit(lambda: local.value) for _ in range(4)]
    assert not any(future.done() for future in futures)
    gate.open()
    assert [future.result(HANG) for future in futures] == [7] * 4


def test_an_initializer_that_fails_breaks_the_executor(make: Make, factory: BusFactory) -> None:
    """What waits fails, and what is submitted then."""
    gate, log = factory.gate(), Logged()

    def initialise() -> None:
        gate(None)
        raise ValueError("no database")

    executor = make(initializer=initialise)
    gate.wait_entered()
    future, cancelled = executor.submit(int), executor.submit(int)
    cancelled.cancel()
    logger = logging.getLogger("concurrent.futures")
    logger.addHandler(log)
    gate.open()
    assert isinstance(future.exception(HANG), BrokenThreadPool)
    logger.removeHandler(log)
    assert "no database" in log.text
    assert executor._broken
    with pytest.raises(BrokenThreadPool):
        executor.submit(int)
    assert wait([cancelled], HANG).done


# ---- asyncio -------------------------------------------------------------------------------------


def test_it_can_be_the_default_executor_of_an_event_loop(factory: BusFactory) -> None:
    """Of `asyncio.to_thread`; a full queue is an exception there, and no blocked loop."""
    gate = factory.gate()

    async def main() -> tuple[list[int], list[Any]]:
        executor = BusExecutor(1, queue_size=3)
        asyncio.get_running_loop().set_default_executor(executor)
        results = await asyncio.gather(*(asyncio.to_thread(pow, 2, n) for n in range(3)))
        executor.submit(gate, None)
        gate.wait_entered()
        many = asyncio.gather(
            *(asyncio.to_thread(pow, 2, n) for n in range(5)), return_exceptions=True
        )
        await asyncio.sleep(0)
        gate.open()
        return results, await many

    results, many = asyncio.run(main())
    assert results == [1, 2, 4]
    assert many[:3] == [1, 2, 4]
    assert [type(refused) for refused in many[3:]] == [QueueFull] * 2


def test_to_thread_under_load_gives_each_call_its_result_or_refuses_it() -> None:
    """And nothing is lost: the loop's futures all end."""

    async def main(executor: BusExecutor) -> list[Any]:
        asyncio.get_running_loop().set_default_executor(executor)
        calls = (asyncio.to_thread(pow, n, 2) for n in range(2000))
        return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), HANG)

    for queue_size in (2000, 20):
        executor = BusExecutor(4, queue_size=queue_size)
        results = asyncio.run(main(executor))
        refused = [n for n, result in enumerate(results) if isinstance(result, QueueFull)]
        assert all(results[n] == n * n for n in range(2000) if n not in set(refused))
        stats = executor.bus.stats()
        assert (stats.processed, stats.dropped) == (2000 - len(refused), len(refused))
        assert bool(refused) == (queue_size == 20)


# ---- mistakes ------------------------------------------------------------------------------------


def test_the_package_does_not_import_it() -> None:
    """Programs that do not use it do not pay for it."""
    modules = modules_after("import brummerbus")
    assert modules.isdisjoint({"brummerbus.executor", "brummerbus.executor._tasks"})
