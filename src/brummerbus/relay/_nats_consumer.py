"""Receiving from JetStream: a durable pull consumer, and its deliveries. A part of `_nats`."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import monotonic

from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js import errors as js_errors

from brummerbus.relay._broker import Lost, Refused, Rejected
from brummerbus.relay._subjects import type_of

ANSWER_TIMEOUT = 2.5
MAX_FETCH = 512

_GONE = ("consumer deleted", "stream deleted", "no responders")


class Connected:
    """What the deliveries of all sessions have in common."""

    def __init__(self, namespace: str, server: str) -> None:
        self.namespace = namespace
        self.server = server
        self.stream = namespace.replace(".", "_")
        self.client: Client | None = None
        """That of the session which lives: acknowledgements can be sent on any."""


async def publish(
    client: Client, to: str, body: bytes, reply: str = "", headers: dict[str, str] | None = None
) -> None:
    """Publish on a connection.

    Raises:
        Lost: It is gone.
        Rejected: The server accepts nothing that large, or the subject or a header is malformed.
    """
    try:
        await client.publish(to, body, reply, headers)
    except errors.MaxPayloadError:
        limit = client.max_payload
        raise Rejected(
            f"its {len(body):,} bytes are more than the server takes, {limit:,}"
        ) from None
    except (errors.BadSubjectError, errors.BadHeaderError, ValueError) as error:
        raise Rejected(str(error)) from error
    except (errors.Error, OSError) as error:
        raise Lost(f"the connection was lost: {error}") from error


class Position:
    """What this process has in hand of one consumer."""

    def __init__(self) -> None:
        self.in_hand: set[int] = set()
        """Sequences in the stream that came and were not answered."""
        self.lost: dict[int, int] = {}
        """How often each was delivered without reaching us."""
        self.is_known = False
        """Whether all that was delivered to the consumer since was delivered to this process."""


class NatsConsumer:
    """A durable pull consumer. See `_broker.Consumer`.

    One request is outstanding at a time; the messages do not say to which they belong.
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
        lost.add_done_callback(lambda _: self._changed.set())

    async def begin(self) -> None:
        """Subscribe to what is fetched."""
        self._inbox = self._client.new_inbox()
        await self._client.subscribe(f"{self._inbox}.*", cb=self._on_message)
        self._position.is_known = True

    async def fetch(self, limit: int, wait: float) -> "Sequence[NatsDelivery]":
        """See `_broker.Consumer.fetch`."""
        until = monotonic() + wait
        while not self._arrived:
            self._changed.clear()
            if self._lost.done():
                raise self._lost.result()
            if self._gone is not None:
                raise Refused(f"{self._broker.server}: {self._gone}")
            now = monotonic()
            if self._left <= 0 or now >= self._until:
                await self._ask(min(limit, MAX_FETCH), wait)
            if now >= until:
                break
            with suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(self._changed.wait(), until - now)
        arrived, self._arrived = self._arrived, []
        for delivery in arrived:  # not before: what is not fetched is given back after a cut
            delivery.is_in_hand()
        return arrived

    async def _ask(self, batch: int, wait: float) -> None:
        self._request += 1
        self._left = batch
        self._until = monotonic() + wait + 1.0  # the server says when it is over
        body = json.dumps({"batch": batch, "expires": int(wait * 1e9)}).encode()
        to = f"$JS.API.CONSUMER.MSG.NEXT.{self._broker.stream}.{self._name}"
        await publish(self._client, to, body, f"{self._inbox}.{self._request}")

    async def _on_message(self, msg: Msg) -> None:
        if msg.reply.startswith("$JS.ACK."):
            self._left -= 1
            self._arrived.append(NatsDelivery(self._broker, self._position, msg))
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

    async def lag(self) -> int:
        """See `_broker.Consumer.lag`."""
        try:
            info = await self._js.consumer_info(
                self._broker.stream, self._name, timeout=ANSWER_TIMEOUT
            )
        except js_errors.APIError as error:
            raise Refused(f"{self._broker.server}: {error.description or error}") from error
        except (errors.Error, asyncio.TimeoutError, OSError) as error:
            raise Lost(f"{self._broker.server} does not respond") from error
        return info.num_pending or 0


class NatsDelivery:
    """A message. See `_broker.Delivery`. It can be answered on a later connection too."""

    __slots__ = ("_broker", "_msg", "_position", "_sequence", "count")

    def __init__(self, broker: Connected, position: Position, msg: Msg) -> None:
        self._broker = broker
        self._position = position
        self._msg = msg
        tokens = msg.reply.split(".")
        at = 4 if len(tokens) < 11 else 6  # newer servers put domain and account in front
        self._sequence = int(tokens[at + 1])
        self.count = max(1, int(tokens[at]) - position.lost.get(self._sequence, 0))

    def is_in_hand(self) -> None:
        """It is returned to the relay, which will answer it."""
        self._position.in_hand.add(self._sequence)

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
        self._position.lost.pop(self._sequence, None)
        await self._answer(b"+ACK")

    async def nak(self, delay: float) -> None:
        """See `_broker.Delivery`. It counts as in hand until it comes again."""
        await self._say(b'-NAK {"delay": %d}' % int(delay * 1e9))

    async def term(self, reason: str) -> None:  # noqa: ARG002, older servers take no reason
        """See `_broker.Delivery`."""
        self._position.lost.pop(self._sequence, None)
        await self._answer(b"+TERM")

    async def in_progress(self) -> None:
        """See `_broker.Delivery`."""
        await self._say(b"+WPI")

    async def _answer(self, text: bytes) -> None:
        self._position.in_hand.discard(self._sequence)
        await self._say(text)

    async def _say(self, text: bytes) -> None:
        client = self._broker.client
        if client is None:
            raise Lost("there is no connection")
        await publish(client, self._msg.reply, text)
