"""Exceptions that correct use of a bus can raise.

Wrong arguments raise `TypeError` or `ValueError` instead, before anything changes.
"""

import queue


class BusError(Exception):
    """Base of the bus's own exceptions; raised directly for a call that would deadlock.

    Example: `EventBus.flush` in a handler of the same bus would wait for that handler.
    """


class QueueFull(BusError, queue.Full):
    """The queue is full and the policy raises rather than drops (`REJECT`, `BLOCK`).

    No delivery of the event was accepted, and nothing was evicted for it. It is counted as
    published and dropped (`DropReason.REFUSED`).

    Attributes:
        accepted: The number of events of the same `publish_many` call that were accepted before
            it; 0 for `publish`.
    """

    def __init__(self, message: str, *, accepted: int = 0) -> None:
        super().__init__(message)
        self.accepted = accepted


class BusClosed(BusError, RuntimeError):
    """The bus is stopped or stopping; the event was never published and is not counted."""
