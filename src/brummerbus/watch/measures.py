"""What is measured while processes are watched: lines per handler, and the depth of the queue."""

from collections.abc import Callable
from threading import Lock

from brummerbus import Event

_SAMPLES = 2000
"""Max samples kept; beyond that every second one is removed and the rate is halved."""


class Counted:
    """A handler that counts the lines that it has handled. Thread-safe."""

    def __init__(self, name: str, handler: Callable[[list[Event]], None]) -> None:
        self.__qualname__ = name  # appears in the advice
        self._handler = handler
        self._lock = Lock()
        self.count = 0

    def __call__(self, events: list[Event]) -> None:
        """Handle a batch; count its lines if that succeeds."""
        self._handler(events)
        with self._lock:
            self.count += sum(event.data.count for event in events)


class Depth:
    """The queue's depth over time, in a bounded number of samples.

    Args:
        every: Seconds between two samples, at first.
    """

    def __init__(self, every: float) -> None:
        self.samples: list[tuple[float, int]] = []
        self._every = every
        self._next = 0.0

    def note(self, now: float, depth: int) -> None:
        """Keep the depth if a sample is due."""
        if now < self._next:
            return
        self._next = now + self._every * 0.9  # a tick that is slightly early counts
        self.samples.append((round(now, 3), depth))
        if len(self.samples) >= _SAMPLES:
            self.samples = self.samples[::2]
            self._every *= 2
