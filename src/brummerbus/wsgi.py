"""`BusDispatcher`: waitress runs its requests on a bus.

    waitress.serve(app, _dispatcher=BusDispatcher(bus), port=8080)

Waitress reads requests in its main thread and hands each connection that has one to a dispatcher,
as a task. Its own has threads and a list without a bound; `_dispatcher` takes another.

What is refused is answered in the thread that refuses it, often the main thread, which then holds a
lock of the connection. So nothing here takes one: the error is written, and the connection closes.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from brummerbus import (
    BackpressurePolicy,
    BusClosed,
    BusError,
    DropReason,
    Event,
    EventBus,
    Outcome,
    QueueFull,
)
from brummerbus._arguments import check_timeout
from brummerbus._core.callables import check_hook

try:
    from waitress.utilities import Error
except ImportError as _missing:
    raise ImportError(
        "brummerbus.wsgi needs waitress: pip install 'brummerbus[waitress]'"
    ) from _missing

__all__ = ["BusDispatcher"]

EVENT_TYPE: Final = "wsgi.request"


class _Busy(Error):  # type: ignore[misc]
    """The answer to a request that is not run."""

    code = 503
    reason = "Service Unavailable"

    def to_response(self, ident: str | None = None) -> tuple[str, list[tuple[str, str]], Any]:
        """Return status, headers and body."""
        status, headers, body = super().to_response(ident)
        return status, [*headers, ("Retry-After", "1")], body


class BusDispatcher:
    """A task dispatcher for waitress that runs requests in the workers of a bus.

    Requests are events of the type `wsgi.request`, with their path as source. What the bus drops,
    since its queue is full or by `expires`, is answered with 503 and `Retry-After: 1`, and its
    connection closes. Waitress's main thread never waits: an event for which there is no room is
    dropped by the policy of the bus at once. With `REJECT`, `DROP_NEWEST` and `BLOCK` that is the
    new request, with the others the oldest or the least urgent.

    Args:
        bus: Whose workers run the requests. It is not stopped with the server.
        priority: The priority of a request by its path, 1 to `priority_levels`; None: `MEDIUM`, or
            the bus's configuration for `wsgi.request`. Called in waitress's main thread; if it
            raises, or returns something else, waitress logs that and closes the connection.
        expires: A request that has waited for that many seconds is not run any more, as its
            client has probably gone; None: it waits as long as it takes.

    Raises:
        TypeError, ValueError: An argument is of the wrong type or out of range; the policy of the
            bus is `CALLER_RUNS`, by which waitress's main thread would run requests.
        BusClosed: The bus is stopped.
    """

    def __init__(
        self,
        bus: EventBus,
        *,
        priority: Callable[[str], int | None] | None = None,
        expires: float | None = None,
    ) -> None:
        if not isinstance(bus, EventBus):
            raise TypeError(f"bus must be an EventBus, got {bus!r}")
        if bus.config.policy is BackpressurePolicy.CALLER_RUNS:
            raise ValueError("bus: its policy must not be CALLER_RUNS")
        check_hook("priority", priority, ("path",))
        self._bus = bus
        self._priority = priority
        self._expires = None if expires is None else check_timeout("expires", expires)
        self._shutting_down = False
        self._subscription = bus.subscribe(EVENT_TYPE, self._run)

    def set_thread_count(self, count: int) -> None:
        """Set the number of workers of the bus, as `EventBus.resize` does."""
        self._bus.resize(count)

    def add_task(self, task: Any) -> None:
        """Have a task run; called by waitress, from any thread. It does not wait.

        Args:
            task: What waitress calls a channel, or anything with `service` and `cancel`.
        """
        if getattr(task, "close_when_flushed", False):  # what followed a request that was refused
            _forget_requests(task)
            return
        path = _path_of(task)
        try:
            self._bus.publish(
                Event(EVENT_TYPE, task, source=path),
                priority=None if self._priority is None else self._priority(path),
                timeout=0,
                expires=self._expires,
                on_done=self._ended,
            )
        except QueueFull:
            pass  # `_ended` has answered it
        except BusClosed:
            task.cancel()

    def _run(self, event: Event) -> None:
        if self._shutting_down:
            event.data.cancel()
        else:
            event.data.service()

    def _ended(self, outcome: Outcome) -> None:
        """Answer a request that was dropped; end the connection of one whose task raised."""
        task = outcome.event.data
        for subscription, reason in outcome.dropped:
            if subscription is self._subscription:
                if reason is DropReason.SHUTDOWN or not hasattr(task, "error_task_class"):
                    task.cancel()
                else:
                    _answer_busy(task)
        if any(subscription is self._subscription for subscription, _ in outcome.failed):
            task.cancel()

    def shutdown(self, cancel_pending: bool = True, timeout: float = 5) -> bool:  # noqa: FBT001, FBT002
        """Run or cancel what was added, and wait for it; called by waitress when a server closes.

        Args:
            cancel_pending: Cancel tasks that have not begun.
            timeout: Seconds to wait, at most.

        Returns:
            `cancel_pending`, as waitress's own dispatcher does.
        """
        self._shutting_down = cancel_pending
        with suppress(BusError):  # in a handler of the bus
            self._bus.barrier(timeout)
        return cancel_pending


def _path_of(task: Any) -> str:
    requests = getattr(task, "requests", None)
    return str(getattr(requests[0], "path", "")) if requests else ""


def _forget_requests(channel: Any) -> None:
    for request in channel.requests:
        request.close()
    channel.requests = []


def _answer_busy(channel: Any) -> None:
    """Write a 503 and close the connection, without a lock of the channel.

    While earlier answers are still to be sent, writing might wait for the main thread, which may be
    this one: then the connection closes after those.
    """
    requests = channel.requests
    if requests and channel.connected and not channel.total_outbufs_len:
        requests[0].error = _Busy("The server is busy.")
        requests[0].headers["CONNECTION"] = "close"  # or HTTP/1.0 might be answered with both
        try:
            channel.error_task_class(channel, requests[0]).service()
        except Exception:
            channel.logger.exception("Exception while refusing %s", _path_of(channel))
    _forget_requests(channel)
    channel.close_when_flushed = True
    channel.server.pull_trigger()
