"""Handlers that fail: what the tests of retries share."""

import threading
from itertools import pairwise
from time import monotonic
from typing import Any

from brummerbus._core import scheduler
from helpers.buses import BusFactory
from helpers.waiting import HANG


class Failure(Exception):
    """What handlers raise on purpose."""


class Flaky:
    """A handler that raises the first times that it is called with an event, and notes when."""

    def __init__(self, fails: int, error: BaseException | None = None) -> None:
        self.calls: list[tuple[Any, float]] = []
        self.ended: list[Any] = []
        self._fails = fails
        self._error = error or Failure()
        self._failed: dict[int, int] = {}
        self._called = threading.Semaphore(0)

    def __call__(self, event: Any) -> None:
        """Raise, or note that the event was handled."""
        self.calls.append((event.data, monotonic()))
        self._called.release()
        failed = self._failed.get(event.id, 0)
        if failed < self._fails:
            self._failed[event.id] = failed + 1
            raise self._error
        self.ended.append(event.data)

    def wait_called(self, times: int = 1) -> None:
        """Return when that many further calls were made."""
        for _ in range(times):
            assert self._called.acquire(timeout=HANG), "the handler was not called"

    @property
    def pauses(self) -> list[float]:
        """Seconds between the calls."""
        times = [time for _, time in self.calls]
        return [later - earlier for earlier, later in pairwise(times)]


def bus_of(factory: BusFactory, errors: list[Any], **settings: Any) -> Any:
    """Make a bus that notes its failures."""
    return factory.bus(on_error=lambda *failure: errors.append(failure), **settings)


def wait_for_timer() -> None:
    """Return when the timer thread has come to what was due in the next moments."""
    done = threading.Event()
    scheduler.call_at(scheduler.clock() + 400_000_000, done.set)
    assert done.wait(HANG)
