"""Which lines or errors are asked for."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from brummerbus.watch.text import is_from, uncoloured

LAST = -1
"""The last run."""


@dataclass(frozen=True)
class Selection:
    """Lines, or errors; each condition that is None is none."""

    run: int | None = None
    """The number of a run; `LAST`: the last."""
    processes: Sequence[str] | None = None
    host: str | None = None
    """Only of processes that a watcher on another machine has started."""
    stream: str | None = None
    """`stdout` or `stderr`."""
    since: float | None = None
    """From this time on, in seconds since the epoch."""
    until: float | None = None
    """Before this time."""
    grep: re.Pattern[str] | None = None
    """Searched in the text without its colours; of an error, in each of its lines."""
    tail: int | None = None
    """Only the last ones, this many."""
    errors: bool = False
    """Errors instead of lines."""

    def has_stream(self, process: str, stream: str) -> bool:
        """Whether lines of this stream are asked for."""
        return (
            (self.processes is None or process in self.processes)
            and (self.host is None or is_from(process, self.host))
            and (self.stream is None or stream == self.stream)
        )

    def has_time(self, moment: float) -> bool:
        """Whether a moment is one that is asked for."""
        return (self.since is None or moment >= self.since) and (
            self.until is None or moment < self.until
        )

    def has_text(self, text: str) -> bool:
        """Whether a text is one that is searched for."""
        if self.grep is None:
            return True
        plain = uncoloured(text)
        if not self.errors:
            return self.grep.search(plain) is not None
        return any(self.grep.search(line) for line in plain.split("\n"))
