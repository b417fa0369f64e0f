"""Streams and their event loop: wake-ups, cancellation, threads, signals and forks."""

import asyncio
import contextlib
import itertools
import os
import signal
from typing import Any

import pytest

from brummerbus import BusError, DropReason, Event
from helpers.buses import BusFactory
from helpers.internals import publishes_in_c, tasks_asleep, types_listened_to
from helpers.loops import run
from helpers.opcodes import At
from helpers.processes import in_child
from helpers.streaming import asleep, some
from helpers.threads import run_together
from helpers.waiting import HANG

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


with_threads = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def test_many_events_and_streams_take_one_wake_up_of_their_loop(
    factory: BusFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as the loop has not come to it."""
    bus = factory.bus()

    async def main() -> int:
        streams = [bus.stream("a") for _ in range(20)]
        tasks = [asyncio.create_task(some(stream, 5)) for stream in streams]
        for stream in streams:
            await asleep(stream)
        loop, sent = asyncio.get_running_loop(), []
        send = loop.call_soon_threadsafe
        monkeypatch.setattr(
            loop, "call_soon_threadsafe", lambda call: (sent.append(call), send(call))
        )
        bus.publish_many([Event("a", n) for n in range(3)])
        bus.publish(Event("a", 3))
        bus.publish(Event("a", 4))
        assert await asyncio.gather(*tasks) == [list(range(5))] * 20
        return len(sent)

    assert run(main()) == 1


def test_publishing_to_streams_alone_stays_in_c(factory: BusFactory) -> None:
    """Also beside an ordinary subscription."""
    bus = factory.bus()
    events = bus.stream("a")
    bus.subscribe("a", lambda event: None)
    bus.publish(Event("a"))
    assert publishes_in_c(bus, Event("a"))
    with bus.listen("a"):
        bus.publish(Event("a"))
        assert not publishes_in_c(bus, Event("a"))
    assert events.depth == 4


def test_a_task_cancelled_after_it_was_woken_leaves_the_event(factory: BusFactory) -> None:
    """And another task that waits is woken for it."""
    bus = factory.bus()

    async def hurried() -> list[Any]:
        events = bus.stream("a")
        first = asyncio.create_task(some(events, 1))
        await asleep(events)
        second = asyncio.create_task(some(events, 1))
        await asleep(events, 2)
        loop = asyncio.get_running_loop()
        bus.publish(Event("a", "kept"))
        loop.call_soon(first.cancel)  # after the wake-up, and before the task that was woken runs
        taken = await second
        assert first.cancelled()
        return taken

    assert run(hurried()) == ["kept"]


def test_a_wait_that_times_out_loses_nothing(factory: BusFactory) -> None:
    """It may be tried again."""
    bus = factory.bus()

    async def main() -> list[Any]:
        events = bus.stream("a")
        for wait in (lambda: anext(events), events.batch):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(wait(), 0.001)
        assert tasks_asleep(events) == 0
        bus.publish(Event("a", 1))
        return await some(events, 1)

    assert run(main()) == [1]


@pytest.mark.parametrize("takes", ["iteration", "batch"])
def test_a_task_that_always_finds_events_lets_others_run(factory: BusFactory, takes: str) -> None:
    """Though it never waits."""
    bus = factory.bus()
    turns: list[int] = []

    async def other() -> None:
        while True:
            turns.append(1)
            await asyncio.sleep(0)

    async def main() -> None:
        events = bus.stream("a", maxsize=10_000)
        task = asyncio.create_task(other())
        bus.publish_many([Event("a", n) for n in range(1000)])
        if takes == "iteration":
            await some(events, 1000)
        else:
            for _ in range(10):
                assert len(await events.batch(max=100)) == 100
        task.cancel()

    run(main())
    assert len(turns) >= 5


def test_a_stream_belongs_to_the_loop_that_first_waited_for_it(factory: BusFactory) -> None:
    """Another would be woken in the wrong thread."""
    bus = factory.bus()
    events = bus.stream("a")

    async def main() -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(events.batch(), 0.001)
        with pytest.raises(BusError, match="another"):
            await asyncio.to_thread(run, events.batch())

    run(main())


def test_what_is_no_task_cannot_wait_for_it(factory: BusFactory) -> None:
    """Such as a coroutine that is driven by hand."""
    events = factory.bus().stream("a")
    with pytest.raises(BusError, match="asyncio or trio"):
        anext(events).send(None)


def test_a_closed_loop_raises_nothing_in_publishers_and_ends_the_stream(
    factory: BusFactory,
) -> None:
    """What it held is dropped; the table has no entry of it."""
    bus = factory.bus()
    events = bus.stream("a", maxsize=100)
    loop = asyncio.new_event_loop()
    task = loop.create_task(events.batch())
    loop.run_until_complete(asleep(events))
    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))
    loop.close()
    run_together(4, lambda number: [bus.publish(Event("a")) for _ in range(1000)])
    assert events.closed
    assert events.dropped_by[DropReason.SHUTDOWN] >= 1
    assert events.depth == 0
    assert types_listened_to(bus) == 0


def test_a_loop_closed_before_it_came_to_a_wake_up_ends_the_stream_when_it_is_full(
    factory: BusFactory,
) -> None:
    """Nothing tells that it was closed; a full stream looks."""
    bus = factory.bus()
    events = bus.stream("a", maxsize=3)
    other = bus.stream("b")
    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(events.batch()), loop.create_task(other.batch())]
    loop.run_until_complete(asleep(events))
    loop.run_until_complete(asleep(other))
    bus.publish(Event("a"))
    for task in tasks:
        task._log_destroy_pending = False
    loop.close()
    assert not events.closed
    for _ in range(6):
        bus.publish(Event("a"))
    assert events.closed
    assert (events.depth, events.dropped, events.dropped_by[DropReason.SHUTDOWN]) == (0, 6, 3)
    bus.publish(Event("b"))
    assert other.closed


def test_an_interrupt_while_a_publisher_wakes_costs_no_event(factory: BusFactory) -> None:
    """Wherever it strikes, the task is woken."""
    bus = factory.bus()
    struck = 0

    def interrupt() -> None:
        raise KeyboardInterrupt

    async def main() -> None:
        nonlocal struck
        events = bus.stream("a")
        for number in range(200):
            task = asyncio.create_task(some(events, 1))
            await asleep(events)
            at = At(number, interrupt)
            event = Event("a", number)
            try:
                at.during(lambda: bus.publish(event))  # noqa: B023
            except KeyboardInterrupt:
                struck += 1
            assert await asyncio.wait_for(task, HANG) == [number]

    run(main())
    assert 10 < struck < 200


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="this system has no SIGALRM")
def test_a_signal_handler_can_publish_to_the_tasks_of_the_loop_that_it_interrupts(
    factory: BusFactory,
) -> None:
    """Python runs it in any step of the loop."""
    bus = factory.bus()
    numbers = itertools.count()

    def handler(*_: Any) -> None:
        bus.publish(Event("a", next(numbers)))

    async def main() -> list[Any]:
        async with bus.stream("a") as events:
            signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0005)
            try:
                return await some(events, 300)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)

    before = signal.signal(signal.SIGALRM, handler)
    try:
        seen = run(main())
        assert len(set(seen)) == 300  # in order, unless it interrupts itself
    finally:
        signal.signal(signal.SIGALRM, before)


def test_threads_that_publish_together_lose_nothing(factory: BusFactory) -> None:
    """Each one's events come in its order."""
    bus = factory.bus()

    def work(thread: int) -> None:
        for n in range(3000):
            bus.publish(Event("a", (thread, n)))

    async def main() -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        async with bus.stream("a", maxsize=100_000) as events:
            publishers = asyncio.create_task(asyncio.to_thread(run_together, 4, work))
            for _ in range(12_000):
                thread, n = (await anext(events)).data
                found.setdefault(thread, []).append(n)
            await publishers
        return found

    assert run(main()) == {thread: list(range(3000)) for thread in range(4)}


@needs_fork
@with_threads
def test_in_a_forked_child_a_stream_has_ended(factory: BusFactory) -> None:
    """Its loop is the parent's. What it held at the fork can be taken there."""
    bus = factory.bus()
    events = bus.stream("a")
    bus.publish(Event("a", "before"))

    def child() -> None:
        assert events.closed
        bus.publish(Event("a"))
        assert events.depth == 1
        bus.stop()

    in_child(child)
    assert not events.closed
    assert run(some(events, 1)) == ["before"]
