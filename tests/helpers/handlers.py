"""A handler that waits; handlers, hooks and log handlers that record their calls."""

import logging
import threading
from typing import Any

from brummerbus import Outcome, Subscription
from helpers.waiting import HANG


class Gate:
    """A handler that signals each call, and returns only when it is allowed to."""

    def __init__(self) -> None:
        self._entered = threading.Semaphore(0)
        self._passes = threading.Semaphore(0)
        self._open = False

    def __call__(self, event: Any) -> None:
        """Signal the call, and wait."""
        self._entered.release()
        if not self._open:
            assert self._passes.acquire(timeout=HANG), "the gate was never opened"

    def wait_entered(self, times: int = 1) -> None:
        """Return after that many further calls have begun."""
        for _ in range(times):
            assert self._entered.acquire(timeout=HANG), "the handler was not called"

    def let_through(self, times: int = 1) -> None:
        """Let that many calls return."""
        self._passes.release(times)

    def open(self) -> None:
        """Let all calls return, now and later."""
        self._open = True
        self._passes.release(10_000)


class Recorder:
    """A handler that records its events, in order."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self._changed = threading.Condition()

    def __call__(self, event: Any) -> None:
        """Record the event."""
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    @property
    def data(self) -> list[Any]:
        """The payloads of the events."""
        return [event.data for event in self.events]

    def wait_for(self, count: int) -> None:
        """Return when that many events were received."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.events) >= count, HANG), (
                f"{len(self.events)} of {count} events were received"
            )


class Drops(list[tuple[Any, Subscription, Any]]):
    """An `on_drop` hook that records its arguments."""

    def __call__(self, event: Any, subscription: Subscription, reason: Any) -> None:
        """Record the arguments."""
        self.append((event, subscription, reason))

    @property
    def data(self) -> list[Any]:
        """The payloads of the dropped deliveries' events."""
        return [event.data for event, _, _ in self]


class Logged(logging.Handler):
    """A logging handler that collects the records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Collect the record."""
        self.records.append(record)

    @property
    def text(self) -> str:
        """All messages with their tracebacks."""
        return "\n".join(logging.Formatter().format(record) for record in self.records)


class Outcomes(list[Outcome]):
    """An `on_done` hook that records its argument."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()

    def __call__(self, outcome: Outcome) -> None:
        """Record the outcome."""
        with self._changed:
            self.append(outcome)
            self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        """Return when that many events have ended."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self) >= count, HANG), (
                f"{len(self)} of {count} outcomes came"
            )
