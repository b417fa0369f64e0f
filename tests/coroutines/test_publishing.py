"""Coroutine handlers that publish, wait, or stop the bus are handlers as all others."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from brummerbus import BusClosed, BusError, Event, EventBus, QueueFull
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest, assert_balance
from helpers.loops import LoopThread, run
from helpers.waiting import HANG

# ---- publishing ----------------------------------------------------------------------------------


async def as_function(bus: EventBus, event: Event) -> Any:
    """Publish without a wait."""
    return bus.publish(event)


async def as_many(bus: EventBus, event: Event) -> Any:
    """Publish a list."""
    return bus.publish_many([event])


async def with_options(bus: EventBus, event: Event) -> Any:
    """Publish with a ticket."""
    return bus.publish(event, on_done=lambda outcome: None, expires=HANG)


async def as_task(bus: EventBus, event: Event) -> Any:
    """Publish and wait."""
    return await bus.publish_async(event)


async def in_another_task(bus: EventBus, event: Event) -> Any:
    """Have another task do it."""
    return await asyncio.create_task(bus.publish_async(event))


async def in_a_thread(bus: EventBus, event: Event) -> Any:
    """Have a thread do it."""
    return await asyncio.to_thread(bus.publish, event)


WAYS = [as_function, as_many, with_options, as_task, in_another_task, in_a_thread]
LAST = 5


@pytest.mark.parametrize("publish", WAYS)
def test_while_the_bus_drains_a_coroutine_handler_may_publish(
    factory: BusFactory, publish: Any
) -> None:
    """And what it publishes is handled; a task of nobody's is refused."""
    bus, seen, refused = factory.bus(), list[int](), list[bool]()

    async def handle(event: Event) -> None:
        await stopping.wait()
        seen.append(event.data)
        if event.data < LAST:
            await publish(bus, Event("a", event.data + 1))

    async def main() -> bool:
        bus.subscribe("a", handle, loop=asyncio.get_running_loop())
        bus.publish(Event("a", 0))
        stop = asyncio.create_task(bus.stop_async())
        while not bus.closed:
            await asyncio.sleep(0)
        with pytest.raises(BusClosed):
            await publish(bus, Event("a", -1))
        refused.append(True)
        stopping.set()
        return await stop

    stopping = asyncio.Event()
    assert run(main())
    assert seen == list(range(LAST + 1))
    assert refused == [True]
    assert_balance(bus.stats())


@pytest.mark.parametrize("policy", ["block", "drop_oldest", "reject", "caller_runs"])
@pytest.mark.parametrize("publish", WAYS)
def test_coroutine_handler_that_publishes_into_a_full_queue_uses_the_reserve(
    factory: BusFactory, publish: Any, policy: str
) -> None:
    """Even if what it publishes waits for the end of it."""
    bus, seen = factory.bus(queue_size=2, policy=policy), list[int]()

    async def handle(event: Event) -> None:
        seen.append(event.data)
        for number in range(1, 10) if event.data == 0 else ():
            assert await publish(bus, Event("a", number))

    async def main() -> None:
        bus.subscribe("a", handle, loop=asyncio.get_running_loop(), concurrency=1)
        bus.publish(Event("a", 0))
        await asyncio.to_thread(assert_at_rest, bus)

    run(main())
    assert seen == list(range(10))
    assert bus.stats().failed == 0


@pytest.mark.parametrize("publish", [as_task, as_function, in_a_thread])
def test_beyond_the_reserve_the_policy_applies(factory: BusFactory, publish: Any) -> None:
    """`BLOCK` raises, since nothing moves before the coroutine ends."""
    bus, refused = factory.bus(queue_size=2, handler_reserve=3, policy="block"), list[int]()

    async def handle(event: Event) -> None:
        for number in range(1, 10) if event.data == 0 else ():
            try:
                await publish(bus, Event("a", number))
            except QueueFull:
                refused.append(number)

    async def main() -> None:
        bus.subscribe("a", handle, loop=asyncio.get_running_loop(), concurrency=1)
        bus.publish(Event("a", 0))
        await asyncio.to_thread(assert_at_rest, bus)

    run(main())
    assert refused == list(range(6, 10))


def test_coroutine_handler_does_not_wait_behind_other_tasks(factory: BusFactory) -> None:
    """Which wait for it, since the queue is full of what it is to handle next."""
    bus = factory.bus(queue_size=1, handler_reserve=1, policy="block")
    full, refused = asyncio.Event(), list[int]()

    async def handle(event: Event) -> None:
        if event.data != 0:
            return
        bus.publish_many([Event("a", 1), Event("a", 2)])  # all slots, and all of the reserve
        full.set()
        while bus.stats().waiting < 1:
            await asyncio.sleep(0)
        with pytest.raises(QueueFull):
            await bus.publish_async(Event("a", 4), priority=1)
        refused.append(4)

    async def main() -> bool:
        bus.subscribe("a", handle, loop=asyncio.get_running_loop(), concurrency=1)
        bus.publish(Event("a", 0))
        await full.wait()
        other = asyncio.create_task(bus.publish_async(Event("a", 3), priority=3))
        await asyncio.to_thread(assert_at_rest, bus)
        return await other

    assert run(main())
    assert refused == [4]


# ---- waiting and stopping ------------------------------------------------------------------------


@pytest.mark.parametrize("call", [EventBus.flush, EventBus.barrier])
@pytest.mark.parametrize("in_thread", [False, True])
def test_coroutine_handler_that_would_wait_for_itself_is_told_so(
    factory: BusFactory, loop: LoopThread, call: Callable[[EventBus], bool], *, in_thread: bool
) -> None:
    """Also if a thread waits for it."""
    bus, errors = factory.bus(), list[str]()

    async def handle(event: Event) -> None:
        with pytest.raises(BusError) as caught:
            await asyncio.to_thread(call, bus) if in_thread else call(bus)
        errors.append(str(caught.value))

    bus.subscribe("a", handle, loop=loop.loop)
    bus.publish(Event("a"))
    assert_at_rest(bus)
    assert len(errors) == 1
    assert "in a handler would wait for the handler itself" in errors[0]


async def _stop(bus: EventBus) -> Any:
    return bus.stop()


async def _stop_async(bus: EventBus) -> Any:
    return await bus.stop_async()


async def _leave(bus: EventBus) -> Any:
    async with bus:
        return False


async def _leave_with(bus: EventBus) -> Any:
    with bus:
        return False


@pytest.mark.parametrize("stop", [_stop, _stop_async, _leave, _leave_with])
def test_coroutine_handler_that_stops_the_bus_does_not_wait(
    factory: BusFactory, loop: LoopThread, stop: Any
) -> None:
    """It begins the stop, as every other handler."""
    bus, answers = factory.bus(), list[Any]()

    async def handle(event: Event) -> None:
        answers.append(await stop(bus))

    bus.subscribe("a", handle, loop=loop.loop)
    bus.publish(Event("a"))
    assert_at_rest(bus)
    assert bus.closed
    assert bus.stop()
    assert (answers, bus.stats().failed) == ([False], 0)


def test_task_that_outlives_its_coroutine_handler_is_no_handler(
    factory: BusFactory, loop: LoopThread
) -> None:
    """It can wait for the bus, and is refused once that drains."""
    bus, tasks = factory.bus(), list[Any]()

    async def rest(ended: asyncio.Event) -> bool:
        await ended.wait()
        return await asyncio.to_thread(bus.flush, HANG)

    async def handle(event: Event) -> None:
        tasks.append((ended := asyncio.Event(), asyncio.create_task(rest(ended))))

    async def go_on() -> bool:
        ((ended, task),) = tasks
        ended.set()
        return await task

    bus.subscribe("a", handle, loop=loop.loop)
    bus.publish(Event("a"))
    assert_at_rest(bus)
    assert loop.run(go_on())


def test_context_of_a_coroutine_handler_makes_no_other_handler_one(
    factory: BusFactory, loop: LoopThread
) -> None:
    """A handler of another bus, to which the context was handed on, can wait for the first."""
    first = factory.bus(propagate_context=True)
    second = factory.bus(propagate_context=True)
    answers = list[bool]()
    second.subscribe("b", lambda event: answers.append(first.flush(0)))

    async def handle(event: Event) -> None:
        second.publish(Event("b"))
        assert await asyncio.to_thread(second.flush, HANG)

    first.subscribe("a", handle, loop=loop.loop)
    first.publish(Event("a"))
    assert_at_rest(first)
    assert (answers, first.stats().failed) == ([False], 0)
