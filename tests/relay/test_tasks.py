"""How tasks of a relay end."""

import asyncio
from contextlib import suppress

from brummerbus.relay._tasks import end_all
from helpers.waiting import HANG


def test_a_task_that_ignores_a_cancellation_is_cancelled_again() -> None:
    ignored = []

    async def stubborn() -> None:
        while len(ignored) < 2:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(HANG)
            ignored.append(1)
        await asyncio.sleep(2 * HANG)

    async def failing() -> None:
        raise ValueError

    async def test() -> None:
        tasks = [asyncio.ensure_future(work()) for work in (stubborn, failing)]
        await asyncio.sleep(0)
        await asyncio.wait_for(end_all(tasks), HANG)
        assert tasks[0].cancelled()

    asyncio.run(test())
    assert len(ignored) == 2
