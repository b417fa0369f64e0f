"""Streams, publish_async and coroutine handlers on asyncio, uvloop and trio, bare and under anyio.

`make proofs` has an environment that has them.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from brummerbus import DropReason, Event, EventBus, QueueFull, Stream

HANG = 60.0


class Framework(NamedTuple):
    """A way to run a coroutine."""

    name: str
    run: Callable[[Callable[[], Any]], Any]

    def module(self) -> Any:
        """Return the module whose calls work there."""
        return pytest.importorskip("trio" if "trio" in self.name else "asyncio")

    async def sleep(self, seconds: float = 0) -> None:
        """Sleep as that does."""
        await self.module().sleep(seconds)


def _uvloop(main: Callable[[], Any]) -> Any:
    uvloop = pytest.importorskip("uvloop")
    loop = uvloop.new_event_loop()
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()


def _trio(main: Callable[[], Any]) -> Any:
    return pytest.importorskip("trio").run(main)


def _anyio(backend: str) -> Callable[[Callable[[], Any]], Any]:
    def run(main: Callable[[], Any]) -> Any:
        pytest.importorskip(backend)
        return pytest.importorskip("anyio").run(main, backend=backend)

    return run


FRAMEWORKS = [
    Framework("asyncio", lambda main: asyncio.run(main())),
    Framework("uvloop", _uvloop),
    Framework("trio", _trio),
    Framework("anyio on asyncio", _anyio("asyncio")),
    Framework("anyio on trio", _anyio("trio")),
]


@pytest.fixture(params=FRAMEWORKS, ids=lambda one: one.name)
def framework(request: pytest.FixtureRequest) -> Framework:
    """Return a framework that is installed, or skip."""
    one: Framework = request.param
    if "uvloop" in one.name:
        pytest.importorskip("uvloop")
    if "trio" in one.name:
        pytest.importorskip("trio")
    return one


@pytest.fixture
def bus() -> Iterator[EventBus]:
    """Return a bus, which is stopped afterwards."""
    bus = EventBus(workers=2, queue_size=20)
    yield bus
    bus.stop(drain=False, timeout=HANG)


def in_threads(count: int, work: Callable[[int], object]) -> list[threading.Thread]:
    """Run something in threads."""
    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    return threads


class Blocked:
    """A bus whose worker is stuck and whose queue is full, with `room` for more on demand."""

    def __init__(self, policy: str, **settings: Any) -> None:
        self._passes = threading.Semaphore(0)
        self.seen: list[Any] = []
        self.bus = EventBus(workers=1, queue_size=1, policy=policy, **settings)
        self.bus.subscribe("a", self._handle)
        self.bus.publish(Event("a", "first"))
        while self.bus.stats().running == 0:
            pass
        self.bus.publish(Event("a", "second"))

    def _handle(self, event: Event) -> None:
        assert self._passes.acquire(timeout=HANG)
        self.seen.append(event.data)

    def open(self) -> None:
        """Let all handlers return."""
        self._passes.release(10_000)

    def end(self) -> None:
        """Stop the bus."""
        self.open()
        assert self.bus.stop(timeout=HANG)


# ---- streams -----------------------------------------------------------------------------------


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
