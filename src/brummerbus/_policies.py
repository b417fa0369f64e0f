"""What is dropped when the queue is full, and how each loss is named.

A policy is applied once `publish` has waited for room without success (`publish_timeout`).
The queue applies it in one step: no other publisher can take the room that it made.
"""

from enum import Enum


class BackpressurePolicy(Enum):
    """What is dropped when there is no room for a new event.

    The value is the policy's name in lower case, as the command line and `as_dict` show it.
    """

    DROP_OLDEST = "drop_oldest"
    """The oldest queued deliveries among those no more urgent than the new event.

    Use it when the latest news counts: logs, progress, state. If there are too few such
    deliveries, nothing is evicted and the new event is dropped.
    """

    DROP_NEWEST = "drop_newest"
    """The new event. Use it when what was accepted first must be kept; the cheapest."""

    DROP_LOWEST = "drop_lowest"
    """Queued deliveries strictly less urgent, lowest level first, oldest first within it.

    Use it when equals must not drop each other. If there are too few such deliveries,
    nothing is evicted and the new event is dropped.
    """

    REJECT = "reject"
    """The new event, loudly: `QueueFull` is raised. Use it when the caller can react."""

    BLOCK = "block"
    """Nothing: `publish` waits for room, without limit or up to an explicit `timeout`.

    Use it when no event may be lost and publishers can afford to be slowed down.
    """

    CALLER_RUNS = "caller_runs"
    """Nothing: the handlers run in the publishing thread, at once and ahead of the queue.

    Use it when no event may be lost and the publisher may help; order is given up.
    """


class DropReason(str, Enum):
    """Why a delivery was not made."""

    EVICTED = "evicted"
    """It was queued and gave way to a newer event."""

    REFUSED = "refused"
    """It belonged to a new event for which there was no room."""

    SHUTDOWN = "shutdown"
    """It was still queued when the bus stopped waiting for its handlers."""

    EXPIRED = "expired"
    """It had not begun within the time that `publish(..., expires=...)` allowed."""

    def __str__(self) -> str:
        return str(self.value)
