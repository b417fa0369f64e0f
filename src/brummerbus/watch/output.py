"""Standard output and standard error, written without making anything else wait for their readers.

Guarantees
- Only the thread of an `Output` ever waits in a write: a reader that stands still (`| less`, a
  terminal after Ctrl-S) holds up neither the main thread nor a signal.
- Until `hurry`, nothing is lost: `write` waits for room, so a slow reader slows the processes down,
  as it would without the watcher. From then on it soon waits no more, and counts what it drops.
- A reader that leaves ends the writing, silently.

It writes to the descriptor, not to the stream, whose buffer the interpreter would flush at its exit
and wait. The descriptor stays in blocking mode, which it shares with other programs.
"""

import os
import select
import sys
import time
from threading import TIMEOUT_MAX, Condition, Thread
from typing import TextIO

_ROOM = 128 * 1024
"""Bytes that wait to be written; beyond that, `write` waits."""

_PATIENCE = 1.0
"""Seconds that `write` still waits for room after `hurry`, all its calls together."""


class Output:
    """Writes text to a stream's descriptor, in a thread of its own. Thread-safe.

    Args:
        stream: An open stream; without a descriptor, all that is written is discarded.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._changed = Condition()  # guards all below
        self._pending: list[bytes] = []
        self._size = 0
        self._writing = False
        self._broken = False
        self._closed = False
        self._until = float("inf")
        self._thread: Thread | None = None
        self.dropped = 0
        """Lines that were not written because nobody read them."""
        self.failure: OSError | None = None
        """Why writing ended, unless the reader has closed the pipe."""

    def write(self, text: str) -> None:
        """Write lines, in order; wait for room, but not long after `hurry`."""
        data = self._encoded(text)
        with self._changed:
            while self._size >= _ROOM and not self._broken:
                left = self._until - time.monotonic()
                if left <= 0:
                    self.dropped += data.count(b"\n")
                    return
                self._changed.wait(min(left, TIMEOUT_MAX))
            self._add(data)

    def say(self, text: str) -> None:
        """Write lines behind what is pending, whatever its size. Never waits."""
        data = self._encoded(f"{text}\n")
        with self._changed:
            self._add(data)

    def flush(self) -> None:
        """Do nothing: there is no buffer that waits for more."""

    def hurry(self) -> None:
        """Let `write` wait for at most a second from now on. Idempotent."""
        with self._changed:
            self._until = min(self._until, time.monotonic() + _PATIENCE)
            self._changed.notify_all()

    def wait(self, timeout: float) -> bool:
        """Wait until all is written, or can never be; return whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._size and not self._writing, timeout)

    def close(self) -> None:
        """End the thread once all is written; wait for neither."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _encoded(self, text: str) -> bytes:
        return text.encode(self._stream.encoding or "utf-8", "backslashreplace")

    def _add(self, data: bytes) -> None:
        """Add to what is pending; the lock is held."""
        if self._broken:
            return
        self._pending.append(data)
        self._size += len(data)
        if self._thread is None:
            # A daemon: the end of the interpreter does not wait for a reader either.
            self._thread = Thread(target=self._run, name="output", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        """Write what is pending, until it is closed."""
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._size or self._closed)
                if not self._size:
                    return
                data = b"".join(self._pending)
                self._pending.clear()
                self._size = 0
                self._writing = True
                self._changed.notify_all()
            try:
                _write(self._stream.fileno(), data)
            except OSError as error:
                # The reader has closed the pipe, the terminal is gone or its disk is full.
                with self._changed:
                    self._broken = True
                    self.failure = None if isinstance(error, BrokenPipeError) else error
                    self._pending.clear()
                    self._size = 0


def _write(descriptor: int, data: bytes) -> None:
    """Write all bytes."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:  # noqa: PERF203
            # Another program has set the shared descriptor to non-blocking.
            select.select([], [descriptor], [])


def standard() -> tuple[Output, Output]:
    """Return standard output and standard error."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return Output(sys.stdout), Output(sys.stderr)
