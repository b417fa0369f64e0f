"""What tests of adapters share: a real server, sessions with it, numbered messages."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

import pytest

from brummerbus.relay._broker import Broker, Consumer, Delivery, Message, Session
from helpers.waiting import HANG
from relay.servers import Server, adapter, start_server

BROKERS = ("nats", "redis")
SHORT = 2.0
"""Seconds of `ack_wait` where a test waits for them; an answer takes less on a busy machine."""

LONG = 300.0


@pytest.fixture(scope="module", params=BROKERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    adapter(request.param)
    server = start_server(request.param, tmp_path_factory.mktemp("broker"))
    yield server
    server.close()


Play = Callable[["Stage"], Awaitable[None]]


class Stage:
    """A broker with a namespace of its own, and the sessions a test has made."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.module = adapter(server.scheme)
        self.namespace = f"n{secrets.token_hex(6)}"
        self.sessions: list[Session] = []

    def broker(self, port: int | None = None) -> Broker:
        broker: Broker = self.module.make(self.server.url(port), self.namespace, {})
        return broker

    async def connect(self, port: int | None = None) -> Session:
        self.sessions.append(await self.broker(port).connect())
        return self.sessions[-1]

    async def close(self) -> None:
        for session in self.sessions:
            await session.close()


@asynccontextmanager
async def staged(server: Server) -> AsyncIterator[Stage]:
    stage = Stage(server)
    try:
        yield stage
    finally:
        await stage.close()


@pytest.fixture
def play(server: Server) -> Callable[[Play], None]:
    """What runs a test's coroutine, with a stage that ends after it."""

    def run(test: Play) -> None:
        async def main() -> None:
            async with staged(server) as stage:
                await asyncio.wait_for(test(stage), 2 * HANG)

        asyncio.run(main())

    return run


def message(number: int, kind: str = "log.line", body: bytes | None = None) -> Message:
    headers = {"ce-id": str(number), "ce-type": kind, "ce-source": "/a b/%C3%A9"}
    return Message(kind, headers, str(number).encode() if body is None else body, f"id.{number}")


async def send(session: Session, *messages: Message) -> list[Exception | None]:
    """Send, and return what was answered to each."""
    answers: dict[str, Exception | None] = {}
    complete = asyncio.Event()

    def answered(message: Message, error: Exception | None) -> None:
        assert message.id not in answers
        answers[message.id] = error
        if len(answers) == len(messages):
            complete.set()

    await session.send(messages, answered)
    await complete.wait()
    return [answers[message.id] for message in messages]


async def numbers(session: Session, first: int, end: int) -> None:
    """Send messages with these numbers."""
    assert await send(session, *map(message, range(first, end))) == [None] * (end - first)


async def consumer(
    session: Session,
    name: str = "here",
    *,
    shared: bool = False,
    max_pending: int = 1000,
    ack_wait: float = LONG,
) -> Consumer:
    return await session.consume(
        ["log.*"], name=name, shared=shared, max_pending=max_pending, ack_wait=ack_wait
    )


async def take(consumer: Consumer, count: int) -> list[Delivery]:
    """Fetch exactly that many, answering none."""
    taken: list[Delivery] = []
    while len(taken) < count:
        taken += await consumer.fetch(count - len(taken), 1.0)
    return taken


async def ack(deliveries: Sequence[Delivery]) -> list[int]:
    """Acknowledge all; return their numbers."""
    for delivery in deliveries:
        await delivery.ack()
    return [int(delivery.body) for delivery in deliveries]
