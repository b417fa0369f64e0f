"""The handlers, the same functions for every contestant."""

from collections.abc import Callable
from itertools import count
from statistics import median
from time import perf_counter_ns, sleep
from typing import Any

COMPUTING = 10e-6
WAITING = 100e-6
"""Requested seconds. The system rounds a sleep up, by some 50 us on Linux, for all contestants."""


def no_op(event: Any) -> None:
    """Do nothing."""


def spin(turns: int) -> int:
    """Compute in Python, holding the GIL."""
    value = 1
    for _ in range(turns):
        value = value * 31 & 0xFFFF
    return value


def calibrate() -> int:
    """Return the number of iterations that take 10 us here.

    Measured once for a whole run, so that all contestants have the same work, and not the same
    time: a handler that reads the clock would do less work while other threads hold the GIL.
    """
    turns = 1_000
    samples = []
    for _ in range(200):
        start = perf_counter_ns()
        spin(turns)
        samples.append(perf_counter_ns() - start)
    return max(1, round(turns * COMPUTING * 1e9 / median(samples)))


class Handled:
    """A handler and the number of its calls; the no-op is not counted, to stay a no-op."""

    def __init__(self, name: str, turns: int) -> None:
        self._calls = count()
        self.counted = name != "no-op"
        self.handler: Callable[[Any], None] = {
            "no-op": lambda: no_op,
            "compute": lambda: self._compute(turns),
            "wait": self._wait,
            "mixed": lambda: self._mixed(turns),
        }[name]()

    def _compute(self, turns: int) -> Callable[[Any], None]:
        called = self._calls.__next__

        def compute(event: Any) -> None:
            called()
            spin(turns)

        return compute

    def _wait(self) -> Callable[[Any], None]:
        called = self._calls.__next__

        def wait(event: Any) -> None:
            called()
            sleep(WAITING)

        return wait

    def _mixed(self, turns: int) -> Callable[[Any], None]:
        called = self._calls.__next__

        def mixed(event: Any) -> None:
            called()
            if event.id % 10 < 7:
                sleep(WAITING)
            else:
                spin(turns)

        return mixed

    def calls(self) -> int:
        """Return the number of calls; once only, since reading the counter advances it."""
        return next(self._calls)
