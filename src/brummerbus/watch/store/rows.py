"""What is read from a store. The fields are those of `log --json`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class StoredLine(NamedTuple):
    """A line."""

    run: int
    process: str
    stream: str
    number: int
    """Counts the lines of this stream from 0."""
    time: float
    """Seconds since the epoch."""
    text: str
    ending: str
    raw: bytes | None
    """The line's own bytes if they are not UTF-8."""


class StoredError(NamedTuple):
    """An error with all its lines."""

    run: int
    process: str
    stream: str
    first: int
    """The number of its first line."""
    last: int
    time: float
    kind: str
    message: str
    location: str
    text: str


Stored = StoredLine | StoredError


class StoredProcess(NamedTuple):
    """A process of a run."""

    process: str
    pid: int
    command: str
    started: float
    exited: float | None
    exit_code: int | None


@dataclass(frozen=True)
class StoredRun:
    """A run."""

    run: int
    started: float
    ended: float | None
    """None if it goes on, or its watcher was killed."""
    state: str
    """`running`, `ended`, or `killed`."""
    target: str
    lines: int
    size: int
    """Characters of the lines."""
    errors: int
    processes: Sequence[StoredProcess]

    @property
    def exit_code(self) -> int | None:
        """The code of the process that failed first, else 0; None while one has not exited."""
        codes = [(each.exited or 0.0, each.exit_code) for each in self.processes]
        failed = [each for each in codes if each[1]]
        if failed:
            return min(failed)[1]
        return None if any(code is None for _, code in codes) else 0
