"""What the relay needs of a message broker: the interface that an adapter implements.

An adapter knows one broker (`_nats`, `_redis`) and nothing of buses, spools or envelopes. It keeps
no queue of its own and never reconnects: a `Session` lives as long as its connection, and the relay
makes a new one after it, for ever.

All coroutines and callbacks run in the one event loop of the relay, so an adapter needs no locks.
Cancelling any of them must be safe: the relay then closes the session.

What an adapter guarantees
- Messages of one session are stored in the order in which they were given to `send`, except those
  that the broker refused one by one.
- A message that is sent again, with the same id, in this or in a later session, is stored once, or
  its copies have the same headers, by which the receiver tells them.
- A delivery that is neither acknowledged nor touched within `ack_wait` is made again, to the same
  consumer or, in a group, to another member. So is everything that a process took and did not
  acknowledge before it died.
- Without failures, deliveries come in the order in which messages were stored.
- A peer that does not respond is detected: every coroutine here ends within seconds, with `Lost`
  if need be, whatever the network does. What waits by purpose says how long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from brummerbus._arguments import shown
from brummerbus._errors import BusError


class BrokerError(BusError):
    """Base of what an adapter raises."""


class Lost(BrokerError):
    """The connection is gone, could not be made, or does not respond: the relay connects again."""


class Refused(BrokerError):
    """The broker is there, but does not do what was asked, and says why.

    Wrong credentials, no JetStream, no permission, no space. The relay reports it once and tries
    again later: someone may repair it.
    """


class Rejected(BrokerError):
    """The message can never be stored: it is larger than the broker accepts, or malformed."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message to be stored."""

    type: str
    """The event type, as published; the adapter makes its subject or key of it."""
    headers: Mapping[str, str]
    """Names in lower case, values of printable ASCII; the adapter carries them unchanged."""
    body: bytes
    id: str
    """Unique to the event, the same whenever it is sent; printable ASCII without spaces."""
    dead: bool = False
    """True: it belongs to the dead letters, not to the events."""


Answered = Callable[[Message, "Exception | None"], None]
"""Called once for each message that was sent, in any order: None: it is stored, as durably as the
broker stores. `Refused`: not stored now. `Rejected`: never. After the session is lost it need not
be called, and must not be called after `close` has returned."""


class Delivery(Protocol):
    """A message that came, and has to be answered: by one of `ack`, `nak`, `term`.

    None of these waits for the broker to confirm. They raise `Lost` at most; an answer that was
    lost means that the delivery is made again.
    """

    @property
    def headers(self) -> Mapping[str, str]:
        """As they were sent, names in lower case; those of foreign publishers too."""

    @property
    def body(self) -> bytes:
        """As it was sent."""

    @property
    def type(self) -> str:
        """The event type, recovered from subject or key; only used if the headers have none."""

    @property
    def count(self) -> int:
        """How often the broker has delivered it, this time included; 1 the first time.

        After a crash of the broker it may be too low.
        """

    async def ack(self) -> None:
        """It is done: never deliver it again."""

    async def nak(self, delay: float) -> None:
        """It could not be handled now: deliver it again after `delay` seconds."""

    async def in_progress(self) -> None:
        """It is being handled: `ack_wait` begins again."""

    async def term(self, reason: str) -> None:
        """Never deliver it again, although it was not handled; `reason` is for logs."""


class Consumer(Protocol):
    """What one bus, or one group of them, receives; its position is kept by the broker."""

    async def fetch(self, limit: int, wait: float) -> Sequence[Delivery]:
        """Return what is there, as soon as anything is; empty after `wait` seconds.

        `limit`, at least 1, is how many more deliveries the caller can take now. What was
        asked of the broker before and is still under way counts towards it, so that no more than
        `limit` are ever ahead of the caller. Not called concurrently.

        Raises:
            Lost: The connection does not respond.
            Refused: The broker says that the consumer, or the stream, is gone; the relay makes a
                new session.
        """

    async def lag(self) -> int | None:
        """Return how many messages wait at the broker that were never delivered to this consumer.

        None: the broker cannot tell.

        Raises:
            Lost: The connection does not respond.
        """


class Session(Protocol):
    """One connection to the broker, on which nothing is ever repeated or repaired."""

    @property
    def server(self) -> str:
        """Which server this is, for messages; without credentials."""

    async def send(self, messages: Sequence[Message], answered: Answered) -> None:
        """Send messages, in order; return when the client can take more, not when they are stored.

        At most some hundred messages are unanswered at a time: the relay sees to that.

        Raises:
            Lost: The connection is gone; some of them may have been sent.
        """

    async def consume(
        self,
        types: Sequence[str],
        *,
        name: str,
        shared: bool,
        max_pending: int,
        ack_wait: float,
    ) -> Consumer:
        """Begin, or continue, to receive.

        Args:
            types: Event types and globs (`*`, `?`, `[...]`). The adapter may deliver more than
                they match, never less: the relay checks each event.
            name: Names the position that the broker keeps: with the same name, a new process goes
                on where the last one stopped. Letters, digits, `-` and `_`.
            shared: True: a group, each message goes to one of all consumers of that name; when the
                name is new, it begins with the oldest message that is stored. False: there is one
                consumer of that name at a time; when it is new, it begins with what is sent from
                now on.
            max_pending: How many deliveries may be unanswered, at most, in all.
            ack_wait: Seconds after which an unanswered delivery is made again.

        Raises:
            Lost, Refused: As `Broker.connect`.
        """

    async def check(self) -> None:
        """Make one round trip; the relay does it every few seconds while a session lives.

        Raises:
            Lost: There was no answer within some seconds.
        """

    async def wait_lost(self) -> Lost:
        """Wait until the connection is gone, as soon as the client knows; return why."""

    async def close(self) -> None:
        """Send what the client still has, acknowledgements above all, and close; never raises.

        Takes at most about a second. Idempotent.
        """


class Broker(Protocol):
    """Where sessions come from; an object for the life of a relay, made without any I/O.

    An adapter's module has a function `make(url, namespace, options) -> Broker`, where `options`
    are further arguments of the client's own connect function (TLS, credentials), passed through.
    It raises `ImportError`, naming the extra, where the client is not installed, and `ValueError`
    where the URL is not understood.
    """

    async def connect(self) -> Session:
        """Connect once, and make sure that there is a place to store events and dead letters.

        Streams that exist are used as they are. Takes some seconds at most.

        Raises:
            Lost: No connection; the message names the server, without credentials.
            Refused: Wrong credentials, or the server cannot store; the message says so.
        """


def shown_url(url: str) -> str:
    """Return a URL for a message: no more than its scheme, as the rest may be a password."""
    return repr(url.partition("://")[0] + "://...") if "://" in url else shown(url)
