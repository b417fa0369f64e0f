"""A connection to NATS JetStream: its streams, what is sent, and the consumers. A part of `_nats`.

What does not work
- The client's `publish` of JetStream: its futures are not resolved after a cut. Here a publish is a
  message with a reply subject, and the relay has the deadlines.
"""

import asyncio
import json
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api
from nats.js import errors as js_errors

from brummerbus.relay._broker import Answered, Lost, Message, Refused, Rejected
from brummerbus.relay._nats_consumer import (
    ANSWER_TIMEOUT,
    Connected,
    NatsConsumer,
    Position,
    publish,
)
from brummerbus.relay._subjects import DEAD, EVENTS, subject, subject_filters

T = TypeVar("T")

CHECK_TIMEOUT = 3.0
CLOSE_TIMEOUT = 1.0
DAY = 24 * 3600.0
MAX_AGE = 7 * DAY
"""Of stored events, of dead letters, and of the position of a consumer that nobody uses."""
MAX_BYTES = 1 << 30
MAX_DEAD_BYTES = 1 << 27

_INSUFFICIENT = 10047
"""The server's code for: not enough storage for a stream of that size."""
_NEVER = (10054, 10119)
"""The server's codes for: larger than the stream accepts; a header it cannot take."""
_NO_JETSTREAM = "{} has no JetStream: start it with -js"


class NatsSession:
    """A connection to a NATS server. See `_broker.Session`."""

    def __init__(self, broker: Connected, client: Client, lost: "asyncio.Future[Lost]") -> None:
        self._broker = broker
        self._client = client
        self._lost = lost
        self._js: JetStreamContext = client.jetstream(timeout=ANSWER_TIMEOUT)
        self._inbox = ""
        self._sent: dict[str, tuple[Message, Answered]] = {}
        self._number = 0
        self._closed = False
        self.why: Exception | None = None
        """Why the connection was lost, or could not be made, if the client says."""

    @property
    def server(self) -> str:
        """The server's address, and its version."""
        version = self._client.connected_server_version
        number = f"{version.major}.{version.minor}.{version.patch}"
        return f"{self._broker.server} (nats-server {number})"

    def note(self, error: Exception | None) -> None:
        """Keep why the connection was lost, if the client says."""
        if error is not None and self.why is None:
            self.why = error

    def because(self) -> str:
        """Return why the connection was lost, as the end of a sentence; empty if nobody says."""
        return "" if self.why is None else f": {self.why}"

    # ---- the beginning -------------------------------------------------------------------------

    async def begin(self) -> None:
        """Make the streams, and subscribe to acknowledgements."""
        broker, name = self._broker, self._broker.stream
        await self._add_stream(name, f"{broker.namespace}.{EVENTS}.>", MAX_BYTES)
        await self._add_stream(f"{name}-dead", f"{broker.namespace}.{DEAD}.>", MAX_DEAD_BYTES)
        self._inbox = self._client.new_inbox()
        await self._client.subscribe(f"{self._inbox}.*", cb=self._on_answer)
        await self._client.flush(timeout=2)

    async def _add_stream(self, name: str, subjects: str, max_bytes: int) -> None:
        config = api.StreamConfig(
            name=name,
            subjects=[subjects],
            max_age=MAX_AGE,
            max_bytes=max_bytes,
            discard=api.DiscardPolicy.OLD,
            storage=api.StorageType.FILE,
        )
        try:
            await self._ask(self._js.stream_info(name))
        except js_errors.NotFoundError:
            try:
                await self._ask(self._js.add_stream(config))
            except js_errors.APIError as error:
                if error.err_code != _INSUFFICIENT:
                    raise Refused(self._says(f"cannot make the stream {name!r}", error)) from error
                config.max_bytes = -1  # it does not have that much: as much as there is
                try:
                    await self._ask(self._js.add_stream(config))
                except js_errors.APIError as again:
                    text = self._says(f"cannot make the stream {name!r}", again)
                    raise Refused(text) from again
        except js_errors.APIError as error:
            raise Refused(self._says("has no JetStream that can be used", error)) from error

    def _says(self, what: str, error: js_errors.APIError) -> str:
        return f"{self._broker.server} {what}: {error.description or error}"

    async def _ask(self, request: Coroutine[Any, Any, T]) -> T:
        """Await an answer of JetStream.

        Raises:
            Lost, Refused: There was none.
            APIError: It is an error.
        """
        try:
            return await asyncio.wait_for(request, 2 * ANSWER_TIMEOUT)
        except (errors.NoRespondersError, js_errors.ServiceUnavailableError) as error:
            raise Refused(_NO_JETSTREAM.format(self._broker.server)) from error
        except (errors.TimeoutError, asyncio.TimeoutError) as error:
            raise Lost(f"{self._broker.server} does not respond") from error
        except (errors.Error, OSError) as error:
            if isinstance(error, js_errors.APIError):
                raise
            raise Lost(f"{self._broker.server}: {error}") from error

    # ---- sending ---------------------------------------------------------------------------------

    async def send(self, messages: Sequence[Message], answered: Answered) -> None:
        """See `_broker.Session.send`."""
        if self._lost.done():
            raise self._lost.result()
        for message in messages:
            self._number += 1
            number = str(self._number)
            channel = DEAD if message.dead else EVENTS
            to = subject(self._broker.namespace, channel, message.type)
            headers = {"Nats-Msg-Id": message.id, **message.headers}
            self._sent[number] = message, answered
            try:
                await self._publish(to, message.body, f"{self._inbox}.{number}", headers)
            except Rejected as error:
                del self._sent[number]
                answered(message, error)

    async def _publish(
        self, to: str, body: bytes, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        await publish(self._client, to, body, reply, headers)

    async def _on_answer(self, msg: Msg) -> None:
        """An acknowledgement came, or what the server says instead."""
        found = self._sent.pop(msg.subject.rpartition(".")[2], None)
        if found is None or self._closed:
            return
        message, answered = found
        if msg.data.startswith(b'{"stream"'):  # the usual case, without reading it all
            self._broker.has_no_stream = False
            answered(message, None)
            return
        if msg.headers and msg.headers.get("Status") == "503":
            self._not_stored(message, answered)
            return
        answered(message, self._read_answer(msg))

    def _not_stored(self, message: Message, answered: Answered) -> None:
        """No stream takes a message: it was deleted, and the next session makes it again.

        If that did not help, the one that is there has other subjects.
        """
        broker = self._broker
        if broker.has_no_stream:
            text = f"the stream {broker.stream!r} does not take {broker.namespace}.{EVENTS}.>"
            answered(message, Refused(f"{broker.server}: {text}"))
        elif not self._lost.done():
            broker.has_no_stream = True
            self._lost.set_result(Lost(f"{broker.server} has no stream {broker.stream!r} any more"))

    def _read_answer(self, msg: Msg) -> Exception | None:
        try:
            error = json.loads(msg.data).get("error")
        except (ValueError, AttributeError):
            return Lost(f"{self._broker.server} answers {msg.data[:100]!r}")
        if error is None:
            return None
        text = f"{self._broker.server}: {error.get('description', error)}"
        if error.get("err_code") in _NEVER:
            return Rejected(text)
        return Refused(text)

    # ---- receiving -------------------------------------------------------------------------------

    async def consume(
        self,
        types: Sequence[str],
        *,
        name: str,
        shared: bool,
        max_pending: int,
        ack_wait: float,
    ) -> NatsConsumer:
        """See `_broker.Session.consume`."""
        broker = self._broker
        filters = subject_filters(broker.namespace, types)
        config = api.ConsumerConfig(
            durable_name=name,
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=ack_wait,
            deliver_policy=api.DeliverPolicy.ALL if shared else api.DeliverPolicy.NEW,
            max_ack_pending=max(max_pending, 1000) if shared else max_pending,
            max_deliver=-1,
            max_waiting=512,
            inactive_threshold=MAX_AGE,
        )
        info = await self._add_consumer(config, filters)
        position = broker.positions.setdefault(name, Position())
        consumer = NatsConsumer(broker, self._client, self._js, self._lost, name, position)
        await consumer.begin(None if shared else info)
        return consumer

    async def _add_consumer(
        self, config: api.ConsumerConfig, filters: list[str]
    ) -> api.ConsumerInfo:
        everything = f"{self._broker.namespace}.{EVENTS}.>"
        if len(filters) == 1:
            config.filter_subject = filters[0]
        else:
            config.filter_subjects = filters
        try:
            return await self._ask(self._js.add_consumer(self._broker.stream, config))
        except js_errors.APIError as error:
            if len(filters) == 1:
                raise Refused(self._says("cannot make the consumer", error)) from error
        config.filter_subjects = None  # servers before 2.10 know only one
        return await self._add_consumer(config, [everything])

    # ---- the end ---------------------------------------------------------------------------------

    async def check(self) -> None:
        """See `_broker.Session.check`."""
        try:
            await asyncio.wait_for(self._client.flush(timeout=2), CHECK_TIMEOUT)
        except (errors.Error, asyncio.TimeoutError, OSError) as error:
            lost = Lost(f"{self._broker.server} does not respond{self.because()}")
            if not self._lost.done():
                self._lost.set_result(lost)
            raise lost from error

    async def wait_lost(self) -> Lost:
        """See `_broker.Session.wait_lost`."""
        return await asyncio.shield(self._lost)

    async def close(self) -> None:
        """See `_broker.Session.close`."""
        if self._closed:
            return
        self._closed = True
        self._sent.clear()
        if self._broker.client is self._client:
            self._broker.client = None
        was_lost = self._lost.done()
        if not was_lost:
            self._lost.set_result(Lost("the connection was closed"))
        if self._client.is_connected and not was_lost:
            with suppress(Exception):
                await asyncio.wait_for(self._client.flush(timeout=1), CLOSE_TIMEOUT / 2)
        with suppress(Exception):
            await asyncio.wait_for(self._client.close(), CLOSE_TIMEOUT / 2)
