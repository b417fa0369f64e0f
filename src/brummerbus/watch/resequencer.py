"""Gives each stream's lines to a sink in their own order, though workers bring them in any.

The bus runs one subscription's handlers on several workers at once, so line 8 may arrive before
line 7. A traceback, or a page of output, means something only in order. Here the worker that
brings the line that is due also handles all that wait behind it; the others put their line down
and go on with other work. No worker ever waits, and each stream is handled by one at a time.

What a slow sink leaves waiting would grow without a bound, since putting down is quick. The
stream's reader waits instead (`wait_for_room`): it is no worker, so nothing can deadlock, and
the process it reads from is slowed down by its own full pipe.
"""

from collections.abc import Callable
from threading import Condition, Lock

from brummerbus import Event
from brummerbus.watch.payloads import LogLine

Sink = Callable[[LogLine], None]

ROOM = 16 * 1024 * 1024
"""How much may wait in a stream before its reader does, in characters."""

_OVERHEAD = 256
"""What a line costs beside its characters, so that empty lines have a bound too."""

_AT_ONCE = 256
"""Lines taken under one lock, so that taking costs little and the reader hears of room soon."""


class Resequencer:
    """A handler of `log.line` that restores the order of each stream. Thread-safe.

    Args:
        sink: Makes the sink of a stream, given its process and stream name.
    """

    def __init__(self, sink: Callable[[str, str], Sink]) -> None:
        self._make_sink = sink
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._lock = Lock()

    def __call__(self, event: Event) -> None:
        """Handle a `log.line`: now, or by leaving it to the worker that is at this stream."""
        line: LogLine = event.data
        self.lane(line.process, line.stream).put(line)

    def lane(self, process: str, stream: str) -> "Lane":
        """Return the stream's lane, made at its first use."""
        key = process, stream
        found = self._lanes.get(key)
        if found is None:
            with self._lock:
                found = self._lanes.get(key)
                if found is None:
                    found = self._lanes[key] = Lane(self._make_sink(process, stream))
        return found

    def finish(self) -> None:
        """Give out what still waits behind a line that never came, in order.

        Nothing does unless a delivery was dropped. Call it when no handler runs any more.
        """
        for lane in list(self._lanes.values()):
            lane.finish()


class Lane:
    """One stream's lines on their way to the sink."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._lock = Lock()  # guards all fields below; never held while the sink runs
        self._room = Condition(self._lock)
        self._waiting: dict[int, LogLine] = {}
        self._weight = 0
        self._due = 0
        self._busy = False

    @property
    def due(self) -> int:
        """The number of the next line to come.

        All before it have been given to the sink, or are just being given to it.
        """
        return self._due

    def put(self, line: LogLine) -> None:
        """Take a line; give it and its successors to the sink if it is the one that is due."""
        with self._lock:
            self._waiting[line.number] = line
            self._weight += len(line.text) + _OVERHEAD
            if self._busy or self._due not in self._waiting:
                return
            self._busy = True
        self._work_off()

    def when_idle(self, action: Callable[[], None]) -> bool:
        """Run the action in the sink's place, with no line handled meanwhile.

        Returns:
            False, without running it, if a worker is at this stream just now.
        """
        with self._lock:
            if self._busy:
                return False
            self._busy = True
        try:
            action()
        finally:
            self._work_off()
        return True

    def wait_for_room(self) -> None:
        """Wait until less than `ROOM` waits. For readers, never for handlers."""
        if self._weight < ROOM:
            return
        with self._room:
            self._room.wait_for(lambda: self._weight < ROOM)

    def finish(self) -> None:
        """Give all that waits to the sink, gaps or not; only when no handler runs any more."""
        while self._waiting:
            with self._lock:
                self._due = min(self._waiting)
                self._busy = True
            self._work_off()

    def _work_off(self) -> None:
        """Give to the sink what is due until nothing is; the caller has set `_busy`.

        A sink that fails for one line gets the next all the same; the first failure is raised
        at the end, for the bus to count.
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
        """Take the lines that are due; when there are none, leave the stream in the same step."""
        with self._lock:
            lines: list[LogLine] = []
            while len(lines) < _AT_ONCE and self._due in self._waiting:
                line = self._waiting.pop(self._due)
                self._weight -= len(line.text) + _OVERHEAD
                self._due += 1
                lines.append(line)
            if not lines:
                self._busy = False
            self._room.notify_all()
            return lines
