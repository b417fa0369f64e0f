"""Which coroutine handler the caller belongs to: what a thread knows of a handler that it runs.

A task, those that it has created, and calls that it has another thread make in its context
(`asyncio.to_thread`) belong to the handler as long as its coroutine runs.
"""

from contextvars import ContextVar

from brummerbus._core import _ext


class Handling:
    """A coroutine handler that runs, or did."""

    __slots__ = ("address", "runs")

    def __init__(self, address: int) -> None:
        self.address = address
        """That of the queue whose delivery it is."""
        self.runs = True


handling: ContextVar[Handling | None] = ContextVar("brummerbus_handling", default=None)


def is_handling(address: int) -> bool:
    """Return whether the caller belongs to a coroutine handler of a queue.

    Not in a handler that a thread runs, which may have been given the context of a coroutine.
    """
    one = handling.get()
    return one is not None and one.runs and one.address == address and not _ext.is_inside(0)
