"""Events that are published later: `EventBus.publish_after`.

Guarantees
- The decisive step is the removal of an event from the table `_pending`: by `cancel`, by the timer
  thread that publishes it, or by the end of the bus, which counts it in the same step
  (`Route.refuse`). So each event ends in one way, also where an interrupt strikes.
- The timer thread never waits and runs no handlers. An event for which there are too few free
  slots, on a bus whose policy is to wait, joins the wait queue as a publisher would, without a
  thread (`csrc/python/turn.c`): it takes its turn, whatever others publish. Whether it was accepted
  is polled every few ms. Until then it can be cancelled: `Turn.withdraw` comes first, then the
  removal from `_pending`, unless it has got another turn by then (`swap_item`).
- One for which a listener has no room is tried again every few ms.
- No lock is held, so that all of it may be called from a signal handler or a finalizer.

What does not work, or was tried
- Trying again every few ms at a full queue: beside publishers that wait, the free slot is theirs
  each time, and a scheduled event starves for as long as they keep the queue full.
- The thread that waits for tasks (`waiting_tasks.py`): it withdraws what it waits for within 5 ms
  of being asked to, and `cancel` must have its answer at once.
"""

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from threading import get_ident
from typing import Any

from brummerbus._core._ext import Turn, call_hook, swap_item
from brummerbus._core.admission import NoRoom
from brummerbus._core.hooks import Hooks
from brummerbus._core.log import ERROR, log, shown_event
from brummerbus._core.plan import after_turn
from brummerbus._core.queue import ACCEPTED, WAITING, WHY_REFUSED, WHY_SHUTDOWN, Queue, ns
from brummerbus._core.routes import Routes
from brummerbus._core.scheduled import Scheduled
from brummerbus._core.scheduler import CallAt, Timer
from brummerbus._errors import BusClosed, QueueFull
from brummerbus._policies import DropReason

RETRY_NS = 5_000_000
"""The time between two polls of the events that wait for their turn, or for room at a listener."""

MAX_HELD = 100
"""Max events of a level, which listeners cannot take, that are skipped to try those behind them."""

END_WAIT_NS = 100_000_000
"""Max time that a stop waits for the event that the timer thread is publishing."""

_REASONS = {DropReason.REFUSED: WHY_REFUSED, DropReason.SHUTDOWN: WHY_SHUTDOWN}

Entry = tuple[Scheduled, Turn | None]
"""A scheduled event, and its turn while it waits for free slots."""


def _withdraw(entry: Entry) -> bool:
    """Have an event wait for free slots no longer; False: it was accepted."""
    turn = entry[1]
    return turn is None or turn.withdraw()


class Schedule:
    """The scheduled events of a bus in one process."""

    def __init__(
        self,
        name: str,
        queue: Queue,
        hooks: Hooks,
        routes: Routes,
        limit: int,
        call_at: CallAt,
        purge: Callable[[], object],
    ) -> None:
        self._name = name
        self._queue = queue
        self._hooks = hooks
        self._routes = routes
        self._limit = limit
        self._call_at = call_at
        self._purge = purge
        self._closed = False
        self._pending: dict[int, Entry] = {}  # by number
        self._attempt: tuple[int, Scheduled] | None = None
        """The thread that publishes one now, and that one, which then is not in `_pending`."""
        # What follows is the timer thread's, by level: due, and the numbers of those that wait for
        # their turn.
        self._overdue: dict[int, deque[Scheduled]] = {}
        self._joined: dict[int, deque[int]] = {}
        self._timer: Timer | None = None

    def __len__(self) -> int:
        attempt = self._attempt
        attempted = attempt is not None and attempt[1]._number not in self._pending
        return len(self._pending) + attempted

    def has(self, one: Scheduled) -> bool:
        """Return whether an event is scheduled still."""
        entry = self._pending.get(one._number)
        if entry is None or self._queue.is_gone():
            return False
        turn = entry[1]
        return turn is None or turn.state() != ACCEPTED

    # ---- in and out --------------------------------------------------------------------------

    def add(self, one: Scheduled, delay: float) -> None:
        """Schedule an event.

        Raises:
            QueueFull: There are too many.
            BusClosed: The bus is stopped.
            RuntimeError: The timer thread could not be started.
        """
        number = one._number
        if len(self) >= self._limit:
            raise self._full_error(one)
        try:
            self._pending[number] = one, None
            if self._is_beyond_limit(number):
                raise self._full_error(one)
            one._timer = self._call_at(self._queue.clock() + ns(delay), partial(self._due, one))
        except BaseException:
            self._pending.pop(number, None)
            self._let_go(one)
            raise
        if self._closed and self._pending.pop(number, None) is not None:
            self._let_go(one)
            raise BusClosed(f"{self._name}: the bus is stopped, or stopping")

    def _is_beyond_limit(self, number: int) -> bool:
        """Return whether others were faster: of those in the table, the first ones are in."""
        if len(self._pending) <= self._limit:
            return False
        numbers = list(self._pending)
        return number in numbers and numbers.index(number) >= self._limit

    def _full_error(self, one: Scheduled) -> QueueFull:
        what = getattr(one.event, "type", None)
        kind = what if isinstance(what, str) else type(one.event).__qualname__
        return QueueFull(
            f"{self._name}: {self._limit:,} events are scheduled already (max_scheduled): "
            f"{kind!r} was not scheduled"
        )

    def remove(self, one: Scheduled) -> bool:
        """Take an event out again; whether it was scheduled.

        It leaves the table only if it still is what was withdrawn. If an exception strikes before,
        the timer thread publishes it.
        """
        while (entry := self._pending.get(one._number)) is not None:
            if self._queue.is_gone() or not _withdraw(entry):
                return False
            if swap_item(self._pending, one._number, entry, ()):
                self._let_go(one)
                return True
        return False

    def _let_go(self, one: Scheduled) -> None:
        """Keep nothing for an event that is over."""
        one._publish = one._context = None
        if one._timer is not None:
            one._timer.cancel()

    def close(self) -> None:
        """Take no more, and drop what is scheduled. After an interrupt, call it again."""
        self._closed = True
        self._drop([one for one, _ in list(self._pending.values())], DropReason.SHUTDOWN)
        until = self._queue.clock() + END_WAIT_NS
        while (attempt := self._attempt) is not None and attempt[0] != get_ident():
            if self._queue.clock() >= until:
                break
            time.sleep(0.0005)

    def _drop(self, several: list[Scheduled], reason: DropReason) -> None:
        """Count scheduled events as published and dropped, and report them."""
        lost: list[Any] = []
        try:
            for one in several:
                entry = self._pending.get(one._number)
                if entry is None:
                    continue
                if not _withdraw(entry):
                    self._after_turn(entry)
                    continue
                route, _, _ = self._routes.make(one.event, one.priority)
                if route.refuse(one.event, _REASONS[reason], self._pending, one._number):
                    for recipient in route.recipients:
                        lost += (one.event, recipient, one._hooks, None)
                    self._let_go(one)
        finally:
            self._hooks.dropped(lost, reason, first=False)

    # ---- in the timer thread -----------------------------------------------------------------

    def _due(self, one: Scheduled) -> None:
        if one._number not in self._pending:
            return
        level = self._routes.level(one.event, one.priority)
        overdue = self._overdue.setdefault(level, deque())
        overdue.append(one)
        try:
            if len(overdue) == 1:  # otherwise those before it wait for room at a listener
                self._publish_overdue(level)
        finally:
            if self._timer is None:
                self._come_back()

    def _come_back(self) -> None:
        """Poll in a few ms if something is left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if any(self._overdue.values()) or any(self._joined.values()):
            self._timer = self._call_at(self._queue.clock() + RETRY_NS, self._poll)

    def _poll(self) -> None:
        try:
            self._drop_expired()
            for numbers in self._joined.values():
                while numbers and self._finish_turn(numbers[0]):
                    numbers.popleft()
            for level in sorted(self._overdue, reverse=True):
                self._publish_overdue(level)
        finally:
            self._come_back()

    def _drop_expired(self) -> None:
        """Make room for those that wait for it."""
        try:
            self._purge()
        except BaseException as error:  # of a hook
            self._hooks.log_raised(error)

    def _finish_turn(self, number: int) -> bool:
        """Finish an event that was accepted; return whether it no longer waits for its turn.

        Those of a level are accepted in the order in which they are due.
        """
        entry = self._pending.get(number)
        turn = None if entry is None else entry[1]
        if entry is None or turn is None:  # cancelled
            return True
        state = turn.state()
        if state == WAITING:
            return False
        if state == ACCEPTED:
            self._after_turn(entry)
        elif swap_item(self._pending, number, entry, (entry[0], None)):
            # Withdrawn by a `cancel` that was interrupted or is going on, or the bus stops.
            self._overdue.setdefault(turn.route.level, deque()).append(entry[0])
        return True

    def _after_turn(self, entry: Entry) -> None:
        """Finish an event that was accepted when it was its turn, unless that is done."""
        one, turn = entry
        if turn is not None and swap_item(self._pending, one._number, entry, ()):
            call_hook(one._hooks, after_turn, turn.route, one.event)
            self._let_go(one)

    def _publish_overdue(self, level: int) -> None:
        """Publish the due events of a level, or have them wait for their turn.

        An event is removed after it was published: if an exception strikes in between, the next
        attempt finds that it is over.
        """
        overdue, held = self._overdue[level], 0
        while held < min(len(overdue), MAX_HELD):
            if self._try(overdue[held]):
                if self._waits(overdue[held]):
                    self._joined.setdefault(level, deque()).append(overdue[held]._number)
                del overdue[held]
            else:
                held += 1

    def _waits(self, one: Scheduled) -> bool:
        """Return whether an event waits for its turn."""
        entry = self._pending.get(one._number)
        return entry is not None and entry[1] is not None

    def _try(self, one: Scheduled) -> bool:
        """Publish an event; False: a listener has no room for it."""
        self._attempt = (get_ident(), one)
        try:
            return self._publish(one)
        finally:
            self._attempt = None

    def _publish(self, one: Scheduled) -> bool:
        entry = self._pending.get(one._number)
        publish, context = one._publish, one._context
        if entry is None or publish is None:
            return True
        if entry[1] is not None:  # an exception has struck before it was moved to `_joined`
            return True
        if not swap_item(self._pending, one._number, entry, ()):
            return True
        call = partial(call_hook, one._hooks, publish, one.event, one.priority)
        try:
            call() if context is None else context.run(call)
        except NoRoom as error:
            self._pending[one._number] = one, error.turn
            if self._closed:
                self._drop([one], DropReason.SHUTDOWN)
                return True
            return error.turn is not None
        except BaseException as error:
            self._failed(one, error)
        else:
            self._let_go(one)
        return True

    def _failed(self, one: Scheduled, error: BaseException) -> None:
        """Publishing has raised: count what the queue has not counted, and say so.

        What is no `Exception` was raised by a hook, after the event was accepted or dropped.
        """
        if isinstance(error, QueueFull):  # counted, and logged as the first of a streak
            self._let_go(one)
            return
        if not isinstance(error, Exception):
            self._let_go(one)
            self._hooks.log_raised(error)
            return
        closed = isinstance(error, BusClosed)
        if not closed:
            message = "%s: scheduled, but cannot be published: %s"
            log(ERROR, message, self._name, shown_event(one.event), exc_info=error)
        self._pending[one._number] = one, None
        self._drop([one], DropReason.SHUTDOWN if closed else DropReason.REFUSED)
