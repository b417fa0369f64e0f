"""Events that are published later: `EventBus.publish_after`.

Guarantees
- The decisive step is the removal of an event from the table `_pending`: by `cancel`, by the timer
  thread that publishes it, or by the end of the bus, which counts it in the same step
  (`Route.refuse`). So each event ends in one way, also where an interrupt strikes.
- The timer thread never waits and runs no handlers. An event for which there are too few free
  slots, on a bus whose policy is to wait, stays scheduled and is tried again every few ms: the
  highest level first, and first come, first served within it.
- No lock is held, so that all of it may be called from a signal handler or a finalizer.
"""

import itertools
import logging
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context
from functools import partial
from threading import get_ident
from typing import Any

from brummerbus._core._ext import call_hook, hooks_here
from brummerbus._core.admission import NoRoom
from brummerbus._core.hooks import Hooks
from brummerbus._core.log import log, shown_event
from brummerbus._core.queue import WHY_REFUSED, WHY_SHUTDOWN, Queue, ns
from brummerbus._core.routes import Routes
from brummerbus._core.scheduler import CallAt, Timer
from brummerbus._errors import BusClosed, QueueFull
from brummerbus._policies import DropReason

RETRY_NS = 5_000_000
"""The time between two attempts to publish an event for which there are too few free slots."""

MAX_HELD = 100
"""Max events of a level, which listeners cannot take, that are skipped to try those behind them."""

END_WAIT_NS = 100_000_000
"""Max time that a stop waits for the event that the timer thread is publishing."""

_REASONS = {DropReason.REFUSED: WHY_REFUSED, DropReason.SHUTDOWN: WHY_SHUTDOWN}

_next_number: Callable[[], int] = itertools.count(1).__next__

Publish = Callable[[Any, int | None], object]


class Scheduled:
    """An event that is to be published later; created by `EventBus.publish_after`.

    Attributes:
        event: The event.
        priority: The priority given, or None.
        due: When it is to be published, in seconds of `time.monotonic`.
    """

    __slots__ = (
        "_context",
        "_hooks",
        "_number",
        "_publish",
        "_schedule",
        "_timer",
        "due",
        "event",
        "priority",
    )

    def __init__(
        self,
        event: Any,
        priority: int | None,
        delay: float,
        schedule: "Schedule",
        publish: Publish,
        context: Context | None,
    ) -> None:
        self.event: Any = event
        self.priority: int | None = priority
        self.due: float = schedule.monotonic() + delay
        self._number = _next_number()
        self._schedule = schedule
        self._publish: Publish | None = publish  # keeps the bus alive
        self._context = context
        self._hooks = hooks_here()  # what a hook schedules counts as published by it
        self._timer: Timer | None = None

    @property
    def pending(self) -> bool:
        """Whether it is scheduled still; False also in a forked child, where nothing is."""
        return self._schedule.has(self)

    def cancel(self) -> bool:
        """Do not publish it. Idempotent; from any thread, handler, signal handler or finalizer.

        Returns:
            True: it will not be published, and is counted nowhere. False: it was published or
            dropped before, or is being published now, or was cancelled; or this is a forked child.
        """
        return self._schedule.remove(self)

    def __repr__(self) -> str:
        state = "pending" if self.pending else "over"
        return f"<Scheduled {shown_event(self.event)}, {state}>"


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
    ) -> None:
        self._name = name
        self._queue = queue
        self._hooks = hooks
        self._routes = routes
        self._limit = limit
        self._call_at = call_at
        self.monotonic: Callable[[], float] = queue.monotonic
        self._closed = False
        self._pending: dict[int, Scheduled] = {}  # by number
        self._attempt: tuple[int, Scheduled] | None = None
        """The thread that publishes one now, and that one, which then is not in `_pending`."""
        # What follows is the timer thread's.
        self._overdue: dict[int, deque[Scheduled]] = {}  # by level
        self._waits = False

    def __len__(self) -> int:
        attempt = self._attempt
        attempted = attempt is not None and attempt[1]._number not in self._pending
        return len(self._pending) + attempted

    def has(self, one: Scheduled) -> bool:
        """Return whether an event is scheduled still."""
        return one._number in self._pending and not self._queue.is_gone()

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
            self._pending[number] = one
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
        """Take an event out again; whether it was scheduled."""
        if self._queue.is_gone() or self._pending.pop(one._number, None) is None:
            return False
        self._let_go(one)
        return True

    def _let_go(self, one: Scheduled) -> None:
        """Keep nothing for an event that is over."""
        one._publish = one._context = None
        if one._timer is not None:
            one._timer.cancel()

    def close(self) -> None:
        """Take no more, and drop what is scheduled. After an interrupt, call it again."""
        self._closed = True
        self._drop(list(self._pending.values()), DropReason.SHUTDOWN)
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
        self._overdue.setdefault(level, deque()).append(one)
        if not self._waits:
            self._publish_overdue()

    def _publish_overdue(self) -> None:
        """Publish what is due, as far as there are free slots, and come back for the rest."""
        try:
            for level in sorted(self._overdue, reverse=True):
                if not self._publish_line(self._overdue[level]):
                    break
        finally:
            self._waits = any(self._overdue.values())
            if self._waits:
                self._call_at(self._queue.clock() + RETRY_NS, self._publish_overdue)

    def _publish_line(self, line: deque[Scheduled]) -> bool:
        """Publish the events of a level; return whether the queue may have free slots for others.

        An event is removed after it was published: if an exception strikes in between, the next
        attempt finds that it is over.
        """
        held = 0
        while held < min(len(line), MAX_HELD):
            queue_is_full = self._try(line[held])
            if queue_is_full:
                return False
            if queue_is_full is None:
                del line[held]
            else:
                held += 1
        return True

    def _try(self, one: Scheduled) -> bool | None:
        """Publish an event. None: it is over. Otherwise, whether the queue is full for all."""
        self._attempt = (get_ident(), one)
        try:
            return self._publish(one)
        finally:
            self._attempt = None

    def _publish(self, one: Scheduled) -> bool | None:
        publish, context = one._publish, one._context
        if self._pending.pop(one._number, None) is None or publish is None:
            return None
        call = partial(call_hook, one._hooks, publish, one.event, one.priority)
        try:
            call() if context is None else context.run(call)
        except NoRoom as error:
            self._pending[one._number] = one
            if self._closed:
                self._drop([one], DropReason.SHUTDOWN)
                return None
            return not error.held
        except BaseException as error:
            self._failed(one, error)
        else:
            self._let_go(one)
        return None

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
            log(logging.ERROR, message, self._name, shown_event(one.event), exc_info=error)
        self._pending[one._number] = one
        self._drop([one], DropReason.SHUTDOWN if closed else DropReason.REFUSED)
