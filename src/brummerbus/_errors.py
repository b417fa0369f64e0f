"""Exceptions that correct use of a bus can raise.

Wrong arguments raise `TypeError` or `ValueError` instead, before anything changes.
"""

import queue

from brummerbus._arguments import check_seconds


class BusError(Exception):
    """Base of the bus's own exceptions; raised directly for a call that would deadlock.

    Example: `EventBus.flush` in a handler of the same bus would wait for that handler.
    """


class QueueFull(BusError, queue.Full):
    """The queue is full and the policy raises rather than drops (`REJECT`, `BLOCK`).

    No delivery of the event was accepted, and nothing was evicted for it. It is counted as
    published and dropped (`DropReason.REFUSED`). `publish_after` raises it when too many events
    are scheduled; then nothing is counted.

    Attributes:
        accepted: The number of events of the same `publish_many` call that were accepted before
            it; 0 for `publish`.
    """

    def __init__(self, message: str, *, accepted: int = 0) -> None:
        super().__init__(message)
        self.accepted = accepted


class BusClosed(BusError, RuntimeError):
    """The bus is stopped or stopping; the event was never published and is not counted."""


class Retry(Exception):
    """A handler raises it to have its event again; with `subscribe(..., retries=n)`, n times.

    Args:
        after: Seconds until then; None: as `backoff` says.

    Raises:
        TypeError, ValueError: `after` is no number, negative or infinite.
    """

    after: float | None = None
    """The same. A subclass need not call `Retry.__init__`."""

    def __init__(self, after: float | None = None) -> None:
        if after is not None:
            check_seconds("after", after)
        super().__init__(after)
        self.after = after
