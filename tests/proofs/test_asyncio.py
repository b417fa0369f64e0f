"""publish_async and coroutine handlers on asyncio, uvloop and trio, bare and under anyio."""

import asyncio
import contextlib
import threading

import pytest
from frameworks import FRAMEWORKS, HANG, Blocked, Framework, bus, framework, in_threads

from brummerbus import Event, EventBus, QueueFull

__all__ = ["bus", "framework"]


# ---- publishing --------------------------------------------------------------------------------


def test_a_task_waits_for_room_and_others_run(framework: Framework) -> None:
    blocked = Blocked("block")

    async def main() -> int:
        turns = 0

        async def count() -> None:
            nonlocal turns
            for _ in range(50):
                await framework.sleep(0.001)
                turns += 1
            blocked.open()

        if "trio" in framework.name:
            async with framework.module().open_nursery() as nursery:
                nursery.start_soon(count)
                assert await blocked.bus.publish_async(Event("a", "waited"))
        else:
            task = asyncio.ensure_future(count())
            assert await blocked.bus.publish_async(Event("a", "waited"))
            await task
        return turns

    assert framework.run(main) == 50
    blocked.end()
    assert blocked.seen == ["first", "second", "waited"]


def test_a_cancelled_publish_is_accepted_or_not_and_nothing_accepted_is_lost(
    framework: Framework,
) -> None:
    seen: list[int] = []
    answered: list[int] = []
    n = 300

    async def publish(bus: EventBus, number: int) -> None:
        assert await bus.publish_async(Event("a", number))
        answered.append(number)

    async def main(bus: EventBus) -> None:
        if "trio" in framework.name:
            trio = framework.module()
            for number in range(n):
                with trio.move_on_after(0.00001 * (number % 50)):
                    await publish(bus, number)
        else:
            for number in range(n):
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(publish(bus, number), 0.00001 * (number % 50))

    with EventBus(workers=1, queue_size=1, policy="block") as bus:
        bus.subscribe("a", lambda event: (seen.append(event.data), threading.Event().wait(0.0005)))
        framework.run(lambda: main(bus))
    assert len(set(seen)) == len(seen)
    assert set(answered) <= set(seen)
    stats = bus.stats()
    assert stats.published == stats.processed == len(seen)


def test_publish_does_not_wait_in_the_thread_of_a_loop(framework: Framework) -> None:
    blocked = Blocked("block")

    async def main() -> None:
        with pytest.raises(QueueFull, match="event loop"):
            blocked.bus.publish(Event("a"), timeout=HANG)

    framework.run(main)
    blocked.end()


def test_stop_async_drains_while_the_loop_runs_on(framework: Framework) -> None:
    async def main() -> bool:
        bus = EventBus(workers=2, queue_size=50)
        bus.subscribe("a", lambda event: threading.Event().wait(0.001))
        bus.publish_many([Event("a")] * 50)
        done = await bus.stop_async()
        assert bus.stats().processed == 50
        return done

    assert framework.run(main)


# ---- coroutine handlers --------------------------------------------------------------------------


@pytest.mark.parametrize("framework", FRAMEWORKS[:2], ids=lambda one: one.name, indirect=True)
def test_coroutine_handlers_run_on_asyncio_and_uvloop(framework: Framework) -> None:
    """In order by key, tried again, at most five at once; and all counts agree."""
    n, running, most = 2000, 0, 0
    seen: dict[int, list[int]] = {}

    async def handler(event: Event) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        if event.data % 7 == 0 and event.data not in failed:
            failed.add(event.data)
            raise ZeroDivisionError
        seen.setdefault(event.data % 10, []).append(event.data)

    failed: set[int] = set()

    async def main() -> None:
        async with EventBus(workers=2, queue_size=100, policy="block") as bus:
            loop = asyncio.get_running_loop()
            bus.subscribe(
                "a",
                handler,
                loop=loop,
                concurrency=5,
                key=lambda event: event.data % 10,
                retries=1,
                backoff=0,
            )
            for number in range(n):
                await bus.publish_async(Event("a", number))
        stats = bus.stats()
        assert (stats.processed, stats.failed, stats.retried) == (n, 0, len(failed))

    framework.run(main)
    assert 1 < most <= 5
    assert seen == {key: list(range(key, n, 10)) for key in range(10)}


@pytest.mark.parametrize("framework", FRAMEWORKS[:2], ids=lambda one: one.name, indirect=True)
def test_a_loop_closed_amid_coroutine_handlers_leaves_an_idle_bus(framework: Framework) -> None:
    """While four threads publish."""
    for _ in range(5):
        bus = EventBus(workers=2, queue_size=100, on_error=lambda *failure: None)
        go_on = threading.Event()

        async def handler(event: Event) -> None:
            await asyncio.sleep(0.0001)

        def publish(_: int, bus: EventBus = bus, go_on: threading.Event = go_on) -> None:
            while not go_on.wait(0.0005):
                bus.publish(Event("a"))

        async def main(bus: EventBus = bus) -> None:
            bus.subscribe("a", handler, loop=asyncio.get_running_loop())
            while bus.stats().processed < 50:
                await asyncio.sleep(0.001)
            for task in asyncio.all_tasks():
                task._log_destroy_pending = False  # type: ignore[attr-defined]

        threads = in_threads(4, publish)
        framework.run(main)
        while bus.subscriptions():
            bus.flush(0.01)
        go_on.set()
        for thread in threads:
            thread.join(HANG)
        assert bus.flush(HANG)
        stats = bus.stats()
        assert stats.published == stats.processed + stats.dropped
        bus.stop(timeout=HANG)
