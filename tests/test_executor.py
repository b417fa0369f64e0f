"""An executor on a bus: a bounded `ThreadPoolExecutor`, of which every future ends."""

import asyncio
import contextvars
import itertools
import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import (
    CancelledError,
    Future,
    ThreadPoolExecutor,
    TimeoutError,  # noqa: A004, in Python 3.10 not the builtin one
    wait,
)
from concurrent.futures.thread import BrokenThreadPool
from typing import Any

import pytest

from brummerbus import BusClosed, Event, QueueFull
from brummerbus.executor import BusExecutor
from brummerbus.testing import TestBus
from helpers.buses import BusFactory, inside
from helpers.handlers import Gate, Logged, Recorder
from helpers.processes import assert_clean, in_child, modules_after, run_python
from helpers.waiting import HANG, pause, poll

Make = Callable[..., BusExecutor]


@pytest.fixture
def make(factory: BusFactory) -> Iterator[Make]:
    """A factory of small executors, which are shut down after the test."""
    made: list[BusExecutor] = []

    def make(max_workers: int | None = 1, **options: Any) -> BusExecutor:
        if "bus" not in options:
            options.setdefault("queue_size", 10)
        made.append(BusExecutor(max_workers, **options))
        return made[-1]

    yield make
    factory.end()  # opens the gates
    for executor in made:
        executor.bus.stop(drain=False)


def hold(factory: BusFactory, executor: BusExecutor, workers: int = 1) -> Gate:
    """Occupy workers, so that what is submitted then stays in the queue."""
    gate = factory.gate()
    for _ in range(workers):
        executor.submit(gate, None)
        gate.wait_entered()
    return gate


SHARED = pytest.mark.parametrize("shared", [False, True], ids=["own bus", "shared bus"])


def either(make: Make, factory: BusFactory, *, shared: bool, **settings: Any) -> BusExecutor:
    """Return an executor with one worker and room for ten tasks."""
    if shared:
        return make(None, bus=factory.bus(policy="reject", **settings))
    return make(**settings)


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


# ---- the bound -----------------------------------------------------------------------------------


@SHARED
def test_a_full_queue_refuses_a_task_without_waiting(
    make: Make, factory: BusFactory, shared: bool
) -> None:
    """Although the bus may wait: a blocked submit would hold an event loop up."""
    executor = either(make, factory, shared=shared, **({"publish_timeout": 1e6} if shared else {}))
    assert executor.capacity == 10
    gate = hold(factory, executor)
    futures = [executor.submit(int) for _ in range(10)]
    with pytest.raises(QueueFull, match="10 slots"):
        executor.submit(int)
    gate.open()
    assert [future.result(HANG) for future in futures] == [0] * 10
    assert not executor._pool.waiting


def test_a_task_may_submit_into_its_own_full_queue(make: Make, factory: BusFactory) -> None:
    """Into the reserve for handlers."""
    executor = make(queue_size=1)
    gate = factory.gate()

    def submit_more() -> list[Future[int]]:
        gate(None)
        return [executor.submit(int) for _ in range(5)]

    outer = executor.submit(submit_more)
    gate.wait_entered()
    executor.submit(int)
    gate.open()
    assert [future.result(HANG) for future in outer.result(HANG)] == [0] * 5


@pytest.mark.parametrize("policy", ["drop_newest", "drop_oldest", "drop_lowest"])
@SHARED
def test_a_task_that_the_policy_drops_is_cancelled(
    make: Make, factory: BusFactory, policy: str, shared: bool
) -> None:
    """And those who wait for it are notified."""
    settings = {"policy": policy, "queue_size": 1}
    executor = make(None, bus=factory.bus(**settings)) if shared else make(**settings)
    hold(factory, executor)
    first = executor.with_priority(1).submit(int)
    second = executor.submit(int)
    lost = second if policy == "drop_newest" else first
    assert wait([lost], HANG).done == {lost}
    assert lost.cancelled()
    with pytest.raises(CancelledError):
        lost.result(HANG)


def test_futures_end_although_the_callback_of_each_submits_and_evicts_another(
    make: Make, factory: BusFactory
) -> None:
    """However deep, and on whatever executor: hooks of a bus are only called some levels deep."""
    executor, futures = make(queue_size=1, policy="drop_oldest"), list[Future[Any]]()
    refusing = make(queue_size=1, policy="drop_newest")
    gate, second = hold(factory, executor), hold(factory, refusing)

    def submit(_: object) -> None:
        if len(futures) < 40:
            futures.extend([executor.submit(int), refusing.submit(int)])
            futures[-2].add_done_callback(submit)

    submit(None)
    submit(None)
    gate.open()
    second.open()
    assert not wait(futures, HANG).not_done


def test_a_policy_that_waits_can_be_asked_for(make: Make, factory: BusFactory) -> None:
    """Then `submit` returns once there is room."""
    executor = make(policy="block", queue_size=1)
    gate = hold(factory, executor)
    submitted = Recorder()

    def submit() -> None:
        for _ in range(3):
            submitted(executor.submit(int))

    thread = threading.Thread(target=submit)
    thread.start()
    poll(lambda: executor.bus.stats().waiting == 1)
    assert len(submitted.events) == 1
    gate.open()
    thread.join(HANG)
    assert [future.result(HANG) for future in submitted.events] == [0] * 3


@SHARED
def test_a_view_with_a_priority_overtakes(make: Make, factory: BusFactory, shared: bool) -> None:
    """In the same pool."""
    executor = either(make, factory, shared=shared)
    gate, seen = hold(factory, executor), list[str]()
    for name, priority in (("low", 1), ("high", 3), ("medium", 2)):
        executor.with_priority(priority).submit(seen.append, name)
    executor.submit(seen.append, "plain")
    gate.open()
    assert executor.bus.flush(HANG)
    assert seen == ["high", "medium", "plain", "low"]
    view = executor.with_priority(3)
    assert view.capacity == executor.capacity
    assert view._threads == executor._threads
    view.shutdown()
    with pytest.raises(BusClosed):
        executor.submit(int)


# ---- map -----------------------------------------------------------------------------------------


def test_map_gives_the_results_in_order(make: Make) -> None:
    """Whatever order the calls end in; the shortest iterable ends it."""
    executor = make(3)
    assert list(executor.map(pow, range(5), itertools.count(1))) == [0, 1, 8, 81, 1024]
    assert list(executor.map(pow, range(5), itertools.count(1), buffersize=2)) == [
        0,
        1,
        8,
        81,
        1024,
    ]
    results = executor.map(divmod, [1, 1], [1, 0])
    assert next(results) == (1, 0)
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_map_submits_so_many_ahead_of_the_results(make: Make, factory: BusFactory) -> None:
    """From an iterable without an end, and into a queue that holds fewer."""
    executor, numbers = make(queue_size=3), itertools.count()
    results = executor.map(str, numbers, buffersize=2)
    assert next(numbers) == 2
    assert [next(results) for _ in range(3)] == ["0", "1", "3"]
    assert list(executor.map(str, range(50), buffersize=20)) == list(map(str, range(50)))


def test_map_with_a_buffer_goes_on_when_others_have_filled_the_queue(
    make: Make, factory: BusFactory
) -> None:
    """As long as one of its calls is submitted."""
    executor = make(queue_size=2)
    gate = hold(factory, executor)
    results = executor.map(str, range(4), buffersize=1)
    other = executor.submit(int)
    with pytest.raises(QueueFull):
        executor.map(str, range(4), buffersize=1)
    gate.open()
    assert list(results) == ["0", "1", "2", "3"]
    assert other.result(HANG) == 0


def test_map_without_a_buffer_says_what_to_do_when_there_is_no_room(
    make: Make, factory: BusFactory
) -> None:
    """And cancels what it had submitted."""
    executor, seen = make(), Recorder()
    gate = hold(factory, executor)
    with pytest.raises(QueueFull, match=r"10 calls of map\(\).*buffersize=n"):
        executor.map(seen, range(11))
    gate.open()
    assert executor.bus.flush(HANG)
    assert not seen.events


BUFFERS = pytest.mark.parametrize("buffersize", [None, 3])


@BUFFERS
def test_map_cancels_what_is_not_called_when_the_time_is_over(
    make: Make, factory: BusFactory, buffersize: int | None
) -> None:
    """The result that was waited for, and those after it."""
    executor, seen = make(), Recorder()
    gate = hold(factory, executor)
    results = executor.map(seen, range(3), timeout=0, buffersize=buffersize)
    with pytest.raises(TimeoutError):
        next(results)
    gate.open()
    assert executor.bus.flush(HANG)
    assert not seen.events


@BUFFERS
def test_map_cancels_what_is_not_called_when_its_iterator_is_closed(
    make: Make, factory: BusFactory, buffersize: int | None
) -> None:
    """A call that runs is not interrupted."""
    executor, gate, seen = make(), factory.gate(), Recorder()

    def call(number: int) -> None:
        seen(number)
        gate(None)

    results: Any = executor.map(call, range(5), buffersize=buffersize)
    gate.let_through()
    next(results)
    gate.wait_entered(2)
    results.close()
    gate.open()
    assert executor.bus.flush(HANG)
    assert seen.events == [0, 1]


@pytest.mark.parametrize(
    ("buffersize", "error", "message"),
    [
        ("2", TypeError, "buffersize must be an integer or None, got '2'"),
        (True, TypeError, "buffersize must be an integer or None, got True"),
        (0, ValueError, "buffersize must be None or > 0, got 0"),
    ],
)
def test_a_wrong_buffersize_is_named(
    make: Make, buffersize: Any, error: type[Exception], message: str
) -> None:
    """Before anything is submitted."""
    with pytest.raises(error, match=message):
        make().map(str, [1], buffersize=buffersize)


# ---- the end -------------------------------------------------------------------------------------


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


# ---- a shared bus --------------------------------------------------------------------------------


def test_executors_share_a_bus_with_each_other_and_with_subscribers(
    make: Make, factory: BusFactory
) -> None:
    """Each runs its own tasks; globs see none of them; a shutdown ends its own only."""
    bus, seen = factory.bus(), Recorder()
    bus.subscribe("*", seen)
    one, other = make(None, bus=bus), make(None, bus=bus)
    assert one.submit(pow, 2, 3).result(HANG) == 8
    bus.publish(Event("a", 1))
    one.shutdown()
    assert len(bus.subscriptions()) == 2
    assert other.submit(pow, 3, 3).result(HANG) == 27
    assert bus.flush(HANG)
    assert seen.data == [1]
    stats = bus.stats()
    assert (stats.published, stats.processed) == (3, 3)


def test_shutdown_on_a_shared_bus_waits_for_no_stranger(make: Make, factory: BusFactory) -> None:
    """Only for the tasks of its executor."""
    bus = factory.bus(workers=2)
    executor, gate = make(None, bus=bus), factory.gate()
    bus.subscribe("a", gate)
    bus.publish(Event("a"))
    gate.wait_entered()
    executor.submit(int)
    executor.shutdown()
    assert bus.stats().running == 1
    assert not bus.closed


def test_on_a_shared_bus_it_occupies_so_many_workers_at_most(
    make: Make, factory: BusFactory
) -> None:
    """The others stay free for other events."""
    bus, seen = factory.bus(workers=3), Recorder()
    executor = make(2, bus=bus)
    assert executor._max_workers == 2
    assert len(executor._threads) == 3
    hold(factory, executor, 2)
    third = executor.submit(int)
    bus.subscribe("a", seen)
    bus.publish(Event("a"))
    seen.wait_for(1)
    assert not third.running()
    assert not third.done()


def test_a_forgotten_executor_leaves_nothing_on_a_shared_bus(factory: BusFactory) -> None:
    """Its subscription ends with it; what it had submitted is run."""
    bus = factory.bus()
    executor = BusExecutor(bus=bus)
    view = executor.with_priority(2)
    gate = hold(factory, executor)
    del executor
    future = view.submit(int)
    del view
    assert not bus.subscriptions()
    gate.open()
    assert future.result(HANG) == 0


def test_on_a_bus_without_threads_tasks_are_run_step_by_step() -> None:
    """As handlers are: when the test says so, and at the shutdown."""
    with TestBus(seed=1) as bus:
        executor = BusExecutor(bus=bus)
        first = executor.submit(pow, 2, 3)
        assert not first.done()
        bus.run_until_idle()
        assert first.result(0) == 8
        second = executor.submit(executor.shutdown)
        third = executor.submit(pow, 3, 3)
        executor.shutdown()
        assert (second.result(0), third.result(0)) == (None, 27)


def test_a_handler_can_submit_to_an_executor_of_its_bus(make: Make, factory: BusFactory) -> None:
    """The task uses the reserve for handlers, if the queue is full."""
    bus = factory.bus()
    executor = make(None, bus=bus)
    future = inside(bus, lambda: executor.submit(pow, 2, 3))
    assert future.result(HANG) == 8


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


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"max_workers": 0}, ValueError, "max_workers must be greater than 0.* got 0"),
        ({"max_workers": -1}, ValueError, "max_workers must be greater than 0.* got -1"),
        ({"max_workers": 1025}, ValueError, "max_workers.*1024, got 1025"),
        ({"max_workers": "2"}, TypeError, "max_workers must be an int.* got '2'"),
        ({"max_workers": True}, TypeError, "max_workers must be an int.* got True"),
        ({"initializer": 3}, TypeError, "initializer must be.* got 3"),
        ({"workers": 3}, TypeError, "max_workers, not workers"),
        ({"queue_size": 0}, ValueError, "queue_size.* got 0"),
        ({"size": 3}, TypeError, "size"),
        ({"bus": 3}, TypeError, "bus must be an EventBus or None, got 3"),
    ],
)
def test_a_wrong_argument_is_named(arguments: Any, error: type[Exception], message: str) -> None:
    """With its value and what is accepted; no thread is left."""
    with pytest.raises(error, match=message):
        BusExecutor(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"queue_size": 10},
        {"monitoring": False},
        {"thread_name_prefix": "a"},
        {"initializer": int},
        {"initargs": (1,)},
    ],
    ids=str,
)
def test_what_is_the_buss_own_cannot_be_given_with_a_bus(
    factory: BusFactory, arguments: Any
) -> None:
    """It would be ignored."""
    with pytest.raises(TypeError, match=f"with bus, {next(iter(arguments))} cannot be given"):
        BusExecutor(bus=factory.bus(), **arguments)


def test_a_wrong_priority_is_named(make: Make) -> None:
    """With the levels that the bus has."""
    with pytest.raises(ValueError, match="priority must be an int from 1 to 3, got 4"):
        make().with_priority(4)


def test_a_stopped_bus_cannot_be_shared(factory: BusFactory) -> None:
    """As it cannot be subscribed to."""
    bus = factory.bus()
    bus.stop()
    with pytest.raises(BusClosed):
        BusExecutor(bus=bus)


def test_the_package_does_not_import_it() -> None:
    """Programs that do not use it do not pay for it."""
    modules = modules_after("import brummerbus")
    assert modules.isdisjoint({"brummerbus.executor", "brummerbus.executor._tasks"})
