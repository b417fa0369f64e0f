"""The adapter for Redis Streams: the one module that knows Redis.

All events of a namespace are in one stream, `<namespace>.evt`, and its dead letters in
`<namespace>.dead`, so that their order is kept over all types. An entry has the field `type`, one
field for each header, and `body`. A position is a consumer group; a group of buses is one with
several consumers. Both streams are trimmed to about `MAX_LENGTH` entries.

Redis has no redelivery of its own: a consumer claims (XAUTOCLAIM) what has been idle for
`ack_wait`, whoever took it. `nak` and `in_progress` set how long an entry has been idle (XCLAIM).
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from brummerbus.relay._broker import Answered, Lost, Message, Refused, Rejected

try:
    import redis.asyncio
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import (
        AuthenticationError,
        BusyLoadingError,
        RedisError,
        ResponseError,
    )
except ImportError as _missing:
    raise ImportError(
        "a relay over Redis needs redis-py: pip install 'brummerbus[redis]'"
    ) from _missing

TIMEOUT = 3.0
"""Seconds without an answer after which a server counts as gone."""

MAX_LENGTH = 1_000_000
"""Entries of a stream that are kept, about; the option `max_length` is another number."""

MAX_BODY = 512 << 20
"""Bytes that a server takes unless it is configured otherwise."""

ROUND = 1.0
"""Maximum seconds of a blocking read, between which what is idle is claimed."""

CLOSING = 1.0
MIN_VERSION = (6, 2)


def make(url: str, namespace: str, options: Mapping[str, Any]) -> RedisBroker:
    """Return the broker at a URL: `redis://`, `rediss://` or `unix://`.

    Args:
        url: As for `redis.from_url`, credentials and the number of the database included.
        namespace: What the names of the streams begin with.
        options: Further arguments of `redis.from_url`, such as `ssl_ca_certs`; and `max_length`.

    Raises:
        ValueError: The URL is not understood.
    """
    return RedisBroker(url, namespace, options)


def _translated(error: BaseException, server: str) -> Lost | Refused:
    """Return what the relay understands."""
    text = f"{server}: {error or type(error).__name__}"
    if isinstance(error, AuthenticationError):
        return Refused(text)
    if isinstance(error, ResponseError) and not isinstance(error, BusyLoadingError):
        return Refused(text)
    return Lost(text)


FAILURES = (RedisError, OSError, asyncio.TimeoutError)


class RedisBroker:
    """A server; see `Broker`."""

    def __init__(self, url: str, namespace: str, options: Mapping[str, Any]) -> None:
        self.options = dict(options)
        self.max_length = int(self.options.pop("max_length", MAX_LENGTH))
        self.url = url
        self.events, self.dead = f"{namespace}.evt", f"{namespace}.dead"
        parsed = redis.asyncio.ConnectionPool.from_url(url).connection_kwargs
        self.server = str(
            parsed.get("path") or f"{parsed.get('host', 'localhost')}:{parsed.get('port', 6379)}"
        )

    def client(self) -> Any:
        """Return a client with one connection, which repeats nothing.

        Untyped, since the types of redis-py change with its versions.
        """
        settings: dict[str, Any] = {
            "protocol": 2,
            "socket_timeout": TIMEOUT,
            "socket_connect_timeout": TIMEOUT,
            "socket_keepalive": True,
            "single_connection_client": True,
            "retry": Retry(NoBackoff(), 0),
            **self.options,
        }
        return redis.asyncio.Redis.from_url(self.url, **settings)

    async def connect(self) -> RedisSession:
        """Connect; see `Broker.connect`. Streams are created by the first entry."""
        session = RedisSession(self)
        try:
            information = await session.sender.info("server")
            version = str(information["redis_version"])
            if tuple(int(part) for part in version.split(".")[:2]) < MIN_VERSION:
                raise Refused(f"{self.server}: Redis 6.2 or newer is needed, this is {version}")
            with suppress(ResponseError):  # no permission to ask
                answer = await session.sender.config_get("proto-max-bulk-len")
                session.max_body = int(answer.get("proto-max-bulk-len", MAX_BODY))
        except FAILURES as error:
            await session.close()
            raise _translated(error, self.server) from None
        except BaseException:
            await session.close()
            raise
        return session


class RedisSession:
    """Connections to a server; see `Session`."""

    def __init__(self, broker: RedisBroker) -> None:
        self._broker = broker
        self.sender = broker.client()
        self.max_body = MAX_BODY
        self._consumers: list[RedisConsumer] = []
        self._lost: Lost | None = None
        self._gone = asyncio.Event()
        self._closed = False

    @property
    def server(self) -> str:
        """Host and port, or the path of a socket."""
        return self._broker.server

    async def send(self, messages: Sequence[Message], answered: Answered) -> None:
        """Append messages; see `Session.send`. Each is answered when this returns."""
        self.raise_if_lost()
        broker = self._broker
        pipeline = self.sender.pipeline(transaction=False)
        sent = []
        for message in messages:
            if len(message.body) > self.max_body:
                reason = f"the body has {len(message.body):,} bytes, {self.server} accepts "
                answered(message, Rejected(f"{reason}{self.max_body:,}"))
                continue
            fields: dict[Any, Any] = {"type": message.type, **message.headers}
            fields["body"] = message.body
            stream = broker.dead if message.dead else broker.events
            pipeline.xadd(stream, fields, maxlen=broker.max_length, approximate=True)
            sent.append(message)
        if not sent:
            return
        try:
            replies = await pipeline.execute(raise_on_error=False)
        except FAILURES as error:
            raise self.lose(error) from None
        for message, reply in zip(sent, replies, strict=True):
            failed = isinstance(reply, Exception)
            answered(message, _translated(reply, self.server) if failed else None)

    async def consume(
        self,
        types: Sequence[str],  # noqa: ARG002 - the relay filters: all are in one stream
        *,
        name: str,
        shared: bool,
        max_pending: int,
        ack_wait: float,
    ) -> RedisConsumer:
        """Begin to receive; see `Session.consume`. `max_pending` is a bound for each member."""
        self.raise_if_lost()
        stream = self._broker.events
        try:
            await self.sender.xgroup_create(stream, name, id="0" if shared else "$", mkstream=True)
        except FAILURES as error:
            if "BUSYGROUP" not in str(error):
                raise self.failed(error) from None
        consumer = RedisConsumer(self, self._broker, stream, name, shared, max_pending, ack_wait)
        self._consumers.append(consumer)
        return consumer

    async def check(self) -> None:
        """Make a round trip; see `Session.check`."""
        self.raise_if_lost()
        try:
            await asyncio.wait_for(self.sender.ping(), TIMEOUT)
        except FAILURES as error:
            raise self.lose(error) from None

    async def wait_lost(self) -> Lost:
        """See `Session.wait_lost`. An idle connection that ends is noticed by `check`."""
        await self._gone.wait()
        assert self._lost is not None
        return self._lost

    async def close(self) -> None:
        """See `Session.close`."""
        if self._closed:
            return
        self._closed = True
        for consumer in self._consumers:
            with suppress(*FAILURES, Lost, Refused):
                await asyncio.wait_for(consumer.close(), CLOSING)
        with suppress(*FAILURES):
            await asyncio.wait_for(self.sender.aclose(), CLOSING)

    # ---- for its consumers -----------------------------------------------------------------------

    @property
    def is_lost(self) -> bool:
        """Whether a connection is gone."""
        return self._lost is not None

    def raise_if_lost(self) -> None:
        """Raise `Lost` if a connection is gone: the client would make a new one without a word."""
        if self._lost is not None:
            raise self._lost

    def lose(self, error: BaseException) -> Lost:
        """Note that the connection is gone; return what to raise."""
        if self._lost is None:
            self._lost = Lost(f"{self.server}: {error or type(error).__name__}")
            self._gone.set()
        return self._lost

    def failed(self, error: BaseException) -> Lost | Refused:
        """Return what to raise for an error of a command."""
        found = _translated(error, self.server)
        return self.lose(error) if isinstance(found, Lost) else found


class RedisConsumer:
    """A consumer of a group, with a connection that waits and one that answers; see `Consumer`."""

    def __init__(
        self,
        session: RedisSession,
        broker: RedisBroker,
        stream: str,
        group: str,
        shared: bool,  # noqa: FBT001
        max_pending: int,
        ack_wait: float,
    ) -> None:
        self._session = session
        self._reader, self._answerer = broker.client(), broker.client()
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
            self._session.raise_if_lost()
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
                raise self._session.failed(error) from None
            if now() >= deadline:
                return []

    async def lag(self) -> int:
        """See `Consumer.lag`; -1 where the server cannot tell (Redis 6.2, or after a deletion)."""
        self._session.raise_if_lost()
        try:
            groups = await self._answerer.xinfo_groups(self._stream)
        except FAILURES as error:
            raise self._session.lose(error) from None
        for group in groups:
            if group["name"] == self._group.encode():
                lag = group.get("lag")
                return -1 if lag is None else int(lag)
        return 0

    async def close(self) -> None:
        """Send the answers that wait, and leave the group if nothing is pending here."""
        try:
            if self._flushing is not None:
                await self._flushing
            if self._shared and not self._unanswered and not self._session.is_lost:
                # With nothing pending: removing a consumer would forget what it has not answered.
                pending = await self._answerer.xpending_range(
                    self._stream, self._group, "-", "+", 1, self._name
                )
                if not pending:
                    await self._answerer.xgroup_delconsumer(self._stream, self._group, self._name)
        finally:
            await self._reader.aclose()
            await self._answerer.aclose()

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
        self._session.raise_if_lost()
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
            self._session.lose(error)
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
