"""Errors of redis-py in the words of the relay, and whether a connection is alive."""

from __future__ import annotations

import asyncio

from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError, ResponseError

from brummerbus.relay._broker import Lost, Refused

FAILURES = (RedisError, OSError, asyncio.TimeoutError)


def translated(error: BaseException, server: str) -> Lost | Refused:
    """Return what the relay understands."""
    text = f"{server}: {error or type(error).__name__}"
    if isinstance(error, AuthenticationError):
        return Refused(text)
    if isinstance(error, ResponseError) and not isinstance(error, BusyLoadingError):
        return Refused(text)
    return Lost(text)


class Liveness:
    """Whether the connections of a session are there: the client would make new ones silently."""

    def __init__(self, server: str) -> None:
        self.server = server
        self._lost: Lost | None = None
        self._gone = asyncio.Event()

    @property
    def is_lost(self) -> bool:
        """Whether a connection is gone."""
        return self._lost is not None

    def check(self) -> None:
        """Raise `Lost` if a connection is gone."""
        if self._lost is not None:
            raise self._lost

    def lose(self, error: BaseException) -> Lost:
        """Note that a connection is gone; return what to raise."""
        if self._lost is None:
            self._lost = Lost(f"{self.server}: {error or type(error).__name__}")
            self._gone.set()
        return self._lost

    def failed(self, error: BaseException) -> Lost | Refused:
        """Return what to raise for an error of a command."""
        found = translated(error, self.server)
        return self.lose(error) if isinstance(found, Lost) else found

    async def wait(self) -> Lost:
        """Wait until a connection is gone; return why."""
        await self._gone.wait()
        assert self._lost is not None
        return self._lost
