"""The pytest fixture `bus_spy`: which events are published to a bus, in which order."""

import fnmatch
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from brummerbus import Event, EventBus
from brummerbus._arguments import MAX_QUEUE_SIZE, check_int, check_timeout
from brummerbus._core.callables import check_hook
from brummerbus._core.handlers import check_event_type
from brummerbus._core.log import shown_event
from brummerbus._core.queue import clock, ns
from brummerbus._core.taps import Ended

SLICE = 20_000_000
"""Nanoseconds after which a thread sees what another has taken for both."""

SHOWN = 20
"""Events that a failure names."""

Where = Callable[[Any], object]


class Spy:
    """Sees every event that is accepted by a bus, whether it has a handler or not.

    It listens (`EventBus.listen`), so it needs no worker and changes no count; but with it, no
    event is unrouted. From any thread.
    """

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._listener = bus.listen(object, "*", maxsize=MAX_QUEUE_SIZE)
        self._lock = threading.Lock()
        self._events: list[Any] = []
        self._never: list[tuple[str | type, Where | None, int]] = []

    @property
    def events(self) -> list[Any]:
        """The events that were published since the test began, oldest first."""
        self._take(0)
        return list(self._events)

    @contextmanager
    def expect(
        self,
        event_type: str | type,
        count: int | None = 1,
        timeout: float = 1.0,
        where: Where | None = None,
    ) -> Iterator[list[Any]]:
        """Check that events are published from the beginning of the block on.

        At its end it waits until they have come, and yields them in the list that it was given. It
        does not wait for their handlers: that does `flush`. If the block raises, nothing is
        checked.

        Args:
            event_type: As for `subscribe`.
            count: How many; that more have come by then is an error, too. None: one or more.
            timeout: Max seconds to wait at the end of the block.
            where: Which of them: called with each.

        Raises:
            AssertionError: Fewer have come in that time, or more.
            TypeError, ValueError: An argument is of the wrong type or out of range.
        """
        __tracebackhide__ = True
        matches = _matcher(event_type, where)
        wanted = 1 if count is None else check_int("count", count, 1)
        limit = check_timeout("timeout", timeout)
        first = len(self.events)
        got: list[Any] = []
        yield got
        until = clock() + ns(limit)
        seen = first
        while True:
            events = self.events
            got += [event for event in events[seen:] if matches(event)]
            seen = len(events)
            if len(got) >= wanted or clock() >= until:
                break
            if not self._take(min(until, clock() + SLICE)) and len(self._events) == seen:
                break
        if len(got) < wanted or (count is not None and len(got) > count):
            number = "one or more" if count is None else str(count)
            raise AssertionError(
                f"{self._bus.name}: expected {number} of {event_type!r} within {limit:g} s, "
                f"{len(got)} came; published were {_shown(self.events[first:])}"
            )

    def never(self, event_type: str | type, where: Where | None = None) -> None:
        """Check that such an event was not published so far, and is not until the test ends.

        Args:
            event_type: As for `subscribe`.
            where: Which of them: called with each.

        Raises:
            AssertionError: One was published already; one that comes later fails the test at its
                end, after what is queued was handled.
            TypeError, ValueError: An argument is of the wrong type or out of range.
        """
        __tracebackhide__ = True
        problem = self._broken(event_type, where)
        if problem:
            raise AssertionError(problem)
        self._never.append((event_type, where, len(self._events)))

    def end(self, timeout: float = 5.0) -> list[str]:
        """Wait until what is queued was handled; return which `never` was broken, as lines."""
        if self._never:
            self._bus.flush(timeout)
        problems = [self._broken(*one) for one in self._never]
        self._listener.close()
        return [problem for problem in problems if problem]

    def _broken(self, event_type: str | type, where: Where | None, first: int = 0) -> str:
        matches = _matcher(event_type, where)
        came = [event for event in self.events[first:] if matches(event)]
        name = self._bus.name
        return f"{name}: {event_type!r} must never be published: {_shown(came)}" if came else ""

    def _take(self, until: int) -> bool:
        """Take what was published, after waiting for it until a time of `clock`.

        Returns False if nothing will be published any more.
        """
        with self._lock:
            while True:
                try:
                    self._events.append(self._listener._tap.take(until))
                except TimeoutError:
                    return True
                except Ended:
                    return False
                until = 0


def _matcher(event_type: str | type, where: Where | None) -> Callable[[Any], bool]:
    """Return what says whether an event matches, as it does for `subscribe`."""
    wanted = check_event_type(event_type)
    check_hook("where", where, ("event",))
    pattern = re.compile(fnmatch.translate(wanted)).match if isinstance(wanted, str) else None

    def matches(event: Any) -> bool:
        if pattern is None:
            is_of_type = isinstance(event, wanted)  # type: ignore[arg-type]
        else:
            is_of_type = isinstance(event, Event) and pattern(event.type) is not None
        return is_of_type and (where is None or bool(where(event)))

    return matches


def _shown(events: list[Any]) -> str:
    if not events:
        return "none"
    shown = ", ".join(shown_event(event) for event in events[:SHOWN])
    return f"{shown}, and {len(events) - SHOWN} more" if len(events) > SHOWN else shown
