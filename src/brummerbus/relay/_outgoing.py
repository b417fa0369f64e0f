"""From the bus to the spool: ordinary subscriptions, whose handler encodes in a worker.

Guarantees
- `publish` never waits for the network: it queues deliveries, as for any subscription. A worker
  waits for room in the spool, with `spool_policy=BLOCK`.
- Events that one entry of `send` matches are spooled in the order in which the bus hands them out:
  one worker at a time encodes them.
- An event that several entries match is spooled once; what came by a relay, never.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from brummerbus import BackpressurePolicy, Event, EventBus
from brummerbus._arguments import shown
from brummerbus._core._ext import level_of
from brummerbus._core.subscriptions import Subscription
from brummerbus.relay._arrived import RelayedEvent
from brummerbus.relay._broker import Message
from brummerbus.relay._codec import Codec
from brummerbus.relay._envelope import pack
from brummerbus.relay._report import RelayError, Reporter
from brummerbus.relay._spool import Spool
from brummerbus.relay._subjects import Globs
from brummerbus.relay._tracing import traceparent

BATCH = 64
"""Events that one call of the handler encodes, at most."""


class Outgoing:
    """Encodes the events of one bus for one spool."""

    def __init__(
        self,
        bus: EventBus,
        spool: Spool,
        globs: Globs,
        codec: Codec,
        *,
        source: str,
        instance: str,
        max_hops: int,
        reporter: Reporter,
    ) -> None:
        self._bus = bus
        self._spool = spool
        self._globs = globs
        self._codec = codec
        self._source = source
        self._instance = instance
        self._max_hops = max_hops
        self._reporter = reporter

    def take(self, position: int, events: Sequence[Any]) -> None:
        """Spool the events that a subscription got; `position` is that of its glob."""
        for index, event in enumerate(events):
            if self._globs.first(event.type) == position:
                self._take(event, level_of(index))

    def _take(self, event: Event, level: int) -> None:
        hops = 1
        if isinstance(event, RelayedEvent):
            if event.is_original:
                return
            hops = event.hops + 1
            if hops > self._max_hops:
                self._refuse("hops", event, f"it has passed {event.hops} times from bus to bus")
                return
        try:
            headers, body = pack(
                event,
                self._source,
                self._codec,
                priority=level,
                partition_key=_partition_key(event),
                traceparent=traceparent(),
                hops=hops,
            )
        except Exception as error:
            self._refuse("encoding", event, f"{type(error).__name__}: {error}")
            return
        self._put(Message(event.type, headers, body, f"{self._instance}.{event.id}"), level)

    def _put(self, message: Message, level: int) -> None:
        dropped = self._spool.put(message, level)
        if dropped is None:
            self._reporter.over("spool")
        elif dropped != "shutdown":
            policy = self._spool.policy
            text = f"the spool is full: policy {policy.value!r} drops events"
            if policy is BackpressurePolicy.REJECT:
                text = f"the spool is full: an event of type {shown(message.type)} is not sent"
                self._reporter.error(RelayError(text, message.type))
            else:
                self._reporter.once("spool", RelayError(text))

    def _refuse(self, reason: str, event: Event, why: str) -> None:
        self._spool.refuse(reason)
        text = f"event {event.id} of type {shown(event.type)} is not sent: {why}"
        self._reporter.error(RelayError(text, event.type))


def subscribe(
    bus: EventBus, event_types: Sequence[str], take: Callable[[int, Sequence[Any]], None]
) -> list[Subscription]:
    """Subscribe to what is sent."""
    return [
        bus.subscribe(event_type, partial(take, position), max_concurrency=1, batch=BATCH)
        for position, event_type in enumerate(event_types)
    ]


def _partition_key(event: Event) -> str | None:
    key = getattr(event, "partition_key", None)
    return None if key is None else str(key)
