"""What an adapter does when something fails: a message, a password, the network, the server."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from brummerbus.relay._broker import Lost, Refused, Rejected
from helpers.waiting import HANG
from relay.proxy import Proxy
from relay.servers import Server, adapter, start_server
from relay.stage import (
    LONG,
    SHORT,
    Play,
    Stage,
    ack,
    consumer,
    message,
    numbers,
    play,
    send,
    server,
    staged,
    take,
)

__all__ = ["play", "server"]


def test_a_message_that_is_too_large_is_rejected_and_those_beside_it_are_stored(
    play: Callable[[Play], None],
) -> None:
    async def test(stage: Stage) -> None:
        session = await stage.connect()
        incoming = await consumer(session)
        large = message(1, body=b"x" * (2 << 20))
        first, error, last = await send(session, message(0), large, message(2))
        assert first is last is None
        assert isinstance(error, Rejected)
        assert await ack(await take(incoming, 2)) == [0, 2]

    play(test)


def test_without_a_server_there_is_no_connection(server: Server) -> None:
    async def test() -> None:
        with Proxy(server.port) as proxy:
            proxy.cut()
            with pytest.raises(Lost, match=f"127.0.0.1:{proxy.port}"):
                await Stage(server).connect(proxy.port)

    asyncio.run(test())


def test_a_wrong_password_is_refused_and_not_shown(server: Server, tmp_path: Path) -> None:
    guarded = start_server(server.scheme, tmp_path, "right")
    module = adapter(server.scheme)

    async def test() -> None:
        for password in ("wrong-one", ""):
            with pytest.raises(Refused) as raised:
                await module.make(guarded.url(password=password), "n", {}).connect()
            assert "wrong-one" not in str(raised.value)
        session = await module.make(guarded.url(), "n", {}).connect()
        assert "right" not in session.server
        await session.close()

    try:
        asyncio.run(test())
    finally:
        guarded.close()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cut", "reset", "stall", "half_open"])
def test_a_network_that_breaks_is_noticed_whatever_is_asked(server: Server, how: str) -> None:
    async def test() -> None:
        with Proxy(server.port) as proxy:
            async with staged(server) as stage:
                session = await stage.connect(proxy.port)
                incoming = await consumer(session)
                waiting = asyncio.create_task(incoming.fetch(1, LONG))
                await asyncio.sleep(0.1)
                getattr(proxy, how)()
                with pytest.raises(Lost):
                    while True:
                        await session.check()
                # What the relay does then.
                waiting.cancel()
                with suppress(asyncio.CancelledError, Lost):
                    await waiting
                await session.close()
                proxy.repair()
                session = await stage.connect(proxy.port)
                incoming = await consumer(session)
                await numbers(session, 0, 3)
                assert await ack(await take(incoming, 3)) == [0, 1, 2]

    asyncio.run(asyncio.wait_for(test(), 2 * HANG))


@pytest.mark.slow
def test_a_killed_server_has_what_it_acknowledged_when_it_is_there_again(
    server: Server, tmp_path: Path
) -> None:
    other = start_server(server.scheme, tmp_path)

    async def test() -> None:
        async with staged(other) as stage:
            session = await stage.connect()
            incoming = await consumer(session)
            await numbers(session, 0, 50)
            await ack((await take(incoming, 20))[:10])
            other.kill()
            with pytest.raises(Lost):
                while True:
                    await session.check()
            other.start()
            session = await stage.connect()
            await numbers(session, 50, 60)
            incoming = await consumer(session, ack_wait=SHORT)
            taken: set[int] = set()
            while not taken >= set(range(10, 60)):  # perhaps the first ten too
                taken.update(await ack(await incoming.fetch(100, 1.0)))

    try:
        asyncio.run(asyncio.wait_for(test(), 2 * HANG))
    finally:
        other.close()
