"""One event that is published later, for `later.py`, which keeps all of a bus."""

import itertools
from collections.abc import Callable
from contextvars import Context
from typing import Any, Protocol

from brummerbus._core._ext import hooks_here
from brummerbus._core.log import shown_event
from brummerbus._core.scheduler import Timer

_next_number: Callable[[], int] = itertools.count(1).__next__

Publish = Callable[[Any, int | None], object]


class Keeper(Protocol):
    """What keeps the scheduled events of a bus: `later.Schedule`."""

    def has(self, one: "Scheduled") -> bool:
        """Return whether an event is scheduled still."""

    def remove(self, one: "Scheduled") -> bool:
        """Take an event out again; whether it was scheduled."""


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
        due: float,
        schedule: Keeper,
        publish: Publish,
        context: Context | None,
    ) -> None:
        self.event: Any = event
        self.priority: int | None = priority
        self.due: float = due
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


Scheduled.__module__ = "brummerbus"  # the public module, as for all public names
