"""Answers to the broker for each event that came: handled, once more, or never again.

Guarantees
- An event is acknowledged once all its deliveries on this bus have ended, and none failed or was
  dropped.
- One that a handler failed on is given back, to be delivered later, and becomes a dead letter at
  the last attempt. One that the bus dropped is given back, and that counts as no attempt.
- What came on a connection that is lost goes on; it is acknowledged on the next one, when the
  broker delivers it again.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from time import monotonic
from typing import Any

from brummerbus import DropReason, Outcome
from brummerbus._arguments import shown
from brummerbus.relay._broker import BrokerError, Delivery, Lost, Message, Rejected, Session
from brummerbus.relay._envelope import REQUIRED, Envelope, escape
from brummerbus.relay._report import RelayError, Reporter
from brummerbus.relay._tuning import Tuning

Key = tuple[str, str]

STORED_WITHIN = 5.0
"""Seconds in which a dead letter must be stored."""


class InHand:
    """An event that came and has not been answered."""

    __slots__ = ("delivery", "envelope", "outcome", "touched")

    def __init__(self, delivery: Delivery, envelope: Envelope) -> None:
        self.delivery = delivery
        """The last one of its deliveries: the one that can be answered."""
        self.envelope = envelope
        self.outcome: Outcome | None = None
        self.touched = monotonic()
        """When the broker was last notified of it."""


class Answers:
    """Answers deliveries, and remembers what was handled. Belongs to one event loop.

    Attributes:
        in_hand: The events that came and were not answered, by their key.
        session: The connection on which dead letters are stored; None while there is none.
        handled: Events that were acknowledged, redeliver: deliveries that were given back, dead:
            dead letters. They can be read anywhere.
    """

    def __init__(self, name: str, tuning: Tuning, reporter: Reporter) -> None:
        self._name = name
        self._tuning = tuning
        self._reporter = reporter
        self._handled_keys: dict[Key, None] = {}  # in order, the oldest first
        self._untried: dict[Key, int] = {}  # deliveries that no handler saw
        self._tasks: set[asyncio.Task[None]] = set()
        self.in_hand: dict[Key, InHand] = {}
        self.session: Session | None = None
        self.handled = self.redeliver = self.dead = 0

    def was_handled(self, key: Key) -> bool:
        """Return whether an event was handled, among the last `Tuning.remembered`."""
        return key in self._handled_keys

    def tries(self, delivery: Delivery, key: Key) -> int:
        """Return how often handlers have had an event, this delivery included."""
        return delivery.count - self._untried.get(key, 0)

    async def answer(self, one: InHand) -> None:
        """Answer for an event whose outcome is known."""
        outcome = one.outcome
        assert outcome is not None
        dropped = [r for _, r in outcome.dropped if r is not DropReason.EXPIRED]
        if outcome.failed:
            subscription, error = outcome.failed[0]
            self.failed(one, f"{subscription.label}: {type(error).__name__}: {error}")
        elif dropped:
            key = one.envelope.key
            self._untried[key] = self._untried.pop(key, 0) + 1
            if len(self._untried) > self._tuning.remembered:  # in a group, others may get them
                del self._untried[next(iter(self._untried))]
            self.give_back(one)
        else:
            self._forget(one)
            self._remember(one.envelope.key)
            self.handled += 1
            await _ack(one.delivery)

    def failed(self, one: InHand, why: str) -> None:
        """A handler failed: again, or for the last time."""
        if self.tries(one.delivery, one.envelope.key) < self._tuning.max_deliveries:
            self.give_back(one)
        else:
            self._start(self._bury(one.delivery, one.envelope.type, why, one))

    def give_back(self, one: InHand) -> None:
        """It could not be handled now: to be delivered again."""
        delay = self._tuning.redelivery * 2.0 ** min(max(one.delivery.count, 1) - 1, 6)
        self.redeliver += 1
        self._start(self._nak(one, delay))

    # ---- what never was in hand --------------------------------------------------------------

    def ack(self, delivery: Delivery) -> None:
        """It is no event for this bus, or was handled before."""
        self._start(_ack(delivery))

    def refuse(self, delivery: Delivery) -> None:
        """It came while the relay stops: to be delivered again, here or to another of the group."""
        self.redeliver += 1
        self._start(_nak(delivery, 0.0))

    def bury(self, delivery: Delivery, event_type: str, why: str) -> None:
        """Make it a dead letter, without having published it."""
        self._start(self._bury(delivery, event_type, why))

    # ---- the rest is done in tasks, unless stated otherwise ----------------------------------

    async def _nak(self, one: InHand, delay: float) -> None:
        self.in_hand.pop(one.envelope.key, None)
        await _nak(one.delivery, delay)

    async def _bury(
        self, delivery: Delivery, event_type: str, why: str, one: InHand | None = None
    ) -> None:
        """Make a dead letter of a delivery; if that fails, the broker delivers it again."""
        try:
            await self._store_letter(delivery, event_type, why)
            await delivery.term(why)
        except Exception as error:
            self._reporter.once("dead", RelayError(f"a dead letter could not be stored: {error}"))
            await _nak(delivery, self._tuning.redelivery)
        else:
            self._reporter.over("dead")
            self.dead += 1
            text = f"an event of type {shown(event_type)} became a dead letter: {why}"
            self._reporter.error(RelayError(text, event_type))
        if one is not None:
            self._forget(one)

    async def _store_letter(self, delivery: Delivery, event_type: str, why: str) -> None:
        had = {k: v for k, v in delivery.headers.items() if not k.startswith("nats-")}
        added = {"ce-deadreason": escape(why[:500]), "ce-deadat": escape(self._name)}
        letter = f"dead.{self._name}.{had.get('ce-source', '')}.{had.get('ce-id', '')}"
        whole = Message(event_type, {**had, **added}, delivery.body, letter, dead=True)
        try:
            await _store(self.session, whole)
        except Rejected:  # too large with what was added; the stream of events still has the data
            kept = {name: had[name] for name in had if name in REQUIRED}
            await _store(
                self.session, Message(event_type, {**kept, **added}, b"", letter, dead=True)
            )

    def _forget(self, one: InHand) -> None:
        self.in_hand.pop(one.envelope.key, None)
        self._untried.pop(one.envelope.key, None)

    def _remember(self, key: Key) -> None:
        self._handled_keys[key] = None
        if len(self._handled_keys) > self._tuning.remembered:
            del self._handled_keys[next(iter(self._handled_keys))]

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _ack(delivery: Delivery) -> None:
    with suppress(Lost):  # then it comes again, and is acknowledged then
        await delivery.ack()


async def _nak(delivery: Delivery, delay: float) -> None:
    with suppress(Lost):  # then it comes again anyway
        await delivery.nak(delay)


async def _store(session: Session | None, message: Message) -> None:
    """Send a message and wait until it is stored.

    Raises:
        BrokerError: It was not.
    """
    if session is None:
        raise Lost("there is no connection")
    answered = asyncio.get_running_loop().create_future()

    def answer(_message: Message, error: Exception | None) -> None:
        if not answered.done():
            answered.set_result(error)

    await session.send([message], answer)
    try:
        error = await asyncio.wait_for(answered, STORED_WITHIN)
    except (TimeoutError, asyncio.TimeoutError):
        raise Lost("the broker does not answer") from None
    if error is not None:
        raise error if isinstance(error, BrokerError) else Lost(str(error))
