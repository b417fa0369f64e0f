"""Receiving from Redis Streams: a consumer group, and answers to its deliveries."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from brummerbus.relay._redis_errors import FAILURES, Liveness

ROUND = 1.0
"""Maximum seconds of a blocking read, between which what is idle is claimed."""


class RedisConsumer:
    """A consumer of a group, with a connection that waits and one that answers; see `Consumer`."""

    def __init__(
        self,
        liveness: Liveness,
        client: Callable[[], Any],
        stream: str,
        group: str,
        shared: bool,  # noqa: FBT001
        max_pending: int,
        ack_wait: float,
    ) -> None:
        self._liveness = liveness
        self._reader, self._answerer = client(), client()
        self._stream, self._group = stream, group
        self._shared = shared
        self._name = "bus"
        if shared:
            self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._max_pending = max_pending
        self._ack_wait = ack_wait
        self._unanswered: set[bytes] = set()
        self._answered = asyncio.Event()
        # What the process before this one took; of a group, its other members claim that.
        self._old: bytes | None = None if shared else b"0"
        self._claim_at = 0.0
        self._outbox: list[tuple[bytes, int | None]] = []
        self._flushing: asyncio.Task[None] | None = None

    async def fetch(self, limit: int, wait: float) -> Sequence[RedisDelivery]:
        """See `Consumer.fetch`."""
        now = asyncio.get_running_loop().time
        deadline = now() + wait
        while True:
            self._liveness.check()
            remaining = max(0.0, deadline - now())
            room = min(limit, self._max_pending - len(self._unanswered))
            try:
                if room <= 0:
                    self._answered.clear()
                    with suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(self._answered.wait(), remaining)
                elif found := await self._read(room, now, remaining):
                    return found
            except FAILURES as error:
                raise self._liveness.failed(error) from None
            if now() >= deadline:
                return []

    async def lag(self) -> int | None:
        """See `Consumer.lag`; Redis 6.2 cannot tell, nor others after a deletion."""
        self._liveness.check()
        try:
            groups = await self._answerer.xinfo_groups(self._stream)
        except FAILURES as error:
            raise self._liveness.lose(error) from None
        for group in groups:
            if group["name"] == self._group.encode():
                lag = group.get("lag")
                return None if lag is None else int(lag)
        return 0

    async def close(self) -> None:
        """Send the answers that wait, and leave the group if nothing is pending here."""
        if self._flushing is not None:
            await self._flushing
        if self._shared and not self._unanswered and not self._liveness.is_lost:
            # With nothing pending: removing a consumer would forget what it has not answered.
            pending = await self._answerer.xpending_range(
                self._stream, self._group, "-", "+", 1, self._name
            )
            if not pending:
                await self._answerer.xgroup_delconsumer(self._stream, self._group, self._name)

    @property
    def clients(self) -> tuple[Any, Any]:
        """What is to be closed then."""
        return self._reader, self._answerer

    # ---- reading ---------------------------------------------------------------------------------

    async def _read(self, room: int, now: Any, remaining: float) -> list[RedisDelivery]:
        """Return what the process before took, else what was idle too long, else what is new."""
        if self._old is not None:
            entries = await self._read_group(self._old, room, None)
            self._old = entries[-1][0] if entries else None
            return await self._again(entries)
        if now() >= self._claim_at:
            answer = await self._reader.xautoclaim(
                self._stream, self._group, self._name, int(self._ack_wait * 1000), count=room
            )
            entries = answer[1]
            # More may be there: another page begins where this one ended, at the oldest.
            self._claim_at = now() if entries else now() + min(ROUND, self._ack_wait / 2)
            if found := await self._again(entries):
                return found
        block = min(remaining, ROUND, max(0.0, self._claim_at - now()))
        entries = await self._read_group(b">", room, max(1, int(block * 1000)))
        return [self._delivery(entry, fields, 1) for entry, fields in entries]

    async def _read_group(self, start: bytes, count: int, block: int | None) -> list[Any]:
        answer = await self._reader.xreadgroup(
            self._group, self._name, {self._stream: start}, count=count, block=block
        )
        return list(answer[0][1]) if answer else []

    async def _again(self, entries: Sequence[Any]) -> list[RedisDelivery]:
        """Return deliveries that are not the first, with their counts."""
        pipeline = self._reader.pipeline(transaction=False)
        found = []
        for entry, fields in entries:
            if fields:
                pipeline.xpending_range(self._stream, self._group, entry, entry, 1)
                found.append((entry, fields))
            else:  # trimmed since
                self.answer(entry, None)
        counts = await pipeline.execute() if found else []
        return [
            self._delivery(entry, fields, pending[0]["times_delivered"] if pending else 2)
            for (entry, fields), pending in zip(found, counts, strict=True)
        ]

    def _delivery(self, entry: bytes, fields: dict[bytes, bytes], count: int) -> RedisDelivery:
        self._unanswered.add(entry)
        return RedisDelivery(self, entry, fields, count)

    # ---- answering -------------------------------------------------------------------------------

    def answer(self, entry: bytes, idle: float | None) -> None:
        """Acknowledge an entry, or say for how many seconds it counts as idle.

        Raises:
            Lost: The connection is gone.
        """
        self._liveness.check()
        self._outbox.append((entry, None if idle is None else int(idle * 1000)))
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    def done(self, entry: bytes) -> None:
        """Make room for another delivery."""
        self._unanswered.discard(entry)
        self._answered.set()

    def nak(self, entry: bytes, delay: float) -> None:
        """Have it claimed after a delay, of at most `ack_wait`."""
        delay = min(delay, self._ack_wait)
        self.answer(entry, self._ack_wait - delay)
        self.done(entry)
        loop = asyncio.get_running_loop()
        self._claim_at = min(self._claim_at, loop.time() + delay)

    async def _flush(self) -> None:
        """Send what waits, all that has gathered at once."""
        try:
            while self._outbox:
                outbox, self._outbox = self._outbox, []
                pipeline = self._answerer.pipeline(transaction=False)
                if finished := [entry for entry, idle in outbox if idle is None]:
                    pipeline.xack(self._stream, self._group, *finished)
                for entry, idle in outbox:
                    if idle is not None:
                        key = (self._stream, self._group, self._name)
                        pipeline.xclaim(*key, 0, [entry], idle=idle, justid=True)
                await pipeline.execute()
        except FAILURES as error:
            self._liveness.lose(error)
        finally:
            self._flushing = None


class RedisDelivery:
    """An entry; see `Delivery`."""

    __slots__ = ("_consumer", "_entry", "_fields", "count")

    def __init__(
        self, consumer: RedisConsumer, entry: bytes, fields: dict[bytes, bytes], count: int
    ) -> None:
        self._consumer = consumer
        self._entry = entry
        self._fields = fields
        self.count = count

    @property
    def headers(self) -> Mapping[str, str]:
        """All fields, except `type` and `body`."""
        return {
            name.decode(errors="replace").lower(): value.decode(errors="replace")
            for name, value in self._fields.items()
            if name not in {b"type", b"body"}
        }

    @property
    def body(self) -> bytes:
        """The field `body`."""
        return self._fields.get(b"body", b"")

    @property
    def type(self) -> str:
        """The field `type`."""
        return self._fields.get(b"type", b"").decode(errors="replace")

    async def ack(self) -> None:
        """See `Delivery.ack`."""
        self._consumer.answer(self._entry, None)
        self._consumer.done(self._entry)

    async def nak(self, delay: float) -> None:
        """See `Delivery.nak`; the delay is at most `ack_wait`."""
        self._consumer.nak(self._entry, delay)

    async def in_progress(self) -> None:
        """See `Delivery.in_progress`."""
        self._consumer.answer(self._entry, 0.0)

    async def term(self, reason: str) -> None:  # noqa: ARG002 - Redis keeps no reasons
        """See `Delivery.term`."""
        await self.ack()
