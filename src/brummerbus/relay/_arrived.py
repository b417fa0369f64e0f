"""Events that came from another bus."""

from collections.abc import Mapping
from typing import Any

from brummerbus import Event
from brummerbus._core._ext import restore_event
from brummerbus.relay._envelope import Envelope


class RelayedEvent(Event):
    """An event that came by a relay; handlers that take events take it too.

    `type`, `data`, `source` and `timestamp` are those of the original; `id` is new, as it is unique
    to the process. What a handler makes of it with `replace` can be sent again; the event itself
    never is. One that a program makes itself, for a test of its handlers, has the defaults below,
    and counts as derived.

    Attributes:
        origin: Which bus it comes from: `brummerbus://<host>/<bus>/<instance>`.
        origin_id: Its id there.
        hops: How often it, and what it was derived from, has passed from bus to bus.
        partition_key: The partition key that its publisher gave it, or None.
        traceparent: The trace context in which it was sent, or None.
    """

    __slots__ = ("_arrived_as", "hops", "origin", "origin_id", "partition_key", "traceparent")

    origin: str
    origin_id: str
    hops: int
    partition_key: str | None
    traceparent: str | None
    _arrived_as: int

    def __getattr__(self, name: str) -> Any:
        if name in _DEFAULTS:  # it did not come by a relay
            return _DEFAULTS[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def is_original(self) -> bool:
        """Whether it came like this; False: it was derived from one that did."""
        return self._arrived_as == self.id


RelayedEvent.__module__ = "brummerbus.relay"

_DEFAULTS: Mapping[str, Any] = {
    "origin": "",
    "origin_id": "",
    "hops": 0,
    "partition_key": None,
    "traceparent": None,
    "_arrived_as": 0,
}


def relayed(envelope: Envelope) -> RelayedEvent:
    """Return the event of an envelope."""
    made = Event(envelope.type)  # for its id and, if the sender had no clock, its time
    when = made.timestamp if envelope.timestamp is None else envelope.timestamp
    fields = (envelope.type, envelope.data, envelope.subject, made.id, when)
    event: RelayedEvent = restore_event(RelayedEvent, *fields)
    own: dict[str, Any] = {
        "origin": envelope.source,
        "origin_id": envelope.id,
        "hops": envelope.hops,
        "partition_key": envelope.partition_key,
        "traceparent": envelope.traceparent,
        "_arrived_as": made.id,
    }
    for name, value in own.items():
        object.__setattr__(event, name, value)
    return event
