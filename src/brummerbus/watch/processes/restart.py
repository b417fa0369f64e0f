"""Whether and when a process that has ended is started again."""

import enum

DELAY = 1.0
"""Seconds before the first restart, by default."""

_LONGEST = 60.0
"""The delay doubles with each restart, up to these seconds."""

_STEADY = 30.0
"""A process that ran for that many seconds begins again with the first delay."""


class Policy(enum.Enum):
    """When a process that ends by itself is started again."""

    NEVER = "never"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"

    def wants(self, exit_code: int) -> bool:
        """Return whether it is started again after it has ended with this code."""
        return self is Policy.ALWAYS or (self is Policy.ON_FAILURE and exit_code != 0)


class BackOff:
    """The delay before each restart of one process.

    Args:
        first: Seconds before the first one.
    """

    def __init__(self, first: float = DELAY) -> None:
        self._first = first
        self._next = first

    def delay(self, run_time: float) -> float:
        """Return how long to wait now that it has run for `run_time` seconds."""
        if run_time >= _STEADY:
            self._next = self._first
        delay = self._next
        self._next = max(self._first, min(self._next * 2, _LONGEST))
        return delay
