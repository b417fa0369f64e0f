"""The last lines of each process, for the view to scroll and filter."""

from collections import deque
from collections.abc import Sequence
from itertools import chain, count
from threading import Lock

from brummerbus import Event
from brummerbus.watch.payloads import LogLine, LogLines

KEPT = 1000
"""Lines per process. What is older is in the store."""

Numbered = tuple[int, LogLine]


class _Kept:
    """What one process printed last, as it was read: lines are made only of what is shown."""

    def __init__(self) -> None:
        self._read: deque[tuple[int, LogLines]] = deque()
        """Each with the number of its first line."""
        self._count = 0

    def add(self, first: int, lines: LogLines) -> None:
        """Keep these, and forget the oldest that are not needed for `KEPT` lines."""
        self._read.append((first, lines))
        self._count += lines.count
        while self._count - self._read[0][1].count >= KEPT:
            self._count -= self._read.popleft()[1].count

    def newest(self, most: int) -> list[Numbered]:
        """Return the last lines, at most that many, each with its number."""
        parts: list[list[Numbered]] = []
        for first, read in reversed(self._read):
            lines = read.last(most)
            parts.append(list(zip(count(first + read.count - len(lines)), lines)))
            most -= len(lines)
            if not most:
                break
        return [line for part in reversed(parts) for line in part]


class Recent:
    """A handler of `log.line`. Thread-safe; subscribe it with `batch` and `max_concurrency=1`.

    A process that floods pushes out its own lines only.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._lock = Lock()  # guards the fields below
        self._kept = {name: _Kept() for name in names}
        self._next = 0

    def on_lines(self, events: list[Event]) -> None:
        """Keep a batch of lines."""
        with self._lock:
            for event in events:
                lines: LogLines = event.data
                self._kept.setdefault(lines.process, _Kept()).add(self._next, lines)
                self._next += lines.count

    def lines(self, process: str = "", filter: str = "", last: int = KEPT) -> list[Numbered]:
        """Return numbered lines in the order in which they came.

        Args:
            process: Only those of this process, if not empty.
            filter: Only those that contain this text, in any case.
            last: At most that many of each process, at most `KEPT`, before they are filtered.
        """
        with self._lock:
            wanted = [self._kept.get(process, _Kept())] if process else self._kept.values()
            kept = [each.newest(last) for each in wanted]
        lines = kept[0] if len(kept) == 1 else sorted(chain.from_iterable(kept))
        if filter:
            text = filter.casefold()
            lines = [line for line in lines if text in line[1].text.casefold()]
        return lines
