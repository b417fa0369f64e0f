"""Ending tasks of an event loop."""

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN = 0.1
"""Seconds after which a task that has not ended is cancelled again."""


async def end_all(tasks: Iterable["asyncio.Future[Any]"]) -> None:
    """Cancel tasks, and wait until they have ended; what they raise is left to their readers.

    Once may not be enough: before Python 3.12, `asyncio.wait_for`, which clients of brokers use,
    ignores a cancellation that comes as its work is done.
    """
    tasks = list(tasks)
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN)
    for task in tasks:
        _ = task.cancelled() or task.exception()  # so that none is reported as never retrieved
