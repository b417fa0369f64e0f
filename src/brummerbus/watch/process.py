"""Starts one process, and publishes its output, start and exit.

Each process leads its own session, so a signal reaches it and all its descendants, and a Ctrl-C at
the terminal reaches only the watcher, which forwards it.

Each process has three threads: two read its pipes, one waits for its end. They publish with the
policy `BLOCK`: when the bus is full they wait, the pipe fills up, and the process is slowed down
instead of a line being lost.
"""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from threading import Lock, Thread
from typing import IO

from brummerbus import Event, EventBus, EventType
from brummerbus.watch.lines import Lines, LineSplitter
from brummerbus.watch.payloads import LogLines, ProcessExited, ProcessStarted
from brummerbus.watch.procfile import Command
from brummerbus.watch.redact import Redactor
from brummerbus.watch.text import uncoloured

GRACE = 2.0
"""Seconds that the pipes of a process are read after its end.

A descendant that is still alive may hold them open for ever. What the process itself wrote is read
in any case: it is in the pipe, so reading stops only once the pipe is empty, or once more than
the largest pipe can hold has been read.
"""

_LARGEST_PIPE = 1024 * 1024
_LAST = 1000
_CHUNK = 64 * 1024
_POLL = 0.2
"""Seconds between two checks of the clock while a pipe is silent."""

_LINE = EventType.LOG_LINE.value
_POSIX = os.name == "posix"
STREAMS = ("stdout", "stderr")


class WatchedProcess:
    """One process, from its start to the last line in its pipes. Thread-safe after `start`.

    Args:
        command: What to start.
        bus: Where to publish.
        on_done: Called, in a thread of the process, after its last event was published.
        redact: What masks the secrets of its lines before they are published.
    """

    def __init__(
        self,
        command: Command,
        bus: EventBus,
        *,
        on_done: Callable[[], None],
        redact: Redactor | None = None,
    ) -> None:
        self._redact = redact
        self.command = command
        self.name = command.name
        self.lines_read = dict.fromkeys(STREAMS, 0)
        self.bytes_read = dict.fromkeys(STREAMS, 0)
        self.published = dict.fromkeys(STREAMS, 0)
        """How many `log.line` events were published; each has the lines of one read."""
        self.exit_code: int | None = None
        self.run_time: float | None = None
        self.ended = 0.0
        """When it exited, on the monotonic clock."""
        self.held_open = False
        """Whether another process kept the pipes open for longer than the grace period."""
        self.stopped = False
        """Whether a signal was sent to it before it ended."""
        self.done = False
        self._bus = bus
        self._on_done = on_done
        self._popen: subprocess.Popen[bytes] | None = None
        self._begun = 0.0
        self._deadline: float | None = None
        self._signal_lock = Lock()  # guards _reaped: no signal to a pid that may be reused
        self._reaped = False
        self._signalled = False
        self._last = dict.fromkeys(STREAMS, "")

    @property
    def pid(self) -> int:
        """The process id, 0 before the start."""
        return self._popen.pid if self._popen is not None else 0

    @property
    def last_line(self) -> str:
        """The last line that is not blank: of standard error, or else of standard output."""
        return uncoloured(self._last["stderr"] or self._last["stdout"])[:500]

    def start(self) -> None:
        """Start it.

        Raises:
            OSError: The system cannot start it, for example because the file is not a program.
        """
        command = self.command
        self._begun = time.monotonic()
        popen = self._popen = subprocess.Popen(
            command.argv,
            executable=command.executable,
            env=dict(command.environment),
            cwd=command.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=_POSIX,
            creationflags=0 if _POSIX else getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        started = ProcessStarted(self.name, popen.pid, command.line, time.time())
        self._publish(EventType.PROCESS_STARTED, started)
        assert popen.stdout is not None
        assert popen.stderr is not None
        readers = [
            # Daemons, as reading a pipe without `select` (Windows) may never end.
            Thread(target=self._read, args=(stream, pipe), daemon=True)
            for stream, pipe in zip(STREAMS, (popen.stdout, popen.stderr), strict=True)
        ]
        for reader in readers:
            reader.start()
        Thread(target=self._follow, args=(popen, readers), name=self.name, daemon=True).start()

    def send(self, number: int) -> None:
        """Send a signal to it and its descendants; no effect if it is gone."""
        popen = self._popen
        if popen is None:
            return
        with self._signal_lock:
            if self._reaped:
                return
            self._signalled = True
            self.stopped = self.stopped or self.exit_code is None
            try:
                if sys.platform != "win32":
                    os.killpg(popen.pid, number)
                else:
                    popen.terminate()
            except OSError:
                pass  # its group is empty

    def _follow(self, popen: subprocess.Popen[bytes], readers: list[Thread]) -> None:
        """Wait for its end, then for the end of its output."""
        code = _wait(popen)
        self.ended = time.monotonic()
        self.run_time = self.ended - self._begun
        self.exit_code = code
        self._deadline = self.ended + GRACE
        exited = ProcessExited(self.name, popen.pid, code, self.run_time, time.time(), self.stopped)
        self._publish(EventType.PROCESS_EXITED, exited)
        for reader in readers:
            reader.join(None if _POSIX else GRACE)
        if self.held_open and self._signalled:
            # It ended after the signal, but a descendant did not.
            self.send(signal.SIGTERM)
        with self._signal_lock:
            # Only now is its pid released: until here its group could be signalled.
            self._reaped = True
            popen.wait()
        self.done = True
        self._on_done()

    def _read(self, stream: str, pipe: IO[bytes]) -> None:
        """Publish a stream's lines until it ends."""
        splitter = LineSplitter()
        with pipe, selectors.DefaultSelector() as selector:
            if _POSIX:
                selector.register(pipe, selectors.EVENT_READ)
            late = 0
            while chunk := self._chunk(pipe, selector, late):
                if self._is_late():
                    late += len(chunk)
                self.bytes_read[stream] += len(chunk)
                self._publish_lines(stream, splitter.feed(chunk))
            self._publish_lines(stream, splitter.finish())

    def _chunk(self, pipe: IO[bytes], selector: selectors.BaseSelector, late: int) -> bytes:
        """Return the next bytes; none at the end, or after the grace period."""
        if _POSIX:
            if late > _LARGEST_PIPE:
                self.held_open = True
                return b""
            while not selector.select(_POLL):
                if self._is_late():
                    self.held_open = True
                    return b""
        return os.read(pipe.fileno(), _CHUNK)

    def _is_late(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def _publish_lines(self, stream: str, read: list[Lines]) -> None:
        for lines in self._redact.lines(read) if self._redact else read:
            first = self.lines_read[stream]
            self.lines_read[stream] = first + lines.total
            self.published[stream] += 1
            self._last[stream] = _last_line(lines.text) or self._last[stream]
            data = LogLines(self.name, stream, first, time.time(), *lines)
            self._bus.publish(Event(_LINE, data, source=self.name))

    def _publish(self, type: EventType, data: ProcessStarted | ProcessExited) -> None:
        self._bus.publish(Event(type, data, source=self.name))


def _last_line(text: str) -> str:
    """Return the last line of a text that is not blank, shortened."""
    return text[-_LAST:].rstrip().rpartition("\n")[2]


def _wait(popen: subprocess.Popen[bytes]) -> int:
    """Wait for a process's end and return its exit code, without releasing its pid."""
    if sys.platform in ("win32", "darwin"):  # `waitid` is missing there, or new in 3.13
        return shell_code(popen.wait())
    result = os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT)
    if result is None:
        return shell_code(popen.wait())
    exited = result.si_code == os.CLD_EXITED
    return shell_code(result.si_status if exited else -result.si_status)


def shell_code(code: int) -> int:
    """Return an exit code as a shell shows it: 128 + n after signal n."""
    return code if code >= 0 else 128 - code
