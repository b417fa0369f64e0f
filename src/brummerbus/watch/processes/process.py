"""One process: starts it, publishes its output, start and exit, and passes signals on.

Each process leads its own session, so a signal reaches it and all its descendants, and a Ctrl-C at
the terminal reaches only the watcher, which forwards it.

Each process has four threads: one waits for its end, two read its pipes, and one publishes its
start and exit. They publish with the policy `BLOCK`: when the bus is full they wait, the pipe fills
up, and the process is slowed down instead of a line being lost. Only the first never publishes, so
that its end is known whatever the handlers do.
"""

import errno
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event as Flag
from threading import Lock, Thread
from typing import IO

from brummerbus import Event, EventBus, EventType
from brummerbus.watch.lines import Lines, LineSplitter
from brummerbus.watch.payloads import LogLines, ProcessExited, ProcessStarted
from brummerbus.watch.processes import group
from brummerbus.watch.processes.guardian import Guardian
from brummerbus.watch.processes.launch import launch
from brummerbus.watch.processes.procfile import Command
from brummerbus.watch.processes.ready import AT_ONCE, Readiness, Search
from brummerbus.watch.redact import Redactor
from brummerbus.watch.text import uncoloured

GRACE = 2.0
"""Seconds that the pipes of a process are read after its end.

A descendant that is still alive may hold them open for ever. What the process itself wrote is read
in any case: it is in the pipe, so reading stops only once the pipe is empty, or once more than
the largest pipe can hold has been read. After a signal they are read as long as its group lives.
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
    """One process, from its start to the last line in its pipes. Thread-safe, except for `start`.

    It can be started again once it is `done`; the lines are numbered on.

    Args:
        command: What to start.
        bus: Where to publish.
        guardian: What ends it if the watcher is killed.
        terminal: Whether its streams are terminals.
        readiness: When it counts as ready.
        redact: What masks the secrets of its lines before they are published.
        on_change: Called, in a thread of the process, when it has ended, and when it is done.
    """

    def __init__(
        self,
        command: Command,
        bus: EventBus,
        guardian: Guardian,
        *,
        terminal: bool = False,
        readiness: Readiness = AT_ONCE,
        redact: Redactor | None = None,
        on_change: Callable[[], None],
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
        self.starts = 0
        """How often it was started."""
        self.readiness = readiness
        self.found = Flag()
        """Whether the pattern of its readiness was found since its last start."""
        self._terminal = terminal
        self._stdin: int | None = None
        self._input_ended = False
        self._stdin_lock = Lock()  # guards _stdin: no write to a descriptor that may be reused
        self._done = Flag()
        self._done.set()
        self._bus = bus
        self._guardian = guardian
        self._on_change = on_change
        self._popen: subprocess.Popen[bytes] | None = None
        self._begun = 0.0
        self._deadline: float | None = None
        self._exited = Flag()
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

    @property
    def done(self) -> bool:
        """Whether it does not run, and all that it wrote was published."""
        return self._done.is_set()

    @property
    def gone(self) -> bool:
        """Whether it has ended, and after a signal its whole group. Needs no handler to proceed."""
        return self.done or (self._exited.is_set() and not self._has_leftovers())

    def wait_until_done(self) -> None:
        """Wait until its last event was published."""
        self._done.wait()

    def start(self) -> None:
        """Start it. It must be `done`.

        Raises:
            OSError: The system cannot start it, for example because the file is not a program.
        """
        command = self.command
        # The time of its end is computed from these. Both are from before the launch: however long
        # that takes, a restart is later than the end that it follows.
        began, begun = time.time(), time.monotonic()
        launched = launch(command, terminal=self._terminal)
        popen = launched.popen
        self._guardian.add(popen.pid)
        self.starts += 1
        with self._stdin_lock:
            self._stdin = launched.stdin
        if self._input_ended:
            self.close_stdin()
        self.found.clear()
        self._done.clear()
        self._exited.clear()
        with self._signal_lock:
            self._popen, self._begun, self._deadline = popen, begun, None
            self.exit_code = None
            self._reaped = self._signalled = self.stopped = False
        readers = [
            # Daemons, as reading a pipe without `select` (Windows) may never end.
            Thread(target=self._read, args=(stream, pipe), daemon=True)
            for stream, pipe in zip(STREAMS, (launched.stdout, launched.stderr), strict=True)
        ]
        for reader in readers:
            reader.start()
        started = ProcessStarted(self.name, popen.pid, command.line, began)
        Thread(target=self._await, args=(popen,), name=self.name, daemon=True).start()
        follow = Thread(target=self._follow, args=(popen, started, readers), daemon=True)
        follow.start()

    def send(self, number: int) -> None:
        """Send a signal to it and its descendants; no effect if it is gone."""
        self._signal(lambda leader: group.send(leader, number))

    def kill(self) -> None:
        """Kill it, and its descendants as far as they can be found; no effect if it is gone."""
        self._signal(group.kill)

    def write(self, data: bytes) -> int:
        """Write to its standard input as far as it takes it; return how many bytes. Never waits.

        Raises:
            OSError: It has no standard input, or does not read it any more.
        """
        with self._stdin_lock:
            if self._stdin is None:
                raise OSError(f"{self.name} has no standard input")
            try:
                return os.write(self._stdin, data)
            except BlockingIOError:
                return 0

    def close_stdin(self) -> None:
        """End its standard input, of later runs too; a terminal stays open, and gets Ctrl-D."""
        self._input_ended = True
        if self._terminal:
            with suppress(OSError):
                self.write(b"\x04")
            return
        self._release_stdin()

    def _release_stdin(self) -> None:
        with self._stdin_lock:
            if self._stdin is not None:
                os.close(self._stdin)
                self._stdin = None

    def _signal(self, send: Callable[[int], None]) -> None:
        with self._signal_lock:
            if self._popen is not None and not self._reaped:
                self._signalled = True
                self.stopped = self.stopped or not self._exited.is_set()
                send(self._popen.pid)

    def _has_leftovers(self) -> bool:
        """Return whether a descendant has outlived it although it was asked to end."""
        return self._signalled and group.is_alive(self.pid)

    def _await(self, popen: subprocess.Popen[bytes]) -> None:
        """Wait for its end, and note it."""
        code = _wait(popen)
        self.ended = time.monotonic()
        self.run_time = self.ended - self._begun
        self._deadline = self.ended + GRACE
        self.exit_code = code
        self._exited.set()
        self._on_change()

    def _follow(
        self, popen: subprocess.Popen[bytes], started: ProcessStarted, readers: list[Thread]
    ) -> None:
        """Publish its start and its end, and wait for the end of its output."""
        self._publish(EventType.PROCESS_STARTED, started)
        self._exited.wait()
        code, run_time = self.exit_code or 0, self.run_time or 0.0
        exited = ProcessExited(
            self.name, popen.pid, code, run_time, started.time + run_time, self.stopped
        )
        self._publish(EventType.PROCESS_EXITED, exited)
        self._release_stdin()
        for reader in readers:
            reader.join(None if _POSIX else GRACE)
        pause = Flag()
        while self._has_leftovers():
            pause.wait(_POLL)  # the manager kills them
        with self._signal_lock:
            # Only now is its pid released: until here its group could be signalled.
            self._guardian.remove(popen.pid)
            self._reaped = True
            popen.wait()
        self._done.set()
        self._on_change()

    def _read(self, stream: str, pipe: IO[bytes]) -> None:
        """Publish a stream's lines until it ends."""
        splitter = LineSplitter()
        pattern = self.readiness.pattern
        search = None if pattern is None else Search(pattern)
        with pipe, selectors.DefaultSelector() as selector:
            if _POSIX:
                selector.register(pipe, selectors.EVENT_READ)
            late = 0
            while chunk := self._chunk(pipe, selector, late):
                if late or self._is_late():
                    late += len(chunk)
                self.bytes_read[stream] += len(chunk)
                if search is not None and search.feed(chunk):
                    search = None
                    self.found.set()
                    self._on_change()
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
        try:
            return os.read(pipe.fileno(), _CHUNK)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return b""  # the end of a terminal

    def _is_late(self) -> bool:
        late = self._deadline is not None and time.monotonic() > self._deadline
        return late and not self._has_leftovers()

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
