"""Threads that sleep until something holds, on locks that are never held while Python code runs.

Each thread sleeps on a lock of its own, which others release. A wake-up that comes before the sleep
is not lost: what is waited for is looked at again after the thread has put its lock where others
find it.
"""

import threading
from _thread import LockType, allocate_lock
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from brummerbus._core.queue import clock

MAIN_SLICE_NS = 50_000_000
"""How long the main thread sleeps before it lets Python run signal handlers: some systems do not
interrupt a sleep on a lock."""

OTHER_SLICE_NS = 1_000_000_000
"""The same for others. A wake-up that is lost, for an exception has ended the thread that it was
for, holds up others for no longer."""


class Sleepers:
    """Threads that sleep until something holds."""

    __slots__ = ("_locks",)

    def __init__(self) -> None:
        self._locks: deque[LockType] = deque()

    def wait_until(self, holds: Callable[[], bool], until: int | None) -> bool:
        """Sleep until something holds, at most until a time of `clock`; return whether it does."""
        is_main = threading.get_ident() == threading.main_thread().ident
        piece = MAIN_SLICE_NS if is_main else OTHER_SLICE_NS
        while not holds():
            left = piece if until is None else min(piece, until - clock())
            if left <= 0:
                return False
            self._sleep(holds, left * 1e-9)
        return True

    def _sleep(self, holds: Callable[[], bool], seconds: float) -> None:
        lock = allocate_lock()
        lock.acquire()
        woken = False
        try:
            self._locks.append(lock)
            if not holds():  # a change before the append has woken no thread
                woken = lock.acquire(timeout=seconds)
        finally:
            try:
                self._locks.remove(lock)
            except ValueError:  # woken just now, by a wake-up that was for one who goes on
                if not woken:
                    self.wake_one()

    def wake_one(self) -> None:
        """Wake the thread that has slept longest, if any sleeps."""
        if self._locks:
            with suppress(IndexError):
                self._locks.popleft().release()

    def wake_all(self) -> None:
        """Wake all that sleep now."""
        for _ in range(len(self._locks)):
            self.wake_one()
