"""`RingQueue`: a `queue.Queue` on the bus's own bounded queue, with priorities.

It is a `queue.Queue` for `isinstance` and for what expects one, and shares no code with it: what it
holds is in C, guarded by a mutex that is never held while Python code runs.
"""

import queue
import sys
import threading
from collections.abc import Iterable
from typing import Any, Final, TypeVar

from brummerbus._arguments import MAX_QUEUE_SIZE, check_int, check_timeout, shown
from brummerbus._core import queue as c
from brummerbus._core._ext import Ring
from brummerbus._core.queue import Queue, fork_count, ns
from brummerbus._core.sleepers import MAIN_SLICE_NS
from brummerbus._errors import QueueFull
from brummerbus._events import Priority
from brummerbus._text import counted

__all__ = ["RingQueue", "ShutDown"]

T = TypeVar("T")

OTHER_SLICE_NS: Final = 10_000_000_000
"""How long threads sleep in C in which Python runs no signal handlers; for the main thread,
`MAIN_SLICE_NS`."""

HOOKS: Final = ("_init", "_qsize", "_put", "_get")

_NOTHING: Final = object()

if sys.version_info >= (3, 13):
    _ShutDown = queue.ShutDown
else:
    _ShutDown = Exception


class ShutDown(_ShutDown):
    """The queue was shut down; on Python 3.13 and later a `queue.ShutDown`.

    Attributes:
        accepted: How many items of the same `put_many` were put before; else 0.
    """

    def __init__(self, message: str = "the queue is shut down", *, accepted: int = 0) -> None:
        super().__init__(message)
        self.accepted = accepted


class RingQueue(queue.Queue[T]):
    """A `queue.Queue` with priorities that signal handlers and finalizers can use, too.

    The whole interface of `queue.Queue`, with `shutdown` on every Python. Every method may be
    called from any thread, and from a signal handler, a `__del__` or a weakref callback that
    interrupts another method: no lock is held while Python code can run. (A wait there is a wait
    for another thread.) Items are never compared, hashed or copied. Ctrl-C ends a wait in the main
    thread within 0.1 s.

    In the child of a fork it is empty, and usable: what the parent has put is the parent's.

    What differs from `queue.Queue`: a subclass cannot override `_init`, `_qsize`, `_put` or `_get`,
    which raises `TypeError`; there is no `not_empty`, `not_full` and `all_tasks_done`.

    Args:
        maxsize: Items at most, 1 to 16,777,216. 0 or less: 16,777,216, as there is a bound in any
            case; memory is allocated as it is needed, 40 bytes per item.
        priority_levels: 1 to 8.

    Raises:
        TypeError, ValueError: An argument is of the wrong type or out of range.
        MemoryError: There is not enough memory.
    """

    def __init__(self, maxsize: int = 0, *, priority_levels: int = 3) -> None:
        self._bound = _bound(maxsize)
        self._levels = check_int("priority_levels", priority_levels, 1, 8)
        self._medium = min(int(Priority.MEDIUM), self._levels)
        self._was_shut = False
        self._mutex = threading.Lock()
        self._rings: dict[int, Ring] = {}
        self._ring = self._renewed()

    def __init_subclass__(cls) -> None:
        overridden = [name for name in HOOKS if name in cls.__dict__]
        if overridden:
            raise TypeError(f"{cls.__name__}: RingQueue does not call {overridden[0]}()")

    # ---- putting -----------------------------------------------------------------------------

    def put(
        self,
        item: T,
        block: bool = True,
        timeout: float | None = None,
        *,
        priority: int | None = None,
    ) -> None:
        """Put an item into the queue.

        Threads that wait for room are served by priority, first come first served within it.

        Args:
            item: Any object.
            block: Whether to wait for room.
            timeout: Seconds to wait at most, at least 0; None: no limit. Without `block`, ignored.
            priority: 1 to `priority_levels`, higher is more urgent; None: `Priority.MEDIUM`, or 1
                if there is one level only. `get` returns the oldest of the most urgent items.

        Raises:
            queue.Full: There is no room, or was none in time.
            ShutDown: The queue is shut down.
            TypeError, ValueError: An argument is of the wrong type or out of range.
        """
        if timeout is not None and block:
            check_timeout("timeout", timeout)
        level = self._medium if priority is None else priority
        if self._ring.push(item, level) != 1:
            self._put_waiting(item, self._level(priority), _limit(timeout, block=block))

    def put_nowait(self, item: T, *, priority: int | None = None) -> None:
        """Do as `put` without waiting."""
        if priority is None:  # a subclass may have a `put` as that of `queue.Queue` is
            self.put(item, block=False)
        else:
            self.put(item, block=False, priority=priority)

    def put_many(
        self,
        items: Iterable[T],
        block: bool = True,
        timeout: float | None = None,
        *,
        priority: int | None = None,
    ) -> None:
        """Put several items, in order; far cheaper per item than `put`.

        Other threads may put items between them. `timeout` is for all of them together.

        Raises:
            QueueFull, ShutDown: As `put`; `accepted` says how many were put before.
            TypeError, ValueError: An argument is of the wrong type or out of range.
        """
        level, limit = self._level(priority), _limit(timeout, block=block)
        if not isinstance(items, Iterable):
            raise TypeError(f"items must be an iterable, got {shown(items)}")
        until = None if limit < 0 else c.clock() + limit
        rest, done = tuple(items), 0
        try:
            while done < len(rest):
                pushed = self._ring.push_many(rest, done, level)
                if pushed > 0:
                    done += pushed
                else:
                    left = -1 if until is None else max(0, until - c.clock())
                    self._put_waiting(rest[done], level, left)
                    done += 1
        except queue.Full:
            message = f"{counted(len(rest) - done, 'item')} of {len(rest)} found no room"
            raise QueueFull(message, accepted=done) from None
        except ShutDown:
            raise ShutDown(accepted=done) from None

    def _put_waiting(self, item: T, level: int, limit: int) -> None:
        """Put an item after waiting up to `limit` ns, without limit if that is negative."""
        while (result := self._ring.put(item, level, limit, _slice())) == c.GONE:
            self._renew()
        if result == c.CLOSED:
            raise ShutDown
        if result != 1:
            raise queue.Full

    def _level(self, priority: int | None) -> int:
        return (
            self._medium if priority is None else check_int("priority", priority, 1, self._levels)
        )

    # ---- getting -----------------------------------------------------------------------------

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Remove the oldest of the most urgent items, and return it.

        Args:
            block: Whether to wait for an item.
            timeout: Seconds to wait at most, at least 0; None: no limit. Without `block`, ignored.

        Raises:
            queue.Empty: There is no item, or was none in time.
            ShutDown: The queue is shut down, and holds nothing.
            TypeError, ValueError: `timeout` is of the wrong type or negative.
        """
        if timeout is not None and block:
            check_timeout("timeout", timeout)
        item: T = self._ring.pop(_NOTHING)
        return (
            item if item is not _NOTHING else self._get_waiting(1, _limit(timeout, block=block))[0]
        )

    def get_nowait(self) -> T:
        """Do as `get` without waiting."""
        return self.get(block=False)

    def get_many(self, n: int, block: bool = True, timeout: float | None = None) -> list[T]:
        """Remove up to `n` items, and return them; waits for the first only.

        Args:
            n: At least 1. At most 1,024 are taken at once.
            block, timeout: As for `get`.

        Raises:
            queue.Empty, ShutDown, TypeError, ValueError: As `get`.
        """
        return self._get_waiting(check_int("n", n, 1), _limit(timeout, block=block))

    def _get_waiting(self, n: int, limit: int) -> list[T]:
        while (found := self._ring.get(min(n, 1024), limit, _slice())) is False:
            self._renew()
        if found is None:
            raise ShutDown
        if not found:
            raise queue.Empty
        items: Any = found
        return items  # type: ignore[no-any-return]

    # ---- tasks and the end -------------------------------------------------------------------

    def task_done(self) -> None:
        """Report that an item that was put has been dealt with.

        Raises:
            ValueError: That was reported of all items already.
        """
        if not self._here().task_done():
            raise ValueError("task_done() called too many times")

    def join(self) -> None:
        """Wait until `task_done` was called for every item that was put."""
        while not self._here().wait_tasks(_slice()):
            pass

    def shutdown(self, immediate: bool = False) -> None:
        """Let `put` raise `ShutDown` from now on, and `get` once the queue is empty.

        Threads that wait in `put` or `get` go on and raise it, too.

        Args:
            immediate: Drop what is queued, as if `task_done` had been called for each.
        """
        self._was_shut = True
        self._here().close(drain=True, deadline=float("inf"))
        if immediate:
            self._ring.discard()

    # ---- looking -----------------------------------------------------------------------------

    def qsize(self) -> int:
        """Return the number of items at the moment of the call."""
        return self._here().depth()

    def empty(self) -> bool:
        """Return whether `qsize` is 0."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Return whether the queue has a bound that is reached."""
        return 0 < self._bound <= self.qsize()

    @property
    def maxsize(self) -> int:
        """The bound, in items; 0: none was given. If it is set lower, what is queued stays."""
        return self._bound

    @maxsize.setter
    def maxsize(self, maxsize: int) -> None:
        bound = _bound(maxsize)
        self._here().set_capacity(bound or MAX_QUEUE_SIZE)
        self._bound = bound

    @property
    def priority_levels(self) -> int:
        """The number of levels."""
        return self._levels

    @property
    def unfinished_tasks(self) -> int:  # type: ignore[override]
        """Items for which `task_done` was not called."""
        return self._here().unfinished()

    @property
    def is_shutdown(self) -> bool:
        """Whether `shutdown` was called."""
        return self._was_shut

    @property
    def queue(self) -> tuple[T, ...]:
        """What is queued, in the order of `get`: a copy."""
        self._here()
        return tuple(self._ring.items())

    @property
    def mutex(self) -> threading.Lock:  # type: ignore[override]
        """A lock for programs that say `with q.mutex`: it excludes those, and no method."""
        return self._mutex

    def __reduce__(self) -> Any:
        raise TypeError("a RingQueue cannot be copied or pickled")

    def __repr__(self) -> str:
        bound = self._bound or "no bound"
        return f"<{type(self).__name__}, {self.qsize()} of {bound}>"

    # ---- forks -------------------------------------------------------------------------------

    def _here(self) -> Queue:
        """Return the queue of this process."""
        owner: Queue = self._ring.owner
        if owner.is_gone():
            self._renew()
            owner = self._ring.owner
        return owner

    def _renew(self) -> None:
        """In the child of a fork: replace the parent's."""
        self._ring = self._renewed()

    def _renewed(self) -> Ring:
        """Return the ring of this process, which several threads may be the first to need."""
        forks = fork_count()
        made = Queue(
            self._bound or MAX_QUEUE_SIZE,
            self._levels,
            reserve=0,
            reserved=0,
            notes=0,
            monitoring=False,
            starvation_after=None,
            standstill_after=0,
            grows=True,
        )
        if self._was_shut:
            made.close(drain=True, deadline=float("inf"))
        return self._rings.setdefault(forks, Ring(made, made.address, self._levels))


def _bound(maxsize: int) -> int:
    if isinstance(maxsize, int) and maxsize < 0:
        return 0
    return check_int("maxsize", maxsize, 0, MAX_QUEUE_SIZE)


def _limit(timeout: float | None, *, block: bool) -> int:
    """Return how long to wait, in ns; negative: without a limit."""
    if not block:
        return 0
    limit = float("inf") if timeout is None else check_timeout("timeout", timeout)
    return -1 if limit == float("inf") else ns(limit)


def _slice() -> int:
    is_main = threading.get_ident() == threading.main_thread().ident
    return MAIN_SLICE_NS if is_main else OTHER_SLICE_NS
