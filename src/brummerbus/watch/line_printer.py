"""Plain lines, `HH:MM:SS name | text`, for use without a terminal."""

import time
from threading import Lock
from typing import Protocol

from brummerbus import Event
from brummerbus.watch.labels import Labels
from brummerbus.watch.payloads import LogLines, ProcessExited, ProcessStarted

_BLOCK = 16_384
"""Characters per write. A write releases the GIL, and a terminal or standard error would be
written to at each line."""


class Writable(Protocol):
    """What lines are written to: a text stream, or an `Output`."""

    def write(self, text: str, /) -> object:
        """Write a text."""

    def flush(self) -> object:
        """Write what is buffered."""


class LinePrinter:
    """Writes lines. Thread-safe; subscribe it with `max_concurrency=1`, which keeps their order.

    Start and exit of a process are more urgent than lines, so its exit may be printed before its
    last lines.

    Args:
        out: Where to write.
        labels: What is put in front of lines.
    """

    def __init__(self, out: Writable, labels: Labels | None = None) -> None:
        self._out = out
        self._labels = labels or Labels()
        self._lock = Lock()  # guards the fields below and the writing
        self._broken = False
        self._block: list[str] = []
        self._size = 0
        self._second = -1
        self._stamp = ""

    def on_lines(self, events: list[Event]) -> None:
        """Handle a batch of `log.line`."""
        with self._lock:
            for event in events:
                lines: LogLines = event.data
                self._add(*self._labels.put(self._clock(lines.time), lines.process, lines.text))

    def on_process(self, event: Event) -> None:
        """Handle `process.started` and `process.exited`."""
        data: ProcessStarted | ProcessExited = event.data
        if isinstance(data, ProcessStarted):
            self._write(data.time, f"{data.process} started, pid {data.pid}")
        else:
            how = f"exited with code {data.exit_code} after {data.run_time:.1f} s"
            self._write(data.time, f"{data.process} {how}")

    def flush(self) -> None:
        """Write the buffered lines; called several times per second, and at the end."""
        with self._lock:
            self._write_block()

    def _write(self, moment: float, text: str) -> None:
        with self._lock:
            self._add(f"{self._clock(moment)} {text}\n")

    def _clock(self, moment: float) -> str:
        """Return a time of day; the lock is held."""
        if int(moment) != self._second:
            self._second = int(moment)
            self._stamp = clock(moment)
        return self._stamp

    def _add(self, *parts: str) -> None:
        """Add to the block; the lock is held."""
        self._block += parts
        self._size += sum(map(len, parts))
        if self._size >= _BLOCK:
            self._write_block()

    def _write_block(self) -> None:
        """Write the buffered lines; the lock is held."""
        text = "".join(self._block)
        self._block.clear()
        self._size = 0
        if self._broken or not text:
            return  # the reader has closed the pipe; watching continues
        try:
            self._out.write(text)
            self._out.flush()
        except BrokenPipeError:
            self._broken = True


def clock(moment: float) -> str:
    """Return a time of day as `HH:MM:SS`, in local time."""
    return time.strftime("%H:%M:%S", time.localtime(moment))
