"""Streams: what their tests share."""

import asyncio
from typing import Any

from brummerbus import Stream
from helpers.internals import tasks_asleep


async def asleep(stream: Stream[Any], tasks: int = 1) -> None:
    """Return when that many tasks wait for the stream."""
    while tasks_asleep(stream) < tasks:
        await asyncio.sleep(0)


async def some(stream: Stream[Any], n: int) -> list[Any]:
    """Take that many events, and return their payloads."""
    return [(await anext(stream)).data for _ in range(n)]
