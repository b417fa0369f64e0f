"""From the broker to the bus, in the relay's loop.

Guarantees
- No more is fetched than the bus has free slots, so the line grows at the broker.
- An event is acknowledged once all its deliveries on this bus have ended, and none failed or was
  dropped. Until then the broker is notified that it is in progress, however long that takes.
- Events are published in the order in which they came.
- A copy of an event that is in hand, or was handled, is not published again. What fails is: it is
  given back, to be delivered later, and becomes a dead letter at the last attempt.
- What came on a connection that is lost goes on; it is acknowledged on the next one, when the
  broker delivers it again.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any

from brummerbus import BusClosed, DropReason, EventBus, Outcome
from brummerbus.relay._arrived import relayed
from brummerbus.relay._broker import (
    BrokerError,
    Consumer,
    Delivery,
    Lost,
    Message,
    Session,
)
from brummerbus.relay._envelope import BadEnvelope, Envelope, escape, unpack
from brummerbus.relay._report import RelayError, Reporter
from brummerbus.relay._subjects import Globs
from brummerbus.relay._tasks import end_all
from brummerbus.relay._tracing import publishing_in
from brummerbus.relay._tuning import Tuning

Key = tuple[str, str]


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


class Subscribed:
    """What a receiver asks for, and under which name."""

    def __init__(self, event_types: Sequence[str], name: str, *, shared: bool) -> None:
        self.event_types = event_types
        self.globs = Globs(event_types)
        self.name = name
        self.shared = shared


class Receiver:
    """Publishes on a bus what comes. Belongs to one event loop; counts can be read anywhere."""

    def __init__(
        self, bus: EventBus, wanted: Subscribed, own_source: str, tuning: Tuning, reporter: Reporter
    ) -> None:
        self._bus = bus
        self._wanted = wanted
        self._own_source = own_source
        self._tuning = tuning
        self._reporter = reporter
        self._in_hand: dict[Key, InHand] = {}
        self._to_publish: deque[InHand] = deque()
        self._handled_keys: dict[Key, None] = {}  # in order, the oldest first
        self._untried: dict[Key, int] = {}  # deliveries that no handler saw
        self._ended: deque[InHand] = deque()  # by any thread
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: Session | None = None
        self._news: asyncio.Event | None = None
        self._room: asyncio.Event | None = None
        self._wakes = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.closed = False
        self.is_consuming = False
        self.received = self.handled = self.duplicates = self.redeliver = self.dead = 0
        self.lag: int | None = None

    @property
    def in_flight(self) -> int:
        """Events in hand."""
        return len(self._in_hand)

    # ---- for the life of the loop ------------------------------------------------------------

    async def publish(self) -> None:
        """Publish what comes and answer for what has ended, until cancelled."""
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        answering = asyncio.ensure_future(self._answer_all())
        try:
            while True:
                while self._to_publish:
                    await self._publish_one(self._to_publish[0])
                    self._to_publish.popleft()
                    self._room.set()
                self._news.clear()
                await self._news.wait()
        finally:
            answering.cancel()

    async def _publish_one(self, one: InHand) -> None:
        event = relayed(one.envelope)
        wanted = one.envelope.priority
        priority = None
        if wanted is not None:
            priority = max(1, min(wanted, self._bus.config.priority_levels))
        done = partial(self._done, one)
        try:
            with publishing_in(one.envelope.traceparent):
                # Without a limit: a remote event waits for room, and evicts no local one.
                await self._bus.publish_async(
                    event, priority=priority, timeout=math.inf, on_done=done
                )
        except BusClosed:
            self._give_back(one)
        except Exception as error:  # a `key` of a subscription that raises, for instance
            self._reporter.bug(f"publishing an event of type {event.type!r}", error)
            self._failed(one, f"{type(error).__name__}: {error}")

    def _done(self, one: InHand, outcome: Outcome) -> None:
        """All deliveries of an event have ended; in a worker, or wherever that was."""
        one.outcome = outcome
        self._ended.append(one)
        if not self._wakes:
            self._wakes = True
            assert self._loop is not None
            with suppress(RuntimeError):  # closed: the relay was stopped
                self._loop.call_soon_threadsafe(self._wake_answering)

    def _wake_answering(self) -> None:
        self._answering_event.set()

    async def _answer_all(self) -> None:
        self._answering_event = asyncio.Event()
        while True:
            self._wakes = False
            while self._ended:
                await self._answer(self._ended.popleft())
            if self._room is not None:
                self._room.set()
            await self._answering_event.wait()
            self._answering_event.clear()

    async def _answer(self, one: InHand) -> None:
        outcome = one.outcome
        assert outcome is not None
        dropped = [r for _, r in outcome.dropped if r is not DropReason.EXPIRED]
        if outcome.failed:
            subscription, error = outcome.failed[0]
            self._failed(one, f"{subscription.label}: {type(error).__name__}: {error}")
        elif dropped:
            key = one.envelope.key
            self._untried[key] = self._untried.pop(key, 0) + 1
            if len(self._untried) > self._tuning.remembered:  # in a group, others may get them
                del self._untried[next(iter(self._untried))]
            self._give_back(one)
        else:
            key = one.envelope.key
            self._in_hand.pop(key, None)
            self._untried.pop(key, None)
            self._remember(key)
            self.handled += 1
            await self._ack(one.delivery)

    async def _ack(self, delivery: Delivery) -> None:
        with suppress(Lost):  # then it comes again, and is acknowledged then
            await delivery.ack()

    def _remember(self, key: Key) -> None:
        self._handled_keys[key] = None
        if len(self._handled_keys) > self._tuning.remembered:
            del self._handled_keys[next(iter(self._handled_keys))]

    def _return(self, delivery: Delivery) -> None:
        """It came while the relay stops: to be delivered again, here or to another of the group."""

        async def nak() -> None:
            with suppress(Lost):
                await delivery.nak(0.0)

        self.redeliver += 1
        self._start(nak())

    def _give_back(self, one: InHand) -> None:
        """It could not be handled now: to be delivered again."""
        tuning, count = self._tuning, one.delivery.count
        delay = tuning.redelivery * 2.0 ** min(max(count, 1) - 1, 6)
        self.redeliver += 1
        self._start(self._nak(one, delay))

    async def _nak(self, one: InHand, delay: float) -> None:
        self._in_hand.pop(one.envelope.key, None)
        with suppress(Lost):
            await one.delivery.nak(delay)

    def _failed(self, one: InHand, why: str) -> None:
        """A handler failed: again, or for the last time."""
        if self._tries(one.delivery, one.envelope.key) < self._tuning.max_deliveries:
            self._give_back(one)
        else:
            self._start(self._bury(one.delivery, one.envelope.type, why, one))

    def _tries(self, delivery: Delivery, key: Key) -> int:
        return delivery.count - self._untried.get(key, 0)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ---- dead letters ------------------------------------------------------------------------

    async def _bury(
        self, delivery: Delivery, event_type: str, why: str, one: InHand | None = None
    ) -> None:
        """Make a dead letter of a delivery; if that fails, the broker delivers it again."""
        name = self._wanted.name
        headers = {
            **{k: v for k, v in delivery.headers.items() if not k.startswith("nats-")},
            "ce-deadreason": escape(why[:500]),
            "ce-deadat": escape(name),
        }
        origin = f"{headers.get('ce-source', '')}.{headers.get('ce-id', '')}"
        message = Message(event_type, headers, delivery.body, f"dead.{name}.{origin}", dead=True)
        try:
            await _store(self._session, message)
            await delivery.term(why)
        except Exception as error:
            self._reporter.once("dead", RelayError(f"a dead letter could not be stored: {error}"))
            with suppress(Lost):
                await delivery.nak(self._tuning.redelivery)
        else:
            self._reporter.over("dead")
            self.dead += 1
            text = f"an event of type {event_type!r} became a dead letter: {why}"
            self._reporter.error(RelayError(text, event_type))
        if one is not None:
            self._in_hand.pop(one.envelope.key, None)
            self._untried.pop(one.envelope.key, None)

    # ---- for the life of a connection --------------------------------------------------------

    async def run(self, session: Session, on_ready: Callable[[], object]) -> None:
        """Fetch on one connection, until it is lost.

        Raises:
            BrokerError: It is lost, or the broker refuses.
        """
        consumer = await session.consume(
            self._wanted.event_types,
            name=self._wanted.name,
            shared=self._wanted.shared,
            max_pending=self._bus.config.queue_size,
            ack_wait=self._tuning.ack_wait,
        )
        self._session = session
        self.is_consuming = True
        on_ready()
        others = [
            asyncio.ensure_future(self._touch_all()),
            asyncio.ensure_future(self._ask_lag(consumer)),
        ]
        try:
            await self._fetch_all(consumer, others)
        finally:
            self._session = None
            self.is_consuming = False
            await end_all(others)

    async def _fetch_all(self, consumer: Consumer, others: "Sequence[asyncio.Task[None]]") -> None:
        assert self._room is not None
        while not self.closed and not self._bus.closed:
            for task in others:
                if task.done():
                    task.result()
            self._room.clear()
            limit = self._free_slots()
            if limit < 1:
                with suppress(TimeoutError, asyncio.TimeoutError):
                    await asyncio.wait_for(self._room.wait(), 0.05)
                continue
            for delivery in await consumer.fetch(limit, self._tuning.fetch_wait):
                # Without awaiting: nothing that came may get lost.
                if self.closed:
                    self._return(delivery)
                else:
                    self._take(delivery)
        await asyncio.Event().wait()  # what is in hand is still touched

    def _free_slots(self) -> int:
        """Return how many events can be fetched; at least 1 while none waits to be published."""
        size = self._bus.config.queue_size
        waiting = len(self._to_publish)
        free = size - max(self._bus.depth + waiting, len(self._in_hand))
        return free if waiting else max(free, 1 if len(self._in_hand) < size else 0)

    def _take(self, delivery: Delivery) -> None:
        """Receive one delivery: it is published, or answered at once."""
        try:
            envelope = unpack(delivery.headers, delivery.body)
        except BadEnvelope as error:
            self._start(self._bury(delivery, delivery.type, str(error)))
            return
        key = envelope.key
        if envelope.source == self._own_source or self._wanted.globs.first(envelope.type) is None:
            self._start(self._ack(delivery))
        elif key in self._handled_keys:
            self.duplicates += 1
            self._start(self._ack(delivery))
        elif (one := self._in_hand.get(key)) is not None:
            self.duplicates += 1
            one.delivery = delivery
            one.touched = monotonic()
        elif envelope.hops > self._tuning.max_hops:
            text = f"it has passed {envelope.hops} times from bus to bus"
            self._start(self._bury(delivery, envelope.type, text))
        elif self._tries(delivery, key) > self._tuning.max_deliveries:
            tries = self._tries(delivery, key) - 1
            text = f"it was delivered {tries} times and never acknowledged"
            self._start(self._bury(delivery, envelope.type, text))
        else:
            self.received += 1
            one = self._in_hand[key] = InHand(delivery, envelope)
            self._to_publish.append(one)
            assert self._news is not None
            self._news.set()

    async def _touch_all(self) -> None:
        """Notify the broker, while anything is in hand for long, that it is in progress."""
        interval = self._tuning.ack_wait / 4
        while True:
            await asyncio.sleep(interval)
            now = monotonic()
            for one in list(self._in_hand.values()):
                if now - one.touched >= interval:
                    one.touched = now
                    with suppress(Lost):  # of the connection before, until it comes again
                        await one.delivery.in_progress()

    async def _ask_lag(self, consumer: Consumer) -> None:
        while True:
            self.lag = await consumer.lag()
            await asyncio.sleep(self._tuning.lag_interval)


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
        error = await asyncio.wait_for(answered, 5.0)
    except (TimeoutError, asyncio.TimeoutError):
        raise Lost("the broker does not answer") from None
    if error is not None:
        raise error if isinstance(error, BrokerError) else Lost(str(error))
