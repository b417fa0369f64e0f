"""What each adapter guarantees while nothing fails, with a real server."""

import asyncio
from collections.abc import Callable

from brummerbus.relay._broker import Consumer, Message
from relay.stage import Play, Stage, ack, consumer, message, numbers, play, send, server, take

__all__ = ["play", "server"]


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


async def until_lag_is(number: int, incoming: Consumer) -> None:
    """Wait for it: NATS counts a message a moment after it has acknowledged it."""
    while await incoming.lag() != number:
        await asyncio.sleep(0.01)


def test_lag_counts_what_was_never_delivered(play: Callable[[Play], None]) -> None:
    async def test(stage: Stage) -> None:
        session = await stage.connect()
        incoming = await consumer(session, max_pending=3)
        assert await incoming.lag() == 0
        await numbers(session, 0, 10)
        await until_lag_is(10, incoming)
        await take(incoming, 3)
        await until_lag_is(7, incoming)

    play(test)
