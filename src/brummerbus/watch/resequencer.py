"""A resequencer: passes each stream's lines to a sink in their original order.

The bus runs one subscription's handler on several workers concurrently, so line 8 may arrive before
line 7. A traceback, or a page of output, is meaningful only in order. The worker that delivers the
line that is due also passes on all pending successors; the other workers only store their line and
continue with other work. No worker ever waits, and each stream is handled by one worker at a time.

With a slow sink the pending lines would grow without a bound, as storing one is fast. Therefore the
stream's reader waits (`wait_for_capacity`): it is not a worker, so there is no deadlock, and the
process it reads from is slowed down by its full pipe.
"""

from collections.abc import Callable
from threading import Condition, Lock

from brummerbus import Event
from brummerbus.watch.payloads import LogLine

Sink = Callable[[LogLine], None]

CAPACITY = 16 * 1024 * 1024
"""Pending characters of a stream above which its reader waits."""

_OVERHEAD = 256
"""Added to the characters of each line, so that empty lines are bounded too."""

_BATCH = 256
"""Lines taken under one lock, so that taking is cheap and the reader is woken soon."""


class Resequencer:
    """A handler of `log.line` that restores the order of each stream. Thread-safe.

    Args:
        sink: Creates the sink of a stream from its process and stream name.
    """

    def __init__(self, sink: Callable[[str, str], Sink]) -> None:
        self._make_sink = sink
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._lock = Lock()

    def __call__(self, event: Event) -> None:
        """Handle a `log.line`: now, or by leaving it to the worker that handles this stream."""
        line: LogLine = event.data
        self.lane(line.process, line.stream).put(line)

    def lane(self, process: str, stream: str) -> "Lane":
        """Return the stream's lane, created at its first use."""
        key = process, stream
        found = self._lanes.get(key)
        if found is None:
            with self._lock:
                found = self._lanes.get(key)
                if found is None:
                    found = self._lanes[key] = Lane(self._make_sink(process, stream))
        return found

    def finish(self) -> None:
        """Pass on, in order, the lines that wait for a missing one.

        There are none unless a delivery was dropped. Call it when no handler runs any more.
        """
        for lane in list(self._lanes.values()):
            lane.finish()


class Lane:
    """The pending lines of one stream."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._lock = Lock()  # guards all fields below; never held while the sink runs
        self._taken = Condition(self._lock)
        self._waiting: dict[int, LogLine] = {}
        self._weight = 0
        self._due = 0
        self._busy = False

    @property
    def due(self) -> int:
        """The number of the next line.

        All lines before it have been passed to the sink, or are being passed to it.
        """
        return self._due

    def put(self, line: LogLine) -> None:
        """Store a line; if it is due, pass it and its successors to the sink."""
        with self._lock:
            self._waiting[line.number] = line
            self._weight += len(line.text) + _OVERHEAD
            if self._busy or self._due not in self._waiting:
                return
            self._busy = True
        self._drain()

    def when_idle(self, action: Callable[[], None]) -> bool:
        """Run the action instead of the sink, while no line of the stream is handled.

        Returns:
            False, without running it, if a worker is handling this stream.
        """
        with self._lock:
            if self._busy:
                return False
            self._busy = True
        try:
            action()
        finally:
            self._drain()
        return True

    def wait_for_capacity(self) -> None:
        """Wait until less than `CAPACITY` is pending. For readers, never for handlers."""
        if self._weight < CAPACITY:
            return
        with self._taken:
            self._taken.wait_for(lambda: self._weight < CAPACITY)

    def finish(self) -> None:
        """Pass all pending lines to the sink, also after gaps; when no handler runs any more."""
        while self._waiting:
            with self._lock:
                self._due = min(self._waiting)
                self._busy = True
            self._drain()

    def _drain(self) -> None:
        """Pass lines to the sink while one is due; the caller has set `_busy`.

        If the sink fails for a line, it still gets the next ones; the first failure is raised at
        the end, so that the bus counts it.
        """
        failure: BaseException | None = None
        while lines := self._take():
            for line in lines:
                try:
                    self._sink(line)
                except BaseException as error:  # noqa: PERF203
                    failure = failure or error
        if failure is not None:
            raise failure

    def _take(self) -> list[LogLine]:
        """Take the lines that are due; if there are none, release the stream in the same step."""
        with self._lock:
            lines: list[LogLine] = []
            while len(lines) < _BATCH and self._due in self._waiting:
                line = self._waiting.pop(self._due)
                self._weight -= len(line.text) + _OVERHEAD
                self._due += 1
                lines.append(line)
            if not lines:
                self._busy = False
            self._taken.notify_all()
            return lines
