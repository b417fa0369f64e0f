"""What workers call: after a failure, for a retry, for what has expired, and at their end."""

from collections.abc import Callable
from functools import partial
from typing import Any

from brummerbus._core._ext import Ticket, discard
from brummerbus._core.hooks import Hooks
from brummerbus._core.queue import Queue
from brummerbus._core.scheduler import CallAt
from brummerbus._core.threads import WorkerHooks
from brummerbus._policies import DropReason


def worker_hooks(
    queue: Queue, hooks: Hooks, retired: dict[int, Any], call_at: CallAt
) -> WorkerHooks:
    """Return what the workers of a queue call; it holds the queue and the hooks, and no more.

    `retired` has what is kept until the queue is drained, by its address; the last worker to end
    takes it out.
    """
    return WorkerHooks(
        hooks.failed_in_worker,
        _retrier(queue, call_at),
        hooks.expired,
        _discarder(queue, hooks, retired),
        hooks.on_worker_start,
        hooks.on_worker_stop,
        hooks.log_raised,
    )


def discard_all(queue: Queue, hooks: Hooks) -> None:
    """Drop what a shut queue still holds: all of it, whatever hooks raise."""
    propagated: BaseException | None = None
    while True:
        lost, n = discard(queue.address)
        if not n:
            break
        try:
            hooks.dropped(lost, DropReason.SHUTDOWN, first=False)
        except BaseException as raised:
            propagated = raised
    if propagated is not None:
        try:
            raise propagated
        finally:
            del propagated  # its traceback refers to this frame


def _retrier(queue: Queue, call_at: CallAt) -> Callable[[Ticket, int, int], None]:
    """Return what brings a delivery back after a delay; it holds the queue until then."""

    def retry(ticket: Ticket, index: int, delay: int) -> None:
        # No lambda: CPython 3.13.0 crashes when it creates a function and memory runs out.
        call_at(queue.clock() + delay, partial(_due, ticket, queue, index))

    return retry


def _due(ticket: Ticket, queue: Queue, index: int) -> None:
    ticket.due(queue.address, index)


def _discarder(queue: Queue, hooks: Hooks, retired: dict[int, Any]) -> Callable[[], None]:
    """Return the function that a worker calls at its end; it holds only queue and hooks."""

    def ended() -> None:
        try:
            discard_all(queue, hooks)
        except MemoryError:
            pass  # `stop`, or the next worker that ends, does it again
        except BaseException as error:
            hooks.log_raised(error)
        try:
            if queue.wait_idle(0):
                retired.pop(queue.address, None)
        except MemoryError:
            pass  # it stays

    return ended
