"""The watcher on a pseudo-terminal: its screen, its keys, and the mode that it leaves behind."""

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

from .helpers import TIMEOUT

LEFT = "\x1b[?1049l"
"""Leaves the alternate screen."""
SHOWN = "\x1b[?25h"
"""Shows the cursor."""

_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")


_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
)
"""In a program of its own, since no Python code should run between fork and exec beside threads."""


class OnTerminal:
    """A program whose controlling terminal is new, of 80 columns and 24 rows."""

    def __init__(self, directory: Path, *arguments: str, rows: int = 24, columns: int = 80) -> None:
        self._master, self._slave = os.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = self.mode()
        self.written = ""
        """All that it has written to the terminal."""
        environment = {key: value for key, value in os.environ.items()
                       if key not in ("COLUMNS", "LINES", "NO_COLOR")}  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", _TAKE_TERMINAL, *arguments],
            cwd=directory,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            start_new_session=True,
            env={**environment, "TERM": "xterm-256color"},
        )

    def mode(self) -> list[Any]:
        """Return the mode of the terminal."""
        return termios.tcgetattr(self._slave)

    @property
    def text(self) -> str:
        """All that it has written, without colours and movements."""
        return _SEQUENCE.sub("", self.written)

    def send(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def wait_for(self, *parts: str) -> str:
        """Read until each part is in what was written since the last call; return that, as text."""
        begin = len(self.written)
        deadline = time.monotonic() + TIMEOUT
        while True:
            text = _SEQUENCE.sub("", self.written[begin:])
            if all(part in text for part in parts):
                return text
            assert time.monotonic() < deadline, f"no {parts} in {text[-3000:]!r}"
            self._read(0.1)

    def wait_until(self, happened: Any) -> None:
        """Read until something has happened."""
        deadline = time.monotonic() + TIMEOUT
        while not happened():
            assert time.monotonic() < deadline, self.written[-3000:]
            self._read(0.05)

    def end(self) -> int:
        """Read until it has ended; return its exit code."""
        self.wait_until(lambda: self.process.poll() is not None)
        while self._read(0.1):
            pass
        return self.process.returncode

    def close(self) -> None:
        """End it, whatever its state."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGCONT)
            self.process.kill()
            self.process.wait(TIMEOUT)
        os.close(self._slave)
        os.close(self._master)

    def _read(self, patience: float) -> bool:
        if not select.select([self._master], [], [], patience)[0]:
            return False
        data = os.read(self._master, 65536)
        self.written += data.decode("utf-8", "replace")
        return bool(data)
