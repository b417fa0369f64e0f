"""The name under which the broker keeps the position of one bus.

It must be the same when the program starts again, and differ between programs that run at once,
although most call their bus "bus". So it ends in a number: the first that no process of this user
on this machine holds for a bus of that name. The kernel releases it, however its process ends.
"""

import os
import re
import socket
import sys
from itertools import count
from pathlib import Path
from typing import Any

from brummerbus.relay._folders import runtime_directory

MAX_LENGTH = 64


def safe(text: str) -> str:
    """Return a text as a part of a name: letters, digits, `-` and `_`."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)[:MAX_LENGTH] or "_"


def host() -> str:
    """Return the name of this machine."""
    return socket.gethostname() or "localhost"


def _user() -> int:
    return os.getuid() if sys.platform != "win32" else 0


class Slot:
    """A name that no other process of this user on this machine has, until `release`."""

    def __init__(self, namespace: str, bus: str) -> None:
        self._lock: Any = None
        stem = f"{safe(namespace)}-{safe(bus)}"
        number = self._take(stem)
        self.name = f"{safe(host())}-{_user()}-{safe(bus)}-{number}"

    def _take(self, stem: str) -> int:
        if sys.platform == "win32":  # without locks, a program that starts again has a new name
            return os.getpid()
        from brummerbus.relay._filelock import FileLock  # noqa: PLC0415, imports fcntl

        folder: Path = runtime_directory()
        for number in count():
            lock = FileLock(folder / f"slot-{stem}-{number}.lock", wait=False)
            if lock.held:
                self._lock = lock
                return number
        raise AssertionError("unreachable")

    def release(self) -> None:
        """Leave the name to the next process."""
        if self._lock is not None:
            self._lock.release()
