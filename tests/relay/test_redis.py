"""What the adapter for Redis has of its own; what all guarantee is in test_brokers*.py."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from brummerbus.relay._broker import Lost, Message, Refused
from helpers.ports import HOST, free_port
from helpers.waiting import HANG
from relay.servers import RedisServer, Server, adapter, start_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    adapter("redis")
    server = start_server("redis", tmp_path_factory.mktemp("redis"))
    yield server
    server.close()


def make(url: str, options: dict[str, Any] | None = None) -> Any:
    return adapter("redis").make(url, "test", options or {})


async def add(session: Any, count: int) -> None:
    """Append messages, and wait until they are stored."""
    left, stored = count, asyncio.Event()

    def answered(message: Message, error: Exception | None) -> None:
        nonlocal left
        assert error is None
        left -= 1
        if not left:
            stored.set()

    await session.send([Message("a", {}, b"", str(n)) for n in range(count)], answered)
    await asyncio.wait_for(stored.wait(), HANG)


def test_without_redis_py_the_error_names_the_extra() -> None:
    code = "import sys; sys.modules['redis'] = None; import brummerbus.relay._redis"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG, check=False
    )
    assert "pip install 'brummerbus[redis]'" in ended.stderr


def test_a_url_that_is_not_understood_is_a_value_error() -> None:
    adapter("redis")
    for url in ("http://localhost", "redis://user:se/cret@localhost"):
        with pytest.raises(ValueError, match="url must be redis://host:port") as raised:
            make(url)
        assert "user" not in str(raised.value)


def test_a_length_that_is_none_is_refused() -> None:
    adapter("redis")
    with pytest.raises(ValueError, match="max_length must be an int of at least 1, got 0"):
        make("redis://localhost", {"max_length": 0})


def test_messages_name_the_server_without_credentials() -> None:
    adapter("redis")
    assert make("redis://user:secret@somewhere:1234/5").server == "somewhere:1234"
    assert make("redis://somewhere").server == "somewhere:6379"
    assert make("unix://user:secret@/run/redis.sock?db=1").server == "/run/redis.sock"


def test_a_server_that_is_too_old_is_refused(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter("redis"), "MIN_VERSION", (999, 0))
    with pytest.raises(Refused, match=r"Redis 6\.2 or newer is needed, this is \d"):
        asyncio.run(make(server.url()).connect())


def test_a_socket_of_this_machine_is_as_good() -> None:
    adapter("redis")

    class Local(RedisServer):
        def command(self) -> list[str]:
            return [*super().command(), "--unixsocket", str(self.folder / "s")]

    async def test(folder: Path) -> None:
        session = await make(f"unix://{folder}/s").connect()
        await add(session, 3)
        await session.close()

    with TemporaryDirectory() as folder:  # as the paths of sockets must be short
        server = Local(Path(folder))
        try:
            asyncio.run(test(server.folder))
        finally:
            server.close()


def test_streams_are_trimmed_to_about_their_maximum_length(server: Server) -> None:
    async def test() -> int:
        session = await make(server.url(), {"max_length": 1000}).connect()
        await add(session, 5000)
        length: int = await session.sender.xlen("test.evt")
        await session.close()
        return length

    assert 1000 <= asyncio.run(test()) < 2000


def test_a_replica_refuses_to_store(tmp_path: Path) -> None:
    """It answers, and says why it does not do what was asked."""
    adapter("redis")
    server = RedisServer(tmp_path)

    async def test() -> None:
        broker = make(server.url())
        client = broker.client()
        await client.execute_command("REPLICAOF", HOST, str(free_port()))
        await client.aclose()
        session = await broker.connect()
        answers: asyncio.Queue[Exception | None] = asyncio.Queue()
        await session.send([Message("a", {}, b"", "1")], lambda _, error: answers.put_nowait(error))
        error = await asyncio.wait_for(answers.get(), HANG)
        assert isinstance(error, Refused)
        assert "read only" in str(error)
        with pytest.raises(Refused, match="read only"):
            await session.consume(["a"], name="n", shared=False, max_pending=1, ack_wait=1.0)
        await session.check()
        await session.close()

    try:
        asyncio.run(test())
    finally:
        server.close()


def test_a_group_that_was_removed_ends_the_session(server: Server) -> None:
    async def test() -> None:
        session = await make(server.url()).connect()
        consumer = await session.consume(
            ["a"], name="gone", shared=False, max_pending=1, ack_wait=10.0
        )
        await session.sender.xgroup_destroy("test.evt", "gone")
        with pytest.raises((Refused, Lost)):
            await asyncio.wait_for(consumer.fetch(1, 1.0), HANG)
        await session.close()

    asyncio.run(test())


def test_members_of_a_group_that_leave_are_forgotten_unless_they_have_unanswered_deliveries(
    server: Server,
) -> None:
    async def test() -> None:
        sessions = [await make(server.url()).connect() for _ in range(3)]
        members = [
            await session.consume(["a"], name="staff", shared=True, max_pending=1, ack_wait=99.0)
            for session in sessions[:2]
        ]
        await add(sessions[2], 2)
        first, second = [(await member.fetch(1, HANG))[0] for member in members]
        await first.ack()
        for session in sessions[:2]:
            await session.close()
        left = await sessions[2].sender.xinfo_consumers("test.evt", "staff")
        assert [consumer["pending"] for consumer in left] == [1]
        assert f"-{os.getpid()}-" in left[0]["name"].decode()
        assert second.count == 1
        await sessions[2].close()

    asyncio.run(test())


def test_what_the_process_before_took_comes_first_at_once_and_in_order(server: Server) -> None:
    async def test() -> None:
        sessions = [await make(server.url()).connect() for _ in range(2)]
        settings = {"name": "position", "shared": False, "max_pending": 9, "ack_wait": 999.0}
        killed = await sessions[0].consume(["a"], **settings)
        await add(sessions[0], 5)
        taken = await killed.fetch(3, HANG)
        assert len(taken) == 3
        heir = await sessions[1].consume(["a"], **settings)
        again = [*await heir.fetch(2, HANG), *await heir.fetch(2, HANG)]
        assert [delivery.count for delivery in again] == [2, 2, 2]
        assert [one._entry for one in again] == [one._entry for one in taken]
        assert [delivery.count for delivery in await heir.fetch(9, HANG)] == [1, 1]
        for session in sessions:
            await session.close()

    asyncio.run(test())


def test_a_lag_that_the_server_does_not_know_is_none(server: Server) -> None:
    async def test() -> None:
        session = await adapter("redis").make(server.url(), "lagging", {}).connect()
        consumer = await session.consume(
            ["a"], name="slow", shared=False, max_pending=9, ack_wait=99.0
        )
        await add(session, 3)
        assert await consumer.lag() == 3
        entries = await session.sender.xrevrange("lagging.evt", count=2)
        await session.sender.xdel("lagging.evt", entries[1][0])
        assert await consumer.lag() is None
        await session.close()

    asyncio.run(test())
