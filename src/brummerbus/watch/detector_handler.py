"""The handler that detects errors, tests and builds in lines, and publishes them."""

import time
from collections.abc import Callable

from brummerbus import Event, EventBus, EventType
from brummerbus.watch.detect import StreamDetector
from brummerbus.watch.payloads import ErrorFound, Found, LogLine, TestResult
from brummerbus.watch.resequencer import Lane, Resequencer, Sink

SETTLE = 1.0
"""Seconds of silence after which a traceback that looks complete counts as complete."""


class DetectorHandler:
    """A handler of `log.line`: restores the order, detects, and publishes. Thread-safe."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._detectors: dict[tuple[str, str], StreamDetector] = {}
        self._resequencer = Resequencer(self._sink)

    def __call__(self, event: Event) -> None:
        """Handle a `log.line`."""
        self._resequencer(event)

    def wait_for_capacity(self, process: str, stream: str) -> None:
        """Wait until few of the stream's lines are pending. For its reader."""
        self._resequencer.lane(process, stream).wait_for_capacity()

    def tick(self, lines_read: Callable[[str, str], int]) -> None:
        """Publish errors that no further line followed; called several times per second.

        Args:
            lines_read: The number of lines read of a process and stream: a line that is still
                queued may belong to the error.
        """
        for (process, stream), detector in list(self._detectors.items()):
            if not detector.waits or time.time() - detector.last_time < SETTLE:
                continue
            lane = self._resequencer.lane(process, stream)
            self._settle(lane, detector, lines_read(process, stream))

    def finish(self) -> None:
        """Publish everything that is still open; call it when no handler runs any more."""
        self._resequencer.finish()
        for detector in self._detectors.values():
            self._publish(detector.finish())

    def _settle(self, lane: Lane, detector: StreamDetector, count: int) -> None:
        def settle() -> None:
            # Instead of the sink, or a line could arrive between the check and the settling.
            if lane.due == count:
                self._publish(detector.settle())

        lane.when_idle(settle)

    def _sink(self, process: str, stream: str) -> Sink:
        detector = self._detectors[process, stream] = StreamDetector()

        def sink(line: LogLine) -> None:
            found = detector.feed(line)
            if found:
                self._publish(found)

        return sink

    def _publish(self, found: list[Found]) -> None:
        for item in found:
            self._bus.publish(Event(_type(item), item, source=item.process))


def _type(item: Found) -> EventType:
    if isinstance(item, ErrorFound):
        return EventType.ERROR_DETECTED
    if isinstance(item, TestResult):
        return EventType.TEST_PASSED if item.passed else EventType.TEST_FAILED
    return EventType.BUILD_EVENT
