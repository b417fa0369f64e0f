"""Admission of an event for which there are too few free slots: wait, policy, result.

Wait and policy are one step in C (`csrc/python/admit.c`), which returns a small set of results;
here they become True, False or an exception.

What does not work, or was tried
- Handlers that publish into a full queue: running queued deliveries inside the publishing handler,
  as the first core did, deadlocks on locks that the outer handler holds, and exhausts the stack.
  They have a reserve instead.
"""

from collections.abc import Callable
from threading import get_ident, main_thread
from typing import TYPE_CHECKING, Any

from brummerbus._core import queue as c
from brummerbus._core._ext import Route, Ticket, Turn
from brummerbus._core.hooks import Hooks
from brummerbus._core.in_flight import report_standstill
from brummerbus._core.log import WARNING, log
from brummerbus._core.loops import is_running
from brummerbus._core.plan import Tickets
from brummerbus._core.queue import Queue
from brummerbus._errors import BusClosed, QueueFull
from brummerbus._policies import BackpressurePolicy, DropReason
from brummerbus._text import counted

if TYPE_CHECKING:
    from brummerbus._config import EventBusConfig

_MODES = {
    BackpressurePolicy.DROP_OLDEST: c.EVICT_OLDEST,
    BackpressurePolicy.DROP_NEWEST: c.REFUSE,
    BackpressurePolicy.DROP_LOWEST: c.EVICT_LOWEST,
    BackpressurePolicy.REJECT: c.REFUSE,
    BackpressurePolicy.BLOCK: c.REFUSE,  # once its wait is over
    BackpressurePolicy.CALLER_RUNS: c.CALLER_RUNS,
}

_DROPS = (
    BackpressurePolicy.DROP_OLDEST,
    BackpressurePolicy.DROP_NEWEST,
    BackpressurePolicy.DROP_LOWEST,
)

MAIN_SLICE_NS = 50_000_000
"""How long the main thread waits in C before it returns to Python to run signal handlers."""

OTHER_SLICE_NS = 10_000_000_000
"""The same for other threads, in which Python runs none: they check for a standstill."""

EXPIRY_SLICE_NS = 2_500_000
"""The same, for each publisher that waits, where deliveries can expire: they look in turn."""

WITHDRAW_SLICE_NS = 5_000_000
"""The same for a thread that may be asked to wait no longer."""

IN_LOOP = (
    "this thread runs an event loop, so it does not wait for free slots; await publish_async() does"
)

FRAMES = 12
"""Maximum call depth of the report of a drop; see `_have_stack`."""


class Gone(Exception):
    """The queue belongs to the parent of a fork: publish again, into that of this process."""


class NoRoom(Exception):
    """The policy is to wait, and the publisher must not.

    Attributes:
        turn: The event, which waits for its turn without a thread. None: nothing has changed, try
            again.
    """

    def __init__(self, turn: Turn | None = None) -> None:
        super().__init__()
        self.turn = turn


class Admission:
    """Admits events to the queue of one process, by the policy of its configuration."""

    def __init__(
        self,
        name: str,
        queue: Queue,
        hooks: Hooks,
        config: "EventBusConfig",
        tickets: Tickets,
        pause: Callable[[int, bool, bool], object] | None = None,
    ) -> None:
        self._name = name
        self._tickets = tickets
        self._pause = pause  # instead of a sleep, where one thread does everything
        self._queue = queue
        self._hooks = hooks
        self._policy = config.policy
        self._mode = _MODES[config.policy]
        self._blocks = config.policy is BackpressurePolicy.BLOCK
        self._waits = self._blocks or config.publish_timeout > 0
        self._reported = False
        self._warned_of_loop = False

    def admit(
        self,
        route: Route,
        event: Any,
        timeout: float | None,
        ticket: Ticket | None = None,
        withdraw: Callable[[], bool] | None = None,
    ) -> bool:
        """Admit an event, wait for free slots for up to `timeout` seconds, and report drops.

        Where handlers would run in the publisher's thread, an event with grouped subscriptions
        waits instead, as with BLOCK: run in place, it would overtake what is queued before it.

        A thread that runs an event loop never waits, so as not to hold up the loop's tasks. While
        another waits, `withdraw` is asked every few ms whether to wait no longer.

        Raises:
            QueueFull, BusClosed: As `EventBus.publish`.
            NoRoom: It was withdrawn; nothing has changed.
            Gone: The queue is that of another process.
        """
        _have_stack(FRAMES)  # before anything is dropped that could then not be reported
        mode, limit, limited = self._wait_for(route, timeout)
        in_loop = limit != 0 and self._pause is None and is_running()
        if in_loop:
            limit, limited = 0, True
        result, first, lost, waited, error = route.admit(
            event if ticket is None else ticket,
            limit,
            limited,
            mode,
            self._slice() if withdraw is None else WITHDRAW_SLICE_NS,
            self._hooks.failed_here,
            self._standstill,
            self._tickets.purge,
            self._pause,
            withdraw,
        )
        if lost is not None:
            reason = DropReason.EVICTED if result == c.EVICTED else DropReason.REFUSED
            self._hooks.dropped(lost, reason, first=bool(first))
        if in_loop and result not in (c.CLOSED, c.GONE):
            self._warn_of_loop()
        if error is not None:
            raise error
        if result in (c.ACCEPTED, c.EVICTED):
            return True
        if result == c.CLOSED:
            raise self.closed_error()
        if result == c.GONE:
            raise Gone
        if result == c.WAITING:
            raise NoRoom
        if self._policy not in _DROPS:
            raise self._full_error(route, event, waited * 1e-9, in_loop=in_loop)
        return False

    def _slice(self) -> int:
        """Return for how many ns a publisher sleeps at most."""
        if get_ident() == main_thread().ident:
            return MAIN_SLICE_NS
        if not self._tickets.can_expire:
            return OTHER_SLICE_NS
        share = EXPIRY_SLICE_NS * self._queue.snapshot().waiting
        return min(max(MAIN_SLICE_NS, share), OTHER_SLICE_NS)

    def _wait_for(self, route: Route, timeout: float | None) -> tuple[int, int, bool]:
        """Return the mode, the limit of the wait in ns (-1: none), and whether that is its own."""
        mode, waits, blocks = self._mode, self._waits, self._blocks
        if mode == c.CALLER_RUNS and route.plan is not None and route.plan.grouped:
            mode, waits, blocks = c.REFUSE, True, True
        if timeout is None:
            return mode, -1 if waits else 0, blocks
        return mode, -1 if timeout == float("inf") else c.ns(timeout), True

    def admit_without_wait(self, route: Route, event: Any, ticket: Ticket | None = None) -> bool:
        """Admit an event for a publisher that must neither wait nor run handlers.

        Raises:
            QueueFull, BusClosed, Gone: As `admit`.
            NoRoom: The policy is to wait. The event does, and takes its turn.
        """
        if not self._blocks and self._mode != c.CALLER_RUNS:
            return self.admit(route, event, 0.0, ticket)
        turn = route.join(event if ticket is None else ticket)
        if isinstance(turn, Turn):
            raise NoRoom(turn)
        if turn == c.ACCEPTED:
            return True
        raise Gone if turn == c.GONE else self.closed_error()

    def closed_error(self) -> BusClosed:
        """Return the exception for a bus that accepts no more events."""
        return BusClosed(f"{self._name}: the bus is stopped, or stopping")

    def _full_error(self, route: Route, event: Any, waited: float, *, in_loop: bool) -> QueueFull:
        n = len(route.recipients)
        own = getattr(event, "type", None)
        event_type = own if isinstance(own, str) else type(event).__qualname__
        why = f"the queue is full ({counted(self._queue.capacity, 'slot')})"
        if self._blocks and self._queue.is_inside():
            why += (
                ", and so is the reserve for handlers; all workers wait in publish, or none takes"
            )
        return QueueFull(
            f"{self._name}: {why}: {event_type!r} with {counted(n, 'delivery')} was refused by "
            f"{self._policy.name} after a wait of {waited:.3g} s"
            + (f": {IN_LOOP}" if in_loop else "")
        )

    def _warn_of_loop(self) -> None:
        """Log once that a publisher does not wait because of the event loop of its thread."""
        if not self._warned_of_loop:
            self._warned_of_loop = True
            message = "%s: publish() applies the policy %s at once at a full queue: %s"
            log(WARNING, message, self._name, self._policy.name, IN_LOOP)

    def _standstill(self) -> None:
        """Report once that a publisher waits without a limit during a standstill."""
        if not self._reported:
            self._reported = True
            report_standstill(self._name, self._queue)


def _have_stack(frames: int) -> None:
    """Raise `RecursionError` now unless that many nested calls are possible."""
    if frames:
        _have_stack(frames - 1)
