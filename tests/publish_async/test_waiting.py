"""Publishing from tasks, which wait without holding up their loop: `EventBus.publish_async`."""

import asyncio
import threading
from typing import Any

import pytest

from brummerbus import BusClosed, BusError, DropReason, Event, QueueFull
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest
from helpers.handlers import Drops, Recorder
from helpers.internals import level_waited_for, tasks_that_wait
from helpers.loops import run
from helpers.publishing import FOREVER, Full
from helpers.waiting import HANG

# ---- without a wait ------------------------------------------------------------------------------


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


# ---- waiting -------------------------------------------------------------------------------------


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
