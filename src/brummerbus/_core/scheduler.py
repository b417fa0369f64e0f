"""What is to happen later: retries and scheduled events. One thread for the process.

Guarantees
- `call_at` may be called from anywhere, also from signal handlers and finalizers: it appends to a
  deque and puts into a `SimpleQueue`, whose `put` is reentrant, and takes no lock of ours. Only the
  first call of a process starts a thread, for which Python takes locks.
- Actions run in order of their times; one that raises is logged, and the thread goes on.
- No action is lost for lack of memory: it stays where it is until it was called, and one that
  raises MemoryError is called again.
- A timer that was cancelled lets go of its action at once. The timers themselves are removed when
  they have become more than the others.
- The thread begins with the first action, and in the child of a fork with the first one there. What
  the parent has scheduled is the parent's.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import sleep

from brummerbus._core.log import ERROR, log
from brummerbus._core.queue import clock, fork_count
from brummerbus._core.threads import PoolThread

NAME = "brummerbus-timer"

Action = Callable[[], object]

_MAX_SLEEP_NS = 3_600_000_000_000

_PAUSE = 0.01
"""Seconds until the next try without memory."""

_MIN_COMPACTED = 1024
"""Timers below which those that were cancelled are not looked for."""

_next_number = itertools.count().__next__


class Timer:
    """An action to come."""

    __slots__ = ("action",)

    def __init__(self, action: Action) -> None:
        self.action: Action | None = action

    def cancel(self) -> None:
        """Let go of the action. It may just be running."""
        self.action = None


Entry = tuple[int, int, Timer]

CallAt = Callable[[int, Action], Timer]
"""As `call_at`, or a substitute for it."""


class Scheduler:
    """Calls actions at their times, which are those of `clock`."""

    def __init__(self) -> None:
        self._inbox: deque[Entry] = deque()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._starter: dict[str, object] = {}
        self._compact_at = _MIN_COMPACTED

    def call_at(self, due: int, timer: Timer) -> None:
        """Call an action in the scheduler's thread, at a time in ns or as soon after as it can.

        Raises:
            RuntimeError: The thread could not be started; the next call tries again.
        """
        self._inbox.append((due, _next_number(), timer))
        self._wake.put(None)
        me = object()
        if self._starter.setdefault("start", me) is me:
            try:
                PoolThread(NAME, self._run).start()
            except BaseException:
                self._starter.clear()
                raise

    def _run(self) -> None:
        entries: list[Entry] = []
        while True:
            self._turn(entries)

    def _turn(self, entries: list[Entry]) -> None:
        try:
            self._wait(entries)
            self._collect(entries)
            while entries and entries[0][0] <= clock():
                self._call(entries[0][2])
                heapq.heappop(entries)
        except MemoryError:
            sleep(_PAUSE)
        except BaseException as error:  # of another thread, or of a tracer
            log(ERROR, "the timer thread goes on after an exception", exc_info=error)

    def _wait(self, entries: list[Entry]) -> None:
        """Wait until the first entry is due or another has arrived."""
        wait = None
        if entries:
            wait = max(0, min(entries[0][0] - clock(), _MAX_SLEEP_NS)) * 1e-9
        with suppress(Empty):
            if not self._inbox:
                self._wake.get(timeout=wait)
            while True:
                self._wake.get_nowait()

    def _collect(self, entries: list[Entry]) -> None:
        """Take in all that has arrived."""
        while self._inbox:
            heapq.heappush(entries, self._inbox[0])
            self._inbox.popleft()
        if len(entries) > self._compact_at:
            entries[:] = [entry for entry in entries if entry[2].action is not None]
            heapq.heapify(entries)
            self._compact_at = max(_MIN_COMPACTED, 2 * len(entries))

    @staticmethod
    def _call(timer: Timer) -> None:
        action, timer.action = timer.action, None  # a reference to the timer keeps nothing else
        if action is None:
            return
        try:
            action()
        except MemoryError:
            timer.action = action
            raise
        except BaseException as error:
            log(ERROR, "a scheduled action raised", exc_info=error)


_schedulers: dict[int, Scheduler] = {}  # by the number of forks


def call_at(due: int, action: Action) -> Timer:
    """Call an action later, in the one thread of this process; see `Scheduler.call_at`."""
    forks = fork_count()
    scheduler = _schedulers.get(forks)
    if scheduler is None:
        scheduler = _schedulers.setdefault(forks, Scheduler())
    timer = Timer(action)
    scheduler.call_at(due, timer)
    return timer
