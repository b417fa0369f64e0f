"""Publishing from tasks, which wait without holding up their loop: `EventBus.publish_async`."""

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from brummerbus import BusClosed, BusError, DropReason, Event, EventBus, QueueFull
from brummerbus.testing import TestBus
from helpers.buses import BusFactory, fill
from helpers.checks import assert_at_rest
from helpers.handlers import Drops, Gate, Recorder
from helpers.internals import level_waited_for, tasks_that_wait
from helpers.threads import InThread
from helpers.waiting import HANG

FOREVER = 10 * HANG


def run(main: Any) -> Any:
    """Run a coroutine in a new event loop, and not for ever."""
    return asyncio.run(asyncio.wait_for(main, HANG))


class Full:
    """A bus whose only worker is held in a handler and whose queue is full."""

    def __init__(self, factory: BusFactory, policy: str = "block", **settings: Any) -> None:
        usual: dict[str, Any] = {"queue_size": 2, "publish_timeout": FOREVER}
        self.bus: EventBus = factory.bus(policy=policy, **{**usual, **settings})
        self.seen = Recorder()
        self.bus.subscribe("a", self.seen)
        self.bus.subscribe("b.*", self.seen)
        self.gate: Gate = factory.hold(self.bus)
        fill(self.bus, 2)

    async def waits(self, tasks: int, call: Callable[[], Any]) -> "asyncio.Task[bool]":
        """Begin to publish, and return when that many tasks wait."""
        task = asyncio.create_task(call())
        await self.wait(tasks)
        return task

    async def wait(self, tasks: int) -> None:
        """Return when that many tasks wait."""
        while tasks_that_wait(self.bus) != tasks:
            assert not self.bus.closed
            await asyncio.sleep(0.001)


# ---- without a wait ----------------------------------------------------------------------------


def test_with_free_slots_it_publishes_at_once(factory: BusFactory) -> None:
    """In the task itself, with all options; no thread is started for it."""
    bus = factory.bus()
    seen, outcomes = Recorder(), []
    bus.subscribe("a", seen)
    before = threading.active_count()

    async def main() -> list[bool]:
        return [
            await bus.publish_async(Event("a", 1)),
            await bus.publish_async(Event("a", 2), priority=3, expires=HANG, timeout=0),
            await bus.publish_async(Event("a", 3), on_done=outcomes.append, timeout=HANG),
            await bus.publish_async(Event("nobody")),
        ]

    assert run(main()) == [True] * 4
    assert threading.active_count() == before
    assert_at_rest(bus)
    assert sorted(seen.data) == [1, 2, 3]
    assert [outcome.handled for outcome in outcomes] == [1]
    assert bus.stats().unrouted == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"priority": 9}, ValueError, "priority must be from 1 to 3"),
        ({"timeout": -1}, ValueError, "timeout"),
        ({"on_done": 3}, TypeError, "on_done"),
        ({"expires": 0}, ValueError, "expires"),
    ],
)
def test_a_mistake_names_the_argument(
    factory: BusFactory, options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(factory.bus().publish_async(Event("a"), **options))


def test_a_stopped_bus_refuses_it(factory: BusFactory) -> None:
    bus = factory.bus()
    bus.stop()
    with pytest.raises(BusClosed):
        run(bus.publish_async(Event("a")))


def test_what_is_no_task_cannot_wait(factory: BusFactory) -> None:
    """Nothing would wake it."""
    full = Full(factory)
    with pytest.raises(BusError, match="tasks of asyncio or trio"):
        full.bus.publish_async(Event("a")).send(None)


# ---- waiting -----------------------------------------------------------------------------------


def test_a_task_waits_for_room_and_its_loop_does_not(factory: BusFactory) -> None:
    """Its other tasks run."""
    full = Full(factory)

    async def main() -> bool:
        task = await full.waits(1, lambda: full.bus.publish_async(Event("a", "waited")))
        assert not task.done()
        full.gate.open()
        return await task

    assert run(main())
    assert_at_rest(full.bus)
    assert full.seen.data == [0, 1, "waited"]


def test_tasks_are_admitted_by_level_and_then_in_order(factory: BusFactory) -> None:
    """A more urgent one is not held up by those that came before it."""
    bus = factory.bus(policy="block", queue_size=1, publish_timeout=FOREVER)
    gate = factory.gate()
    bus.subscribe("a", gate)
    admitted: list[str] = []

    async def one(name: str, priority: int) -> None:
        assert await bus.publish_async(Event("a", name), priority=priority)
        admitted.append(name)

    async def by_ones() -> None:
        assert bus.publish(Event("a"))
        gate.wait_entered()
        assert bus.publish(Event("a"))
        tasks = []
        for name, priority in [("x1", 1), ("x2", 2), ("y1", 1), ("z3", 3), ("z2", 2)]:
            tasks.append(asyncio.create_task(one(name, priority)))
            while tasks_that_wait(bus) != len(tasks):
                await asyncio.sleep(0.001)
        while level_waited_for(bus) != 3:
            await asyncio.sleep(0.001)
        for n in range(1, 6):
            gate.let_through()
            while len(admitted) != n:
                await asyncio.sleep(0.001)
        gate.open()
        await asyncio.gather(*tasks)

    run(by_ones())
    assert admitted == ["z3", "x2", "z2", "x1", "y1"]


def test_what_comes_later_does_not_overtake_a_task_that_waits(factory: BusFactory) -> None:
    """Neither another task, nor a publish in a thread, of the same level."""
    full = Full(factory)

    async def main() -> None:
        first = await full.waits(1, lambda: full.bus.publish_async(Event("a", "first")))
        full.gate.open()
        second = asyncio.create_task(full.bus.publish_async(Event("a", "second")))
        assert await first
        assert await second

    run(main())
    assert_at_rest(full.bus)
    assert full.seen.data == [0, 1, "first", "second"]


@pytest.mark.parametrize(
    ("policy", "answer"), [("drop_oldest", True), ("drop_newest", False), ("block", QueueFull)]
)
def test_at_the_timeout_the_policy_is_applied(
    factory: BusFactory, policy: str, answer: Any
) -> None:
    """Also while another, without one, is waited for."""
    drops = Drops()
    full = Full(factory, policy, on_drop=drops)

    async def main() -> Any:
        patient = await full.waits(1, lambda: full.bus.publish_async(Event("a", "patient")))
        try:
            return await full.bus.publish_async(Event("a", "hasty"), timeout=0.01)
        except QueueFull as error:
            return type(error)
        finally:
            assert not patient.done()
            full.gate.open()
            assert await patient

    assert run(main()) is answer
    assert_at_rest(full.bus)
    assert drops.data == {"drop_oldest": [0]}.get(policy, ["hasty"])


def test_without_a_timeout_the_standstill_rule_ends_the_wait(factory: BusFactory) -> None:
    """Once for all: during the congestion nobody waits."""
    full = Full(factory, "drop_newest", publish_timeout=0.01)

    async def main() -> list[bool]:
        calls = [full.bus.publish_async(Event("a", n)) for n in range(5)]
        return await asyncio.gather(*calls)

    assert run(main()) == [False] * 5
    assert full.bus.stats().dropped_by[DropReason.REFUSED][2] == 5


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


# ---- without threads ---------------------------------------------------------------------------


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
