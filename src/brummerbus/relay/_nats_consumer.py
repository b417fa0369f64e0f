"""Receiving from JetStream: a durable pull consumer, and its deliveries. A part of `_nats`."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import monotonic

from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api
from nats.js import errors as js_errors

from brummerbus.relay._broker import Lost, Refused, Rejected
from brummerbus.relay._subjects import type_of

ANSWER_TIMEOUT = 2.5
MAX_FETCH = 512
MAX_GIVEN_BACK = 20_000
"""Deliveries that are given back at most; the server repeats the others after `ack_wait`."""
MAX_LINE = 4096
"""Characters of a command; a server does not say how many it takes, this is what it does unless it
is configured otherwise."""
IDLE = 0.05
IDLE_ROUNDS = 3

_GONE = ("consumer deleted", "stream deleted", "no responders")


class Position:
    """What this process has in hand of one consumer."""

    def __init__(self) -> None:
        self.in_hand: set[int] = set()
        """Sequences in the stream that came and were not answered."""
        self.lost: dict[int, int] = {}
        """How often each was delivered without reaching us."""
        self.is_known = False
        """Whether this process has received from it before."""

    def forget_below(self, first: int) -> None:
        """Forget what was answered long ago."""
        self.lost = {one: times for one, times in self.lost.items() if one >= first}


class Connected:
    """What the deliveries of all sessions have in common."""

    def __init__(self, namespace: str, server: str) -> None:
        self.namespace = namespace
        self.server = server
        self.stream = namespace.replace(".", "_")
        self.client: Client | None = None
        """That of the session which lives: acknowledgements can be sent on any."""
        self.positions: dict[str, Position] = {}
        """What each consumer of this process has in hand."""
        self.has_no_stream = False
        """Whether the last session ended as nothing took what it sent, and nothing has since."""


async def publish(
    client: Client, to: str, body: bytes, reply: str = "", headers: dict[str, str] | None = None
) -> None:
    """Publish on a connection.

    Raises:
        Lost: It is gone.
        Rejected: The server accepts nothing that large, or the subject or a header is malformed.
    """
    # The client counts only the body. The server would close the connection, each time.
    head = 0 if headers is None else _size_of(headers)
    size, limit = head + len(body), client.max_payload
    if size > limit:
        raise Rejected(f"its {size:,} bytes are more than the server takes, {limit:,}")
    if len(f"{to} {reply} {head} {size}") > MAX_LINE:
        raise Rejected(f"its subject of {len(to):,} characters is longer than a server takes")
    try:
        await client.publish(to, body, reply, headers)
    except (errors.BadSubjectError, errors.BadHeaderError, ValueError) as error:
        raise Rejected(str(error)) from error
    except (errors.Error, OSError) as error:
        raise Lost(f"the connection was lost: {error}") from error


def _size_of(headers: Mapping[str, str]) -> int:
    """Return how many bytes the client makes of headers."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return len("NATS/1.0\r\n\r\n") + len(lines.encode(errors="replace"))


class NatsConsumer:
    """A durable pull consumer. See `_broker.Consumer`.

    One request is outstanding at a time; the messages do not say to which they belong.

    Order over lost connections: what the server has sent and we never got, before or in place of
    this connection, is pending there, and would come after `ack_wait`, behind newer events. The
    deliveries of a consumer are numbered, so a gap shows it. Then whatever the server takes to be
    in hand and is not is given back, fetched, and sorted by its place in the stream, before
    anything goes to the relay. (Servers do not keep the order of what they deliver again.) Not in a
    group, where the others have what is missing.
    """

    def __init__(
        self,
        broker: Connected,
        client: Client,
        js: JetStreamContext,
        lost: "asyncio.Future[Lost]",
        name: str,
        position: Position,
    ) -> None:
        self._broker = broker
        self._client = client
        self._js = js
        self._lost = lost
        self._name = name
        self._position = position
        self._inbox = ""
        self._request = 0
        self._left = 0
        """Of the outstanding request: how many may still come."""
        self._until = 0.0
        self._arrived: list[NatsDelivery] = []
        self._changed = asyncio.Event()
        self._gone: str | None = None
        self._is_shared = False
        self._next = 0
        """The number of the next delivery of the consumer."""
        self._has_gap = False
        self._is_ours = position.is_known
        """Whether what is pending was delivered to this process, and not to one before it."""
        position.is_known = True
        lost.add_done_callback(lambda _: self._changed.set())

    async def begin(self, info: api.ConsumerInfo | None) -> None:
        """Subscribe to what is fetched; `info` is None in a group."""
        self._inbox = self._client.new_inbox()
        await self._client.subscribe(f"{self._inbox}.*", cb=self._on_message)
        self._is_shared = info is None
        if info is not None:
            self._next = (info.delivered.consumer_seq if info.delivered else 0) + 1
            self._has_gap = bool(info.num_ack_pending)
            self._is_ours |= not self._has_gap

    async def fetch(self, limit: int, wait: float) -> "Sequence[NatsDelivery]":
        """See `_broker.Consumer.fetch`."""
        until = monotonic() + wait
        while self._has_gap or not self._arrived:
            if self._has_gap:
                await self._catch_up()
                continue
            now = monotonic()
            if self._left <= 0 or now >= self._until:
                await self._ask(min(limit, MAX_FETCH), wait)
            if now >= until:
                break
            await self._wait(until - now)
        arrived, self._arrived = self._arrived[:limit], self._arrived[limit:]
        for delivery in arrived:  # not before: what is not fetched is given back after a cut
            self._position.in_hand.add(delivery.sequence)
        return arrived

    async def _wait(self, seconds: float) -> None:
        """Wait until something has changed, or that long.

        Raises:
            Lost, Refused: The connection, or the consumer, is gone.
        """
        if not self._lost.done() and self._gone is None:
            with suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(self._changed.wait(), seconds)
        self._changed.clear()
        if self._lost.done():
            raise self._lost.result()
        if self._gone is not None:
            raise Refused(f"{self._broker.server}: {self._gone}")

    async def _ask(self, batch: int, wait: float) -> None:
        """Request events; `wait` of 0: only those that are there."""
        self._request += 1
        self._left = batch
        self._until = monotonic() + wait + 1.0  # the server says when it is over
        wanted = {"batch": batch, "expires": int(wait * 1e9)} if wait else {"batch": batch}
        body = json.dumps({**wanted, "no_wait": True} if not wait else wanted).encode()
        to = f"$JS.API.CONSUMER.MSG.NEXT.{self._broker.stream}.{self._name}"
        await publish(self._client, to, body, f"{self._inbox}.{self._request}")

    async def _on_message(self, msg: Msg) -> None:
        if msg.reply.startswith("$JS.ACK."):
            self._left -= 1
            delivery = NatsDelivery(self._broker, self._position, msg)
            self._arrived.append(delivery)
            if not self._is_shared:
                self._has_gap |= delivery.number != self._next
                self._next = delivery.number + 1
            self._changed.set()
            return
        status = (msg.headers or {}).get("Status", "")
        text = (msg.headers or {}).get("Description", "")
        if status == "100" or msg.subject.rpartition(".")[2] != str(self._request):
            return
        self._left = 0
        if any(gone in text.lower() for gone in _GONE) or status == "503":
            self._gone = text or "the consumer is gone"
        self._changed.set()

    # ---- after a gap -----------------------------------------------------------------------------

    async def _catch_up(self) -> None:
        """Fetch what is missing, and bring what has arrived into the order of the stream."""
        self._has_gap = False
        info = await self._info()
        last = info.delivered.stream_seq if info.delivered else 0
        missing = await self._give_back(info, last)
        idle = 0
        while missing and idle < IDLE_ROUNDS:
            before = len(self._arrived)
            await self._ask(min(len(missing) + 1, MAX_FETCH), 0)
            while self._left > 0 and monotonic() < self._until:
                await self._wait(self._until - monotonic())
            new = self._arrived[before:]
            missing.difference_update(delivery.sequence for delivery in new)
            if any(delivery.sequence > last for delivery in new):
                break  # what is delivered again comes before that
            if not new:  # the rest of the range was answered, or is not for this consumer
                idle += 1
                await asyncio.sleep(IDLE)
        self._has_gap = False
        unique = {delivery.sequence: delivery for delivery in self._arrived}
        self._arrived = [unique[sequence] for sequence in sorted(unique)]

    async def _give_back(self, info: api.ConsumerInfo, last: int) -> set[int]:
        """Give back what the server takes to be in hand and is not; return what that may be."""
        position, stream = self._position, self._broker.stream
        first = (info.ack_floor.stream_seq if info.ack_floor else 0) + 1
        position.forget_below(first)
        if not info.num_ack_pending or info.delivered is None:
            return set()
        held = position.in_hand | {delivery.sequence for delivery in self._arrived}
        missing = [one for one in range(first, last + 1) if one not in held][:MAX_GIVEN_BACK]
        to = f"$JS.ACK.{stream}.{self._name}.1.%d.{info.delivered.consumer_seq}.0.0"
        for sequence in missing:
            await publish(self._client, to % sequence, b"-NAK")
            if self._is_ours:
                position.lost[sequence] = position.lost.get(sequence, 0) + 1
        self._is_ours = True
        if missing:  # the server answers this one when it has seen those before it
            with suppress(errors.Error, asyncio.TimeoutError):
                await self._client.request(to % missing[-1], b"-NAK", timeout=ANSWER_TIMEOUT)
        return set(missing)

    async def lag(self) -> int:
        """See `_broker.Consumer.lag`."""
        return (await self._info()).num_pending or 0

    async def _info(self) -> api.ConsumerInfo:
        try:
            info: api.ConsumerInfo = await self._js.consumer_info(
                self._broker.stream, self._name, timeout=ANSWER_TIMEOUT
            )
        except js_errors.APIError as error:
            raise Refused(f"{self._broker.server}: {error.description or error}") from error
        except (errors.Error, asyncio.TimeoutError, OSError) as error:
            raise Lost(f"{self._broker.server} does not respond") from error
        return info


class NatsDelivery:
    """A message. See `_broker.Delivery`. It can be answered on a later connection too."""

    __slots__ = ("_broker", "_msg", "_position", "count", "number", "sequence")

    def __init__(self, broker: Connected, position: Position, msg: Msg) -> None:
        self._broker = broker
        self._position = position
        self._msg = msg
        tokens = msg.reply.split(".")
        at = 4 if len(tokens) < 11 else 6  # newer servers put domain and account in front
        self.sequence = int(tokens[at + 1])
        """Its place in the stream."""
        self.number = int(tokens[at + 2])
        """That of the delivery, among all of the consumer."""
        self.count = max(1, int(tokens[at]) - position.lost.get(self.sequence, 0))

    @property
    def headers(self) -> Mapping[str, str]:
        """See `_broker.Delivery`."""
        return {name.lower(): value for name, value in (self._msg.headers or {}).items()}

    @property
    def body(self) -> bytes:
        """See `_broker.Delivery`."""
        return self._msg.data

    @property
    def type(self) -> str:
        """See `_broker.Delivery`."""
        return type_of(self._broker.namespace, self._msg.subject)

    async def ack(self) -> None:
        """See `_broker.Delivery`."""
        self._position.lost.pop(self.sequence, None)
        await self._answer(b"+ACK")

    async def nak(self, delay: float) -> None:
        """See `_broker.Delivery`. It counts as in hand until it comes again."""
        await self._say(b'-NAK {"delay": %d}' % int(delay * 1e9))

    async def term(self, reason: str) -> None:  # noqa: ARG002, older servers take no reason
        """See `_broker.Delivery`."""
        self._position.lost.pop(self.sequence, None)
        await self._answer(b"+TERM")

    async def in_progress(self) -> None:
        """See `_broker.Delivery`."""
        await self._say(b"+WPI")

    async def _answer(self, text: bytes) -> None:
        self._position.in_hand.discard(self.sequence)
        await self._say(text)

    async def _say(self, text: bytes) -> None:
        client = self._broker.client
        if client is None:
            raise Lost("there is no connection")
        await publish(client, self._msg.reply, text)
