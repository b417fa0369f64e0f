"""The handler that detects errors, tests and builds in lines, and publishes them."""

import time
from collections.abc import Callable, Sequence
from threading import Lock

from brummerbus import Event, EventBus, EventType
from brummerbus.watch.detect import StreamDetector
from brummerbus.watch.detect.runs import Runs
from brummerbus.watch.patterns import Pattern
from brummerbus.watch.payloads import ErrorFound, Found, LogLines, TestResult

STREAMS = ("stdout", "stderr")

SETTLE = 1.0
"""Seconds of silence after which a traceback that looks complete counts as complete."""


class _Process:
    """What the streams of one process share."""

    def __init__(self) -> None:
        self.lock = Lock()  # guards all of them; only `tick` competes with the worker for it
        self.runs = Runs()


class _Stream:
    """The detector of one stream, and the number of lines it was given."""

    def __init__(self, patterns: Sequence[Pattern], process: _Process) -> None:
        self.lock = process.lock
        self.detector = StreamDetector(patterns, process.runs)
        self.seen = 0


class DetectorHandler:
    """A handler of `log.line`: detects, and publishes the findings. Thread-safe.

    It needs the lines of each stream in order: subscribe `on_lines` with `batch`, and with
    `max_concurrency=1`, which costs less for each line than `key`.

    Args:
        bus: Where to publish.
        patterns: A user's own patterns of errors.
    """

    def __init__(self, bus: EventBus, patterns: Sequence[Pattern] = ()) -> None:
        self._bus = bus
        self._patterns = patterns
        self._processes: dict[str, _Process] = {}
        self._streams: dict[tuple[str, str], _Stream] = {}

    def on_lines(self, events: list[Event]) -> None:
        """Handle a batch of `log.line`."""
        for event in events:
            self._publish(self._detect(event.data))

    def _detect(self, lines: LogLines) -> list[Found]:
        """Return what some lines of one stream complete."""
        key = lines.process, lines.stream
        stream = self._streams.get(key)
        if stream is None:
            process = self._processes.setdefault(lines.process, _Process())
            stream = self._streams.setdefault(key, _Stream(self._patterns, process))
        with stream.lock:
            stream.seen += lines.count
            return stream.detector.feed_many(lines)

    def tick(self, lines_read: Callable[[str, str], int]) -> None:
        """Publish what no further line followed; called several times per second.

        Args:
            lines_read: The number of lines read of a process and stream: a line that is still
                queued may belong to the error.
        """
        silent = [
            (key, stream)
            for key, stream in list(self._streams.items())
            if stream.detector.waits and time.time() - stream.detector.last_time >= SETTLE
        ]
        for key, stream in silent:
            with stream.lock:
                all_seen = stream.seen == lines_read(*key)
                found = stream.detector.settle(release=False) if all_seen else []
            self._publish(found)
        for (process, _), stream in silent:
            # The other stream may tell of the same run, in lines that are still queued.
            with stream.lock:
                all_seen = all(
                    self._seen(process, name) == lines_read(process, name) for name in STREAMS
                )
                found = stream.detector.release() if all_seen else []
            self._publish(found)

    def _seen(self, process: str, name: str) -> int:
        stream = self._streams.get((process, name))
        return 0 if stream is None else stream.seen

    def finish(self) -> None:
        """Publish everything that is still open; call it when no handler runs any more."""
        for stream in self._streams.values():
            self._publish(stream.detector.finish(release=False))
        for stream in self._streams.values():
            self._publish(stream.detector.end())

    def _publish(self, found: list[Found]) -> None:
        if found:
            self._bus.publish_many(
                [Event(_type(item), item, source=item.process) for item in found]
            )


def _type(item: Found) -> EventType:
    if isinstance(item, ErrorFound):
        return EventType.ERROR_DETECTED
    if isinstance(item, TestResult):
        return EventType.TEST_PASSED if item.passed else EventType.TEST_FAILED
    return EventType.BUILD_EVENT
