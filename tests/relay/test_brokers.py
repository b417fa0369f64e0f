"""What each adapter guarantees, with a real server."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from brummerbus.relay._broker import (
    Broker,
    Consumer,
    Delivery,
    Lost,
    Message,
    Refused,
    Rejected,
    Session,
)
from helpers.waiting import HANG
from relay.proxy import Proxy
from relay.servers import Server, adapter, start_server

BROKERS = ("nats", "redis")
SHORT = 1.0
"""Seconds of `ack_wait`, where a test waits for their end."""

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


# ---- sending and receiving -----------------------------------------------------------------------


def test_messages_arrive_in_order_with_their_headers_and_bodies(
    play: Callable[[Play], None],
) -> None:
    async def test(stage: Stage) -> None:
        session = await stage.connect()
        incoming = await consumer(session)
        binary = message(0, body=bytes(range(256)))
        assert await send(session, binary) == [None]
        await numbers(session, 1, 100)
        taken = await take(incoming, 100)
        assert taken[0].body == binary.body
        assert {**binary.headers}.items() <= {**taken[0].headers}.items()
        assert taken[0].type == "log.line"
        assert {delivery.count for delivery in taken} == {1}
        assert await ack(taken[1:]) == list(range(1, 100))

    play(test)


def test_a_new_consumer_begins_with_what_is_sent_from_now_on_and_a_group_with_the_oldest(
    play: Callable[[Play], None],
) -> None:
    async def test(stage: Stage) -> None:
        session = await stage.connect()
        await numbers(session, 0, 3)
        alone = await consumer(session, "alone")
        group = await consumer(session, "group", shared=True)
        await numbers(session, 3, 5)
        assert await ack(await take(alone, 2)) == [3, 4]
        assert await ack(await take(group, 5)) == [0, 1, 2, 3, 4]

    play(test)


def test_each_message_goes_to_one_of_a_group_and_to_every_other_consumer(
    play: Callable[[Play], None],
) -> None:
    async def test(stage: Stage) -> None:
        sessions = [await stage.connect() for _ in range(3)]
        group = [await consumer(session, "group", shared=True) for session in sessions[:2]]
        alone = await consumer(sessions[2], "alone")
        await numbers(sessions[2], 0, 20)
        halves = [await take(member, 10) for member in group]
        assert sorted([*await ack(halves[0]), *await ack(halves[1])]) == list(range(20))
        assert await ack(await take(alone, 20)) == list(range(20))

    play(test)


def test_a_consumer_goes_on_where_the_last_one_of_its_name_stopped(
    play: Callable[[Play], None],
) -> None:
    async def test(stage: Stage) -> None:
        first = await stage.connect()
        incoming = await consumer(first)
        await numbers(first, 0, 5)
        assert await ack(await take(incoming, 3)) == [0, 1, 2]
        await first.close()
        second = await stage.connect()
        await numbers(second, 5, 8)
        assert await ack(await take(await consumer(second), 5)) == [3, 4, 5, 6, 7]

    play(test)


def test_dead_letters_are_stored_apart(play: Callable[[Play], None]) -> None:
    async def test(stage: Stage) -> None:
        session = await stage.connect()
        incoming = await consumer(session)
        dead = Message("log.line", {"reason": "poison"}, b"0", "id.0", dead=True)
        assert await send(session, dead, message(1)) == [None, None]
        assert await ack(await take(incoming, 1)) == [1]
        assert not await incoming.fetch(1, 0.2)

    play(test)


def test_fetch_returns_what_is_there_without_waiting_for_more_and_nothing_after_its_time(
    play: Callable[[Play], None],
) -> None:
    async def test(stage: Stage) -> None:
        session = await stage.connect()
        incoming = await consumer(session)
        assert not await incoming.fetch(10, 0.1)
        await numbers(session, 0, 1)
        assert await ack(await incoming.fetch(10, 1000.0)) == [0]
        # One that waits already is given what comes.
        waiting = asyncio.create_task(incoming.fetch(10, 1000.0))
        await asyncio.sleep(0.1)
        await numbers(session, 1, 2)
        assert await ack(await waiting) == [1]

    play(test)


def test_no_more_than_max_pending_are_unanswered(play: Callable[[Play], None]) -> None:
    async def test(stage: Stage) -> None:
        session = await stage.connect()
        incoming = await consumer(session, max_pending=3)
        await numbers(session, 0, 6)
        taken = await take(incoming, 3)
        assert not await incoming.fetch(10, 0.3)
        assert await ack(taken) == [0, 1, 2]
        assert await ack(await take(incoming, 3)) == [3, 4, 5]

    play(test)


def test_lag_counts_what_was_never_delivered(play: Callable[[Play], None]) -> None:
    async def test(stage: Stage) -> None:
        session = await stage.connect()
        incoming = await consumer(session, max_pending=3)
        assert await incoming.lag() == 0
        await numbers(session, 0, 10)
        assert await incoming.lag() == 10
        await take(incoming, 3)
        assert await incoming.lag() == 7

    play(test)


# ---- deliveries that are made again --------------------------------------------------------------


@pytest.mark.slow
def test_what_nobody_answers_is_delivered_again_and_counted(play: Callable[[Play], None]) -> None:
    async def test(stage: Stage) -> None:
        session = await stage.connect()
        incoming = await consumer(session, ack_wait=SHORT)
        await numbers(session, 0, 2)
        first, second = await take(incoming, 2)
        await first.ack()
        for count in (2, 3):
            (again,) = await take(incoming, 1)
            assert (again.body, again.count) == (b"1", count)
        await again.ack()
        assert not await incoming.fetch(1, 2 * SHORT)
        assert second.count == 1

    play(test)


@pytest.mark.slow
def test_what_is_in_progress_is_not_delivered_again(play: Callable[[Play], None]) -> None:
    async def test(stage: Stage) -> None:
        session = await stage.connect()
        incoming = await consumer(session, ack_wait=SHORT)
        await numbers(session, 0, 1)
        (delivery,) = await take(incoming, 1)
        for _ in range(8):
            assert not await incoming.fetch(1, SHORT / 4)
            await delivery.in_progress()
        await delivery.ack()
        assert not await incoming.fetch(1, 2 * SHORT)

    play(test)


@pytest.mark.slow
def test_what_could_not_be_handled_now_is_delivered_again_after_a_delay(
    play: Callable[[Play], None],
) -> None:
    async def test(stage: Stage) -> None:
        session = await stage.connect()
        incoming = await consumer(session)
        await numbers(session, 0, 2)
        first, second = await take(incoming, 2)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await first.nak(0.5)
        await second.ack()
        (again,) = await take(incoming, 1)
        # Brokers count in ms, and their clocks are not this one.
        assert loop.time() - began >= 0.45
        assert (again.body, again.count) == (b"0", 2)
        await again.nak(0.0)
        (again,) = await take(incoming, 1)
        assert again.count == 3

    play(test)


@pytest.mark.slow
def test_what_was_terminated_is_never_delivered_again(play: Callable[[Play], None]) -> None:
    async def test(stage: Stage) -> None:
        session = await stage.connect()
        incoming = await consumer(session, ack_wait=SHORT)
        await numbers(session, 0, 1)
        (delivery,) = await take(incoming, 1)
        await delivery.term("poison")
        assert not await incoming.fetch(1, 2 * SHORT)

    play(test)


def test_what_a_process_took_and_did_not_answer_goes_to_the_next_of_its_name(
    play: Callable[[Play], None],
) -> None:
    async def test(stage: Stage) -> None:
        first = await stage.connect()
        incoming = await consumer(first, ack_wait=SHORT)
        await numbers(first, 0, 4)
        await take(incoming, 3)
        second = await stage.connect()
        taken = await take(await consumer(second, ack_wait=SHORT), 4)
        assert sorted(await ack(taken)) == [0, 1, 2, 3]
        assert sorted(delivery.count for delivery in taken) == [1, 2, 2, 2]

    play(test)


@pytest.mark.slow
def test_what_a_member_of_a_group_took_and_did_not_answer_goes_to_another(
    play: Callable[[Play], None],
) -> None:
    async def test(stage: Stage) -> None:
        sessions = [await stage.connect() for _ in range(2)]
        first, second = [
            await consumer(session, shared=True, ack_wait=SHORT) for session in sessions
        ]
        await numbers(sessions[0], 0, 3)
        await take(first, 3)
        await sessions[0].close()
        assert sorted(await ack(await take(second, 3))) == [0, 1, 2]

    play(test)


@pytest.mark.slow
def test_answers_that_wait_are_sent_before_a_session_is_closed(
    play: Callable[[Play], None],
) -> None:
    async def test(stage: Stage) -> None:
        first = await stage.connect()
        incoming = await consumer(first, ack_wait=SHORT)
        await numbers(first, 0, 100)
        await ack(await take(incoming, 100))
        await first.close()
        await first.close()
        second = await consumer(await stage.connect(), ack_wait=SHORT)
        assert not await second.fetch(100, 2 * SHORT)

    play(test)


# ---- what goes wrong -----------------------------------------------------------------------------


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
