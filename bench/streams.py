"""`make bench-streams`: CPU time per event from threads to a task, beside other ways.

Events that exist already go from one thread, or from four, to one task that iterates over them;
publishing and taking together, of the whole process. Contestants alternate, the best of the rounds
counts. janus and culsans are bounded queues with a side for threads and one for tasks.
"""

import argparse
import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from time import process_time

import culsans
import janus

from brummerbus import Event, EventBus

EVENTS = 100_000
SIZE = 1000

Put = Callable[[Event], object]


async def measure(
    put: Put, take: Callable[[], Awaitable[None]], events: int, threads: int
) -> float:
    """Return the CPU microseconds per event; `take` returns after all were taken or dropped."""
    made = [[Event("bench.event") for _ in range(events // threads)] for _ in range(threads)]

    def publish(mine: list[Event]) -> None:
        for event in mine:
            put(event)

    workers = [threading.Thread(target=publish, args=(mine,)) for mine in made]
    began = process_time()
    for worker in workers:
        worker.start()
    await take()
    used = process_time() - began
    for worker in workers:
        worker.join()
    return used / events * 1e6


async def stream(events: int, threads: int) -> float:
    """`async for event in bus.stream(...)`."""
    with EventBus(workers=1) as bus:
        async with bus.stream("bench.*", maxsize=events) as incoming:

            async def take() -> None:
                for _ in range(events):
                    await anext(incoming)

            return await measure(bus.publish, take, events, threads)


async def batches(events: int, threads: int) -> float:
    """`await stream.batch()`."""
    with EventBus(workers=1) as bus:
        async with bus.stream("bench.*", maxsize=events) as incoming:

            async def take() -> None:
                left = events
                while left:
                    left -= len(await incoming.batch())

            return await measure(bus.publish, take, events, threads)


async def call_soon(events: int, threads: int) -> float:
    """A `call_soon_threadsafe` for each event, which appends it for the task. No bound."""
    loop, held, came = asyncio.get_running_loop(), deque[Event](), asyncio.Event()

    def arrive(event: Event) -> None:
        held.append(event)
        came.set()

    async def take() -> None:
        left = events
        while left:
            await came.wait()
            came.clear()
            while held:
                held.popleft()
                left -= 1

    return await measure(lambda e: loop.call_soon_threadsafe(arrive, e), take, events, threads)


async def janus_queue(events: int, threads: int) -> float:
    """A bounded `janus.Queue`, whose threads wait for room."""
    queue: janus.Queue[Event] = janus.Queue(SIZE)

    async def take() -> None:
        for _ in range(events):
            await queue.async_q.get()

    try:
        return await measure(queue.sync_q.put, take, events, threads)
    finally:
        await queue.aclose()


async def culsans_queue(events: int, threads: int) -> float:
    """A bounded `culsans.Queue`, likewise."""
    queue: culsans.Queue[Event] = culsans.Queue(SIZE)

    async def take() -> None:
        for _ in range(events):
            await queue.async_q.get()

    return await measure(queue.sync_q.put, take, events, threads)


CONTESTANTS = {
    "bus.stream, async for": stream,
    "bus.stream, batch": batches,
    "call_soon_threadsafe each": call_soon,
    "janus": janus_queue,
    "culsans": culsans_queue,
}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=EVENTS)
    options = parser.parse_args()
    print(f"{'us CPU per event':<28}{'1 thread':>10}{'4 threads':>11}")
    found: dict[tuple[str, int], float] = {}
    for _ in range(options.rounds):
        for name, run in CONTESTANTS.items():
            for threads in (1, 4):
                used = asyncio.run(run(options.events, threads))
                found[name, threads] = min(used, found.get((name, threads), used))
    for name in CONTESTANTS:
        print(f"{name:<28}{found[name, 1]:>10.2f}{found[name, 4]:>11.2f}")


if __name__ == "__main__":
    main()
