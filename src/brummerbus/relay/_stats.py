"""The figures of a relay."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class RelayStats:
    """The state of a relay at one moment: spooled = acked + queued + dropped.

    Counts are events, of this process, since the relay was created.
    """

    spooled: int
    """Events that were to be sent."""
    queued: int
    """Of these, in the spool: they wait to be sent, or for an acknowledgement."""
    queued_bytes: int
    """Their size."""
    sent: int
    """Events that were sent at least once."""
    acked: int
    """Events that the broker has stored."""
    resent: int
    """How often an event was sent again, as its acknowledgement did not come."""
    dropped: int
    """Events that will not be sent."""
    dropped_by: Mapping[str, int]
    """`dropped`, by reason: `full` (`spool_policy`), `encoding`, `rejected` by the broker, for
    instance as too large, `hops`, `shutdown`."""
    received: int
    """Events that came from other buses and were published here; one that was given back counts
    again when it comes again."""
    handled: int
    """Of these, acknowledged after all their deliveries on this bus had ended."""
    in_flight: int
    """Of these, in hand: they wait for free slots or for handlers."""
    duplicates: int
    """Deliveries of events that had come before."""
    redeliver: int
    """How often an event was given back, because a handler failed or the bus dropped it."""
    dead: int
    """Events that became dead letters here."""
    lag: int | None
    """Events that wait at the broker for this consumer; None: not known, or nothing is received."""
    connected_since: float | None
    """Since when there is a connection, in seconds since the epoch; None: there is none."""
    connects: int
    """How often a connection was made."""

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as a dict, ready for JSON."""
        return asdict(self)


RelayStats.__module__ = "brummerbus.relay"
