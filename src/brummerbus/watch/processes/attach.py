"""Forwards the watcher's standard input to one process, for a debugger or a console."""

import os
from collections.abc import Callable
from contextlib import suppress
from threading import Event as Flag
from threading import Thread

_PAUSE = 0.1
"""Seconds until the next attempt, when the process does not read, or does not run at the moment."""


def attach(write: Callable[[bytes], int], close: Callable[[], None], descriptor: int = 0) -> Thread:
    """Forward what is read from a descriptor, in a thread of its own that nothing waits for.

    Args:
        write: Takes bytes and returns how many it took; after an OSError they are tried again, as
            the process may be started, or restarted.
        close: Called at the end of the input.
        descriptor: Where to read.
    """
    thread = Thread(target=_forward, args=(write, close, descriptor), name="attach", daemon=True)
    thread.start()
    return thread


def _forward(write: Callable[[bytes], int], close: Callable[[], None], descriptor: int) -> None:
    pause = Flag()
    while data := _read(descriptor):
        while data:
            with suppress(OSError):
                data = data[write(data) :]
            if data:
                pause.wait(_PAUSE)
    close()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""  # it is closed, or the terminal is gone
