"""The terminal of the view: keys without Enter, output that never waits, and all as it was after.

It is opened a second time, as `/dev/tty`: so it can be non-blocking here while standard output is
not, and what stops a terminal (a slow connection, a window that is dragged) stops no watcher.
"""

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from threading import Thread
from typing import Any

from brummerbus.watch.view.keys import Keys

if sys.platform != "win32":
    import termios
else:  # pragma: no cover - there is no such terminal
    termios: Any = None

_PATIENCE = 0.5
"""Seconds that the last output may take before a terminal that does not read is left as it is."""

_IFLAG, _OFLAG, _LFLAG, _CC = 0, 1, 3, 6
"""Places in what `tcgetattr` returns."""


class Terminal:
    """A terminal in cbreak mode, as a file for rich. Call it from one thread; keys come in another.

    Ctrl-C and Ctrl-Z remain signals; Ctrl-S is no longer a trap.

    Args:
        on_key: Called with each key, in a thread of its own.
        path: The device.

    Raises:
        OSError: There is no terminal, or this process is in its background.
    """

    encoding = "utf-8"

    def __init__(self, on_key: Any, path: str = "/dev/tty") -> None:
        if termios is None:
            raise OSError("no POSIX terminal")
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            if os.tcgetpgrp(self._fd) != os.getpgrp():
                # Setting its mode would stop this process.
                raise OSError("in the background of the terminal")
            self._before = termios.tcgetattr(self._fd)
        except (OSError, termios.error) as error:
            os.close(self._fd)
            raise OSError(str(error)) from None
        self._on_key = on_key
        self._keys = Keys()
        self._pending = b""
        self._stop_reading, self._stopper = os.pipe()
        self._reader = Thread(target=self._read, name="keys", daemon=True)
        self._reader.start()

    def enter(self) -> None:
        """Take keys without Enter, and do not show them."""
        mode = termios.tcgetattr(self._fd)
        mode[_IFLAG] &= ~(termios.IXON | termios.ICRNL)
        mode[_LFLAG] &= ~(termios.ICANON | termios.ECHO)
        mode[_CC][termios.VMIN], mode[_CC][termios.VTIME] = 1, 0
        termios.tcsetattr(self._fd, termios.TCSANOW, mode)

    def leave(self) -> None:
        """Write what is pending, if the terminal takes it, and give it back as it was."""
        if self._pending:
            self._write_pending(_PATIENCE)
            self._pending = b""
        with suppress(termios.error):  # it was closed
            termios.tcsetattr(self._fd, termios.TCSANOW, self._before)

    def close(self) -> None:
        """Leave it, and end the thread that reads keys."""
        self.leave()
        os.close(self._stopper)
        self._reader.join()
        os.close(self._stop_reading)
        os.close(self._fd)

    def saved(self) -> str:
        """Return its mode as `stty -g` writes it, empty if there is no such program."""
        with suppress(OSError):
            done = subprocess.run(
                ["stty", "-g"], stdin=self._fd, capture_output=True, text=True, check=False
            )
            return done.stdout.strip()
        return ""

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        try:
            size = os.get_terminal_size(self._fd)
        except OSError:
            return 80, 24
        return size.columns or 80, size.lines or 24

    @property
    def ready(self) -> bool:
        """Whether all that was written has been taken, so another frame may follow."""
        self._write_pending(0)
        return not self._pending

    def write(self, text: str) -> int:
        """Write as much as the terminal takes now; the rest is written later."""
        self._pending += text.encode("utf-8", "replace")
        return len(text)

    def flush(self) -> None:
        """Write as much of what is pending as the terminal takes now."""
        self._write_pending(0)

    def isatty(self) -> bool:
        """Return True: it is a terminal."""
        return True

    def fileno(self) -> int:
        """Return its descriptor."""
        return self._fd

    def _write_pending(self, patience: float) -> None:
        while self._pending:
            with suppress(BlockingIOError):
                try:
                    self._pending = self._pending[os.write(self._fd, self._pending) :]
                    continue
                except OSError as error:
                    if isinstance(error, BlockingIOError):
                        raise
                    self._pending = b""  # it was closed, for example with its window
                    return
            if not select.select([], [self._fd], [], patience)[1]:
                return

    def _read(self) -> None:
        """Pass on keys until the terminal is closed."""
        while True:
            ready = select.select([self._fd, self._stop_reading], [], [])[0]
            if self._stop_reading in ready:
                return
            try:
                data = os.read(self._fd, 1024)
            except BlockingIOError:
                continue
            except OSError:
                return  # it was closed
            if not data:
                return
            for key in self._keys.feed(data):
                self._on_key(key)


def suspend() -> None:
    """Stop this process as Ctrl-Z does, until it is continued."""
    before = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.signal(signal.SIGTSTP, before)
