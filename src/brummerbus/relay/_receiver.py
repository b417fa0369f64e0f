"""From the broker to the bus, in the relay's loop.

Guarantees
- No more is fetched than the bus has free slots, so the line grows at the broker.
- Events are published in the order in which they came. What became of them is answered by
  `_answers`; until then the broker is notified that they are in progress, however long that takes.
- A copy of an event that is in hand, or was handled, is not published again.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic

from brummerbus import BusClosed, EventBus, Outcome
from brummerbus._arguments import shown
from brummerbus.relay._answers import Answers, InHand
from brummerbus.relay._arrived import relayed
from brummerbus.relay._broker import Consumer, Delivery, Lost, Session
from brummerbus.relay._envelope import BadEnvelope, unpack
from brummerbus.relay._report import Reporter
from brummerbus.relay._subjects import Globs
from brummerbus.relay._tasks import end_all
from brummerbus.relay._tracing import publishing_in
from brummerbus.relay._tuning import Tuning


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
        self._answers = Answers(wanted.name, tuning, reporter)
        self._in_hand = self._answers.in_hand
        self._to_publish: deque[InHand] = deque()
        self._ended: deque[InHand] = deque()  # by any thread
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news: asyncio.Event | None = None
        self._room: asyncio.Event | None = None
        self._wakes = False
        self.closed = False
        self.received = self.duplicates = 0
        self.lag: int | None = None

    @property
    def in_flight(self) -> int:
        """Events in hand."""
        return len(self._in_hand)

    def figures(self) -> dict[str, int]:
        """Return the counts, by their names in `RelayStats`."""
        answers = self._answers
        return {
            "received": self.received,
            "handled": answers.handled,
            "in_flight": self.in_flight,
            "duplicates": self.duplicates,
            "redeliver": answers.redeliver,
            "dead": answers.dead,
        }

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
            self._answers.give_back(one)
        except Exception as error:  # a `key` of a subscription that raises, for instance
            self._reporter.bug(f"publishing an event of type {shown(event.type)}", error)
            self._answers.failed(one, f"{type(error).__name__}: {error}")

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
                await self._answers.answer(self._ended.popleft())
            if self._room is not None:
                self._room.set()
            await self._answering_event.wait()
            self._answering_event.clear()

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
        self._answers.session = session
        on_ready()
        others = [
            asyncio.ensure_future(self._touch_all()),
            asyncio.ensure_future(self._ask_lag(consumer)),
        ]
        try:
            await self._fetch_all(consumer, others)
        finally:
            self._answers.session = None
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
                    self._answers.refuse(delivery)
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
        answers = self._answers
        try:
            envelope = unpack(delivery.headers, delivery.body)
        except BadEnvelope as error:
            answers.bury(delivery, delivery.type, str(error))
            return
        key = envelope.key
        if envelope.source == self._own_source or self._wanted.globs.first(envelope.type) is None:
            answers.ack(delivery)
        elif answers.was_handled(key):
            self.duplicates += 1
            answers.ack(delivery)
        elif (one := self._in_hand.get(key)) is not None:
            self.duplicates += 1
            one.delivery = delivery
            one.touched = monotonic()
        elif envelope.hops > self._tuning.max_hops:
            text = f"it has passed {envelope.hops} times from bus to bus"
            answers.bury(delivery, envelope.type, text)
        elif (tries := answers.tries(delivery, key)) > self._tuning.max_deliveries:
            text = f"it was delivered {tries - 1} times and never acknowledged"
            answers.bury(delivery, envelope.type, text)
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
