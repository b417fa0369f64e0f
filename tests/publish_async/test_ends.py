"""How the wait of a task that publishes ends: cancelled, stopped, raised in, its loop closed."""

import asyncio
import threading
from contextvars import ContextVar
from typing import Any

import pytest

from brummerbus import BusClosed, BusError, Event
from brummerbus.testing import TestBus
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest
from helpers.handlers import Recorder
from helpers.loops import run
from helpers.publishing import Full
from helpers.threads import InThread
from helpers.waiting import HANG

# ---- waiting -------------------------------------------------------------------------------------


def test_a_cancelled_task_waits_no_more(factory: BusFactory) -> None:
    """Its event is accepted or not; here there is no room, so it is not."""
    full = Full(factory)

    async def main() -> None:
        for behind in (False, True):
            tasks = [await full.waits(1, lambda: full.bus.publish_async(Event("a", "cancelled")))]
            tasks.append(await full.waits(2, lambda: full.bus.publish_async(Event("a", "kept"))))
            tasks[behind].cancel()
            await full.wait(1)
            tasks[not behind].cancel()
            await full.wait(0)
            for task in tasks:
                with pytest.raises(asyncio.CancelledError):
                    await task
        last = await full.waits(1, lambda: full.bus.publish_async(Event("a", "last")))
        full.gate.open()
        assert await last

    run(main())
    assert_at_rest(full.bus)
    assert full.seen.data == [0, 1, "last"]


def test_what_was_accepted_is_handled_whenever_its_task_is_cancelled(factory: BusFactory) -> None:
    """No event is lost, none comes twice, and the counts agree."""
    full = Full(factory, queue_size=3)
    full.gate.open()

    async def main() -> tuple[int, int]:
        answered = cancelled = 0
        for number in range(300):
            tasks = [
                asyncio.create_task(full.bus.publish_async(Event("b.x", (number, n))))
                for n in range(8)
            ]
            await asyncio.sleep(0)
            tasks[number % 8].cancel()
            for task in tasks:
                try:
                    answered += await task
                except asyncio.CancelledError:
                    cancelled += 1
        return answered, cancelled

    answered, cancelled = run(main())
    assert answered + cancelled == 2400
    assert cancelled > 0
    assert_at_rest(full.bus)
    handled = [data for data in full.seen.data if isinstance(data, tuple)]
    assert len(set(handled)) == len(handled)
    assert answered <= len(handled) <= 2400


def test_stop_answers_all_tasks_that_wait(factory: BusFactory) -> None:
    """With `BusClosed`, as threads that wait get it."""
    full = Full(factory)

    async def main() -> list[Any]:
        tasks = [await full.waits(n, lambda: full.bus.publish_async(Event("a"))) for n in (1, 2, 3)]
        stopped = asyncio.create_task(asyncio.to_thread(full.bus.stop, drain=False, timeout=0))
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        full.gate.open()
        await stopped
        return [type(answer) for answer in answers]

    assert run(main()) == [BusClosed] * 3


def test_a_key_that_raises_raises_in_the_task(factory: BusFactory) -> None:
    """Also after the wait, and nothing is published."""
    full = Full(factory)
    calls: list[int] = []

    def key(event: Event) -> int:
        calls.append(1)
        if len(calls) > 1:
            raise ZeroDivisionError
        return 1

    full.bus.subscribe("b.k", lambda event: None, key=key)

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await full.bus.publish_async(Event("b.k"))

    run(main())
    full.gate.open()
    assert_at_rest(full.bus)
    assert full.seen.data == [0, 1]


def test_a_publisher_that_waits_passes_its_own_context_on(factory: BusFactory) -> None:
    """And not that of the thread that waits for it."""
    full = Full(factory, propagate_context=True)
    variable: ContextVar[str] = ContextVar("variable", default="none")
    seen: list[str] = []
    full.bus.subscribe("b.c", lambda event: seen.append(variable.get()))

    async def main() -> None:
        variable.set("mine")
        task = await full.waits(1, lambda: full.bus.publish_async(Event("b.c")))
        full.gate.open()
        await task

    run(main())
    assert full.bus.flush(HANG)
    assert seen == ["mine"]


def test_tasks_of_several_loops_wait_side_by_side(factory: BusFactory) -> None:
    """One thread waits for all of them."""
    full = Full(factory)
    before = threading.active_count()
    loops = [
        InThread(lambda n=n: run(full.bus.publish_async(Event("a", f"loop {n}")))) for n in range(3)
    ]

    async def main() -> int:
        await full.wait(3)
        return threading.active_count() - before

    assert run(main()) == 3 + 1
    full.gate.open()
    assert all(loop.result() for loop in loops)
    assert_at_rest(full.bus)
    assert sorted(map(str, full.seen.data)) == ["0", "1", "loop 0", "loop 1", "loop 2"]


def test_a_loop_closed_while_its_task_waits_does_no_harm(factory: BusFactory) -> None:
    """Others get their answers."""
    full = Full(factory)
    loop = asyncio.new_event_loop()
    task = loop.create_task(full.bus.publish_async(Event("a", "left behind")))
    loop.run_until_complete(full.wait(1))
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    full.gate.open()
    assert run(full.bus.publish_async(Event("a", "mine")))
    assert_at_rest(full.bus)
    assert "mine" in full.seen.data


# ---- without threads -----------------------------------------------------------------------------


def test_a_bus_without_threads_runs_its_workers_while_a_task_waits() -> None:
    """As its `publish` does; and no thread is started to stop it."""
    seen = Recorder()

    async def main() -> tuple[bool, bool]:
        async with TestBus(seed=1, workers=1, queue_size=2, policy="block") as bus:
            bus.subscribe("a", seen)
            for number in range(5):
                assert await bus.publish_async(Event("a", number))
        other = TestBus(seed=1)
        with pytest.raises(BusError, match="coroutine handlers need a bus with threads"):
            other.subscribe("a", publish_nothing, loop=asyncio.get_running_loop())
        return bus.closed, await other.stop_async()

    before = threading.active_count()
    assert run(main()) == (True, True)
    assert threading.active_count() == before
    assert seen.data == list(range(5))


async def publish_nothing(event: Event) -> None:
    """Be a coroutine handler."""
