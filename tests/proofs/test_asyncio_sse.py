"""A Starlette endpoint of server-sent events, under uvicorn, fed from threads.

`make proofs` has an environment that has both.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from time import monotonic
from typing import Any

import pytest

from brummerbus import Event, EventBus

HANG = 120.0
CLIENTS = 500
LEAVE_EARLY = 100
EVENTS = 100

uvicorn = pytest.importorskip("uvicorn")
Starlette = pytest.importorskip("starlette.applications").Starlette
StreamingResponse = pytest.importorskip("starlette.responses").StreamingResponse
Route = pytest.importorskip("starlette.routing").Route


def application(bus: EventBus) -> Any:
    """Return an application that streams events until it has seen the last."""

    async def lines() -> AsyncIterator[str]:
        async with bus.stream("tick", maxsize=2 * EVENTS) as events:
            yield "data: ready\n\n"
            async for event in events:
                yield f"data: {event.data}\n\n"
                if event.data == "end":
                    return

    async def endpoint(request: Any) -> Any:
        return StreamingResponse(lines(), media_type="text/event-stream")

    return Starlette(routes=[Route("/events", endpoint)])


@pytest.fixture
def served() -> Iterator[tuple[EventBus, int]]:
    """Return a bus and the port at which its events are served."""
    resource = pytest.importorskip("resource")  # a client and its server need a file each
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * CLIENTS
    if soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            pytest.skip(f"needs {wanted} open files")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    with EventBus(workers=2, queue_size=100) as bus:
        config = uvicorn.Config(application(bus), port=0, log_level="warning", backlog=2 * CLIENTS)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        deadline = monotonic() + HANG
        while not server.started:
            assert monotonic() < deadline
            threading.Event().wait(0.01)
        yield bus, server.servers[0].sockets[0].getsockname()[1]
        server.should_exit = True
        thread.join(HANG)
        assert not thread.is_alive()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def data(reader: asyncio.StreamReader) -> str:
    """Return the next event's data."""
    while True:
        line = (await reader.readline()).decode()
        assert line, "the connection was closed"
        if line.startswith("data: "):
            return line[6:].strip()


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect a client, and return when it listens."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await data(reader) == "ready"
    return reader, writer


async def all_of(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> list[str]:
    """Return all data up to the end."""
    found = []
    while (one := await data(reader)) != "end":
        found.append(one)
    writer.close()
    return found


def test_500_clients_get_all_events_though_100_of_them_leave_amid(
    served: tuple[EventBus, int],
) -> None:
    """Each in the order of each thread; afterwards the bus has no stream left."""
    bus, port = served
    half = threading.Event()
    rest = threading.Event()

    def publish(thread: int) -> None:
        for number in range(EVENTS // 4):
            if number == EVENTS // 8:
                half.set()
                assert rest.wait(HANG)
            assert bus.publish(Event("tick", f"{thread} {number}"))

    async def main() -> list[list[str]]:
        clients = [await connect(port) for _ in range(CLIENTS)]
        threads = [threading.Thread(target=publish, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        assert await asyncio.to_thread(half.wait, HANG)
        for _, writer in clients[:LEAVE_EARLY]:
            writer.transport.abort()
        staying = [asyncio.create_task(all_of(*client)) for client in clients[LEAVE_EARLY:]]
        rest.set()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        assert bus.publish(Event("tick", "end"))
        return await asyncio.gather(*staying)

    found = asyncio.run(asyncio.wait_for(main(), HANG))
    assert len(found) == CLIENTS - LEAVE_EARLY
    for one in found:
        by_thread = [[line.split()[1] for line in one if line.startswith(n)] for n in "0123"]
        assert by_thread == [[str(number) for number in range(EVENTS // 4)]] * 4
    deadline = monotonic() + HANG
    while bus.stats().unrouted == 0:  # the streams of those who left end when that is noticed
        assert monotonic() < deadline
        bus.publish(Event("tick"))
        threading.Event().wait(0.01)
