"""The adapter for Redis Streams: `_redis*` is all that knows Redis.

All events of a namespace are in one stream, `<namespace>.evt`, and its dead letters in
`<namespace>.dead`, so that their order is kept over all types. An entry has the field `type`, one
field for each header, and `body`. A position is a consumer group; a group of buses is one with
several consumers. Both streams are trimmed to about `MAX_LENGTH` entries.

Redis has no redelivery of its own: a consumer claims (XAUTOCLAIM) what has been idle for
`ack_wait`, by whatever consumer. `nak` and `in_progress` set how long an entry has been idle
(XCLAIM).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

try:
    import redis.asyncio
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import ResponseError
except ImportError as _missing:
    raise ImportError(
        "a relay over Redis needs redis-py: pip install 'brummerbus[redis]'"
    ) from _missing

from brummerbus._arguments import check_int
from brummerbus.relay._broker import Answered, Lost, Message, Refused, Rejected, shown_url
from brummerbus.relay._redis_consumer import RedisConsumer
from brummerbus.relay._redis_errors import FAILURES, Liveness, translated

TIMEOUT = 3.0
"""Seconds without an answer after which a server counts as gone."""

MAX_LENGTH = 1_000_000
"""Entries of a stream that are kept, about; the option `max_length` is another number."""

MAX_BODY = 512 << 20
"""Bytes that a server takes unless it is configured otherwise."""

CLOSING = 1.0
MIN_VERSION = (6, 2)


def make(url: str, namespace: str, options: Mapping[str, Any]) -> RedisBroker:
    """Return the broker at a URL: `redis://`, `rediss://` or `unix://`.

    Args:
        url: As for `redis.from_url`, credentials and the number of the database included.
        namespace: What the names of the streams begin with.
        options: Further arguments of `redis.from_url`, such as `ssl_ca_certs`; and `max_length`.

    Raises:
        TypeError: The client has no argument of that name, or `max_length` is no int.
        ValueError: The URL is not understood, or `max_length` is below 1.
    """
    return RedisBroker(url, namespace, options)


class RedisBroker:
    """A server; see `Broker`."""

    def __init__(self, url: str, namespace: str, options: Mapping[str, Any]) -> None:
        self.options = dict(options)
        self.max_length = check_int("max_length", self.options.pop("max_length", MAX_LENGTH), 1)
        self.url = url
        self.events, self.dead = f"{namespace}.evt", f"{namespace}.dead"
        try:
            parsed = redis.asyncio.ConnectionPool.from_url(url).connection_kwargs
        except ValueError:  # whose text may have a part of a password
            message = "url must be redis://host:port/database, rediss:// or unix:///path"
            raise ValueError(f"{message}, got {shown_url(url)}") from None
        pool = self.client().connection_pool
        try:
            pool.connection_class(**pool.connection_kwargs)
        except TypeError as error:
            raise TypeError(f"connect: {error}") from None
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
            **({} if self.url.startswith("unix:") else {"socket_keepalive": True}),
            "single_connection_client": True,
            "retry": Retry(NoBackoff(), 0),
            **self.options,
        }
        return redis.asyncio.Redis.from_url(self.url, **settings)

    async def connect(self) -> RedisSession:
        """Connect; see `Broker.connect`. Streams are created by the first entry."""
        session = RedisSession(self)
        try:
            # Refused while a server loads its data, when the first of a pipeline would be refused
            # too, and not the last.
            await session.sender.ping()
            information = await session.sender.info("server")
            version = str(information["redis_version"])
            if tuple(int(part) for part in version.split(".")[:2]) < MIN_VERSION:
                raise Refused(f"{self.server}: Redis 6.2 or newer is needed, this is {version}")
            with suppress(ResponseError):  # no permission to ask
                answer = await session.sender.config_get("proto-max-bulk-len")
                session.max_body = int(answer.get("proto-max-bulk-len", MAX_BODY))
        except FAILURES as error:
            await session.close()
            raise translated(error, self.server) from None
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
        self._outbox: list[tuple[Message, Answered]] = []
        self._writing: asyncio.Task[None] | None = None
        self._liveness = Liveness(broker.server)
        self._closed = False

    @property
    def server(self) -> str:
        """Host and port, or the path of a socket."""
        return self._broker.server

    async def send(self, messages: Sequence[Message], answered: Answered) -> None:
        """Append messages; see `Session.send`."""
        self._liveness.check()
        self._outbox += [(message, answered) for message in messages]
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        """Append what waits, all that has gathered at once, until nothing waits."""
        try:
            while self._outbox:
                outbox, self._outbox = self._outbox, []
                await self._append(outbox)
        except FAILURES as error:
            self._liveness.lose(error)
        finally:
            self._writing = None

    async def _append(self, outbox: Sequence[tuple[Message, Answered]]) -> None:
        broker = self._broker
        pipeline = self.sender.pipeline(transaction=False)
        sent = []
        for message, answered in outbox:
            size = max(map(len, (message.body, *message.headers.values())))
            if size > self.max_body:
                reason = f"a part of it has {size:,} bytes, {self.server} accepts "
                answered(message, Rejected(f"{reason}{self.max_body:,}"))
                continue
            name = message.type.encode(errors="surrogatepass")
            fields: dict[Any, Any] = {"type": name, **message.headers}
            fields["body"] = message.body
            stream = broker.dead if message.dead else broker.events
            pipeline.xadd(stream, fields, maxlen=broker.max_length, approximate=True)
            sent.append((message, answered))
        replies = await pipeline.execute(raise_on_error=False) if sent else []
        for (message, answered), reply in zip(sent, replies, strict=True):
            failed = isinstance(reply, Exception)
            answered(message, translated(reply, self.server) if failed else None)

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
        self._liveness.check()
        stream = self._broker.events
        try:
            await self.sender.xgroup_create(stream, name, id="0" if shared else "$", mkstream=True)
        except FAILURES as error:
            if "BUSYGROUP" not in str(error):
                raise self._liveness.failed(error) from None
        consumer = RedisConsumer(
            self._liveness, self._broker.client, stream, name, shared, max_pending, ack_wait
        )
        self._consumers.append(consumer)
        return consumer

    async def check(self) -> None:
        """Make a round trip; see `Session.check`."""
        self._liveness.check()
        try:
            await asyncio.wait_for(self.sender.ping(), TIMEOUT)
        except FAILURES as error:
            raise self._liveness.lose(error) from None

    async def wait_lost(self) -> Lost:
        """See `Session.wait_lost`. An idle connection that ends is noticed by `check`."""
        return await self._liveness.wait()

    async def close(self) -> None:
        """See `Session.close`."""
        if self._closed:
            return
        self._closed = True
        for consumer in self._consumers:
            with suppress(*FAILURES, Lost, Refused):
                await asyncio.wait_for(consumer.close(), CLOSING)
        if self._writing is not None:
            with suppress(*FAILURES):
                await asyncio.wait_for(self._writing, CLOSING)
        clients = [one for consumer in self._consumers for one in consumer.clients]
        await asyncio.gather(*[_end(client) for client in (self.sender, *clients)])


async def _end(client: Any) -> None:
    """Close a client, and its connection also if that is in use and does not respond."""
    with suppress(*FAILURES):
        await asyncio.wait_for(client.aclose(), CLOSING)
    with suppress(*FAILURES):
        await asyncio.wait_for(client.connection_pool.disconnect(), CLOSING)
