"""The last lines of each process, for the view to scroll and filter."""

from collections import deque
from collections.abc import Collection, Sequence
from heapq import merge
from itertools import islice
from threading import Lock

from brummerbus import Event
from brummerbus.watch.payloads import LogLine, LogLines

KEPT = 1000
"""Lines per process. What is older is in the store."""

Numbered = tuple[int, LogLine]


class Recent:
    """A handler of `log.line`. Thread-safe; subscribe it with `batch` and `max_concurrency=1`.

    A process that floods pushes out its own lines only.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._lock = Lock()  # guards the fields below
        self._kept: dict[str, deque[Numbered]] = {name: deque(maxlen=KEPT) for name in names}
        self._next = 0

    def on_lines(self, events: list[Event]) -> None:
        """Keep a batch of lines."""
        with self._lock:
            for event in events:
                data: LogLines = event.data
                self._next += data.count
                lines = data.last(KEPT)
                kept = self._kept.setdefault(data.process, deque(maxlen=KEPT))
                kept.extend(enumerate(lines, start=self._next - len(lines)))

    def lines(self, process: str = "", filter: str = "", last: int | None = None) -> list[Numbered]:
        """Return numbered lines in the order in which they came.

        Args:
            process: Only those of this process, if not empty.
            filter: Only those that contain this text, in any case.
            last: Only that many, the newest ones.
        """
        with self._lock:
            wanted = [self._kept.get(process, ())] if process else self._kept.values()
            kept = [_newest(lines, last) for lines in wanted]
        lines = kept[0] if len(kept) == 1 else list(merge(*kept))
        if filter:
            text = filter.casefold()
            lines = [line for line in lines if text in line[1].text.casefold()]
        return lines if last is None else lines[-last:]


def _newest(lines: Collection[Numbered], last: int | None) -> list[Numbered]:
    return list(lines if last is None else islice(lines, max(len(lines) - last, 0), None))
