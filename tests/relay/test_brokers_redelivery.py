"""What an adapter delivers again, and what it does not, with a real server."""

import asyncio
from collections.abc import Callable

import pytest

from relay.stage import SHORT, Play, Stage, ack, consumer, numbers, play, server, take

__all__ = ["play", "server"]


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
        assert not await incoming.fetch(1, 1.5 * SHORT)
        assert second.count == 1

    play(test)


@pytest.mark.slow
def test_what_is_in_progress_is_not_delivered_again(play: Callable[[Play], None]) -> None:
    async def test(stage: Stage) -> None:
        session = await stage.connect()
        incoming = await consumer(session, ack_wait=SHORT)
        await numbers(session, 0, 1)
        (delivery,) = await take(incoming, 1)
        for _ in range(6):
            assert not await incoming.fetch(1, SHORT / 4)
            await delivery.in_progress()
        await delivery.ack()
        assert not await incoming.fetch(1, 1.5 * SHORT)

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
        assert not await incoming.fetch(1, 1.5 * SHORT)

    play(test)


@pytest.mark.slow
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
        assert not await second.fetch(100, 1.5 * SHORT)

    play(test)
