"""Keyed subscriptions: what their tests share."""

import threading
from collections import Counter, defaultdict
from typing import Any

from brummerbus import Event


class Failure(Exception):
    """What is raised on purpose."""


def first(event: Event) -> Any:
    """Return the key of an event whose data is a pair: the first of it."""
    return event.data[0]


class ByKey:
    """A handler that notes what it gets by key, and whether two of a key run at once."""

    def __init__(self) -> None:
        self.seen: dict[Any, list[Any]] = defaultdict(list)
        self.overlaps = 0
        self._running: Counter[Any] = Counter()
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Note the event, whose data is a pair of key and number."""
        key, number = event.data
        with self._lock:
            self._running[key] += 1
            self.overlaps += self._running[key] > 1
            self.seen[key].append(number)
        self.work(event)
        with self._lock:
            self._running[key] -= 1

    def work(self, event: Event) -> None:
        """Do nothing."""

    def assert_in_order(self) -> None:
        """Check that each key's numbers came in order and one at a time."""
        assert self.overlaps == 0
        for key, numbers in self.seen.items():
            assert numbers == sorted(numbers), key
