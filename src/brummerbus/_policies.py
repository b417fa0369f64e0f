"""Backpressure policies, and the reasons for which deliveries are dropped.

A policy is applied once `publish` has waited for free slots without success (`publish_timeout`).
The queue applies it in one step: no other publisher can take the slots that it frees.
"""

from enum import Enum

from brummerbus._arguments import shown


class BackpressurePolicy(Enum):
    """What is dropped if there are no free slots for a new event.

    The value is the policy's name in lower case, as on the command line and in `as_dict`.
    """

    DROP_OLDEST = "drop_oldest"
    """The oldest queued deliveries among those no more urgent than the new event.

    Use it when the latest data counts: logs, progress, state. If there are too few such
    deliveries, nothing is evicted and the new event is dropped.
    """

    DROP_NEWEST = "drop_newest"
    """The new event. Use it when earlier events matter more; the cheapest policy."""

    DROP_LOWEST = "drop_lowest"
    """Queued deliveries strictly less urgent, lowest level first, oldest first within it.

    Use it when events of the same level must not evict each other. If there are too few such
    deliveries, nothing is evicted and the new event is dropped.
    """

    REJECT = "reject"
    """The new event, with an exception: `QueueFull`. Use it when the caller can react."""

    BLOCK = "block"
    """Nothing: `publish` waits for free slots, without limit or up to an explicit `timeout`.

    Use it when no event may be lost and publishers may be slowed down.
    """

    CALLER_RUNS = "caller_runs"
    """Nothing: the handlers run in the publishing thread, immediately, before what is queued.

    Use it when no event may be lost and the publisher may run handlers; order is not kept.
    """


def check_policy(
    value: object, accepted: tuple[BackpressurePolicy, ...], wanted: str
) -> BackpressurePolicy:
    """Return a policy, given as such or by its name in lower or upper case.

    Raises:
        ValueError: It is none of those that are accepted; the message says what is wanted.
    """
    for policy in accepted:
        if value is policy or (isinstance(value, str) and value.lower() == policy.value):
            return policy
    raise ValueError(f"policy must be {wanted}, got {shown(value)}")


class DropReason(str, Enum):
    """Why a delivery was dropped."""  # in the order of bb_reason, csrc/queue/queue.h

    EVICTED = "evicted"
    """It was queued and was removed for a newer event."""

    REFUSED = "refused"
    """It belonged to a new event for which there were no free slots."""

    SHUTDOWN = "shutdown"
    """It was still queued when the drain ended."""

    EXPIRED = "expired"
    """It had not begun within the time that `publish(..., expires=...)` allowed."""

    def __str__(self) -> str:
        return str(self.value)
