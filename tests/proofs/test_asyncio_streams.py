"""Streams on asyncio, uvloop and trio, bare and under anyio."""

import asyncio
import threading
from typing import Any

import pytest
from frameworks import HANG, Framework, bus, framework, in_threads

from brummerbus import DropReason, Event, EventBus, Stream

__all__ = ["bus", "framework"]


@pytest.mark.parametrize("takes", ["events", "batches"])
def test_a_stream_has_all_that_four_threads_publish_in_their_order(
    framework: Framework, bus: EventBus, takes: str
) -> None:
    n = 20_000

    def publish(thread: int) -> None:
        for number in range(n):
            bus.publish(Event("a", (thread, number)))

    async def main() -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        left = 4 * n
        async with bus.stream("a", maxsize=left) as events:
            threads = in_threads(4, publish)
            while left:
                some = await events.batch() if takes == "batches" else [await anext(events)]
                for event in some:
                    thread, number = event.data
                    found.setdefault(thread, []).append(number)
                left -= len(some)
            assert (events.depth, events.dropped) == (0, 0)
        for one in threads:
            one.join()
        return found

    assert framework.run(main) == {thread: list(range(n)) for thread in range(4)}


def test_a_wait_that_is_cancelled_leaves_the_event(framework: Framework, bus: EventBus) -> None:
    """Whenever it is cancelled: nothing is lost, and nothing comes twice."""
    n = 2000

    def publish(thread: int) -> None:
        for number in range(n):
            bus.publish(Event("a", number))

    async def take(events: Stream[Any], found: list[int]) -> None:
        async for event in events:
            found.append(event.data)  # noqa: PERF401 - it is cancelled amid that

    async def with_trio(events: Stream[Any], found: list[int]) -> None:
        trio = framework.module()
        while len(found) < n:
            with trio.move_on_after(0.0001):
                await take(events, found)
            await trio.sleep(0)

    async def with_asyncio(events: Stream[Any], found: list[int]) -> None:
        while len(found) < n:
            task = asyncio.ensure_future(take(events, found))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])

    async def main() -> list[int]:
        found: list[int] = []
        async with bus.stream("a", maxsize=n) as events:
            threads = in_threads(1, publish)
            await (with_trio if "trio" in framework.name else with_asyncio)(events, found)
        threads[0].join()
        return found

    assert framework.run(main) == list(range(n))


def test_stop_in_another_thread_ends_the_iteration(framework: Framework, bus: EventBus) -> None:
    async def main() -> list[Any]:
        events = bus.stream("a")
        bus.publish(Event("a", 1))
        threads = in_threads(1, lambda _: bus.stop())
        found = [event.data async for event in events]
        threads[0].join()
        return found

    assert framework.run(main) == [1]


def test_a_loop_that_ends_while_four_threads_publish_raises_nothing_in_them(
    framework: Framework, bus: EventBus
) -> None:
    """Wherever it is; the stream ends itself, and its counts add up."""
    for _ in range(3):
        errors: list[BaseException] = []
        go_on = threading.Event()

        def publish(_: int, errors: list[BaseException] = errors) -> None:
            try:
                while not go_on.is_set():  # noqa: B023
                    bus.publish(Event("a"))
            except BaseException as error:
                errors.append(error)

        kept: list[Stream[Any]] = []

        async def main(kept: list[Stream[Any]] = kept) -> None:
            kept.append(bus.stream("a", maxsize=10))
            for _ in range(5):
                await kept[0].batch()

        threads = in_threads(4, publish)
        framework.run(main)
        while not kept[0].closed:
            threading.Event().wait(0.001)
        go_on.set()
        for thread in threads:
            thread.join(HANG)
        assert errors == []
        assert kept[0].depth == 0
        assert kept[0].dropped == sum(kept[0].dropped_by.values()) > 0
        assert kept[0].dropped_by[DropReason.SHUTDOWN] <= 10
    before = bus.stats().unrouted
    bus.publish(Event("a"))
    assert bus.stats().unrouted == before + 1
