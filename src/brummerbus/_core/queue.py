"""A typed wrapper of the C queue: all that uses cffi. Other modules import C types from `_ext`.

`csrc/queue/queue.h` is the contract and explains results and costs. Functions that take Python
objects are not here: `EventBus` inherits those that publish, and worker threads run the one that
takes.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from brummerbus._core import _ext
from brummerbus._core._ext import Owner, Recipient, ffi, lib
from brummerbus._core.handling import is_handling
from brummerbus._measurements import Arrivals, Counts, Durations, Snapshot, Timer, Windows

# cffi creates a function's type at its first look-up, and a struct's at its first use, and races
# between threads have been reported there: do it now, before there is a second thread.
for _name in dir(lib):
    getattr(lib, _name)
_STRUCTS = ("settings", "counts", "stats", "durations", "histograms", "worker_time")
for _name in (*_STRUCTS, "timer", "windows", "arrivals", "note"):
    ffi.new(f"bb_{_name} *")

GONE: Final = lib.BB_GONE
CLOSED: Final = lib.BB_CLOSED
ACCEPTED: Final = lib.BB_ACCEPTED
FULL: Final = lib.BB_FULL
WAITING: Final = lib.BB_WAITING
REFUSED: Final = lib.BB_REFUSED
EVICTED: Final = lib.BB_EVICTED

EVICT_OLDEST: Final = lib.BB_EVICT_OLDEST
EVICT_LOWEST: Final = lib.BB_EVICT_LOWEST
REFUSE: Final = lib.BB_REFUSE
CALLER_RUNS: Final = lib.BB_CALLER_RUNS

SHUT: Final = lib.BB_SHUT

WHY_REFUSED: Final = lib.BB_WHY_REFUSED
WHY_SHUTDOWN: Final = lib.BB_WHY_SHUTDOWN

MAX_TYPES: Final = lib.BB_MAX_TYPES
BUCKETS: Final = lib.BB_BUCKETS
MAX_PRESENT_WORKERS: Final = lib.BB_MAX_WORKERS
"""Maximum number of workers of a queue, including those about to leave."""

FOREVER_NS: Final = 2**60
"""36 years."""

CLOCK_BEGINS: Final = 10**9
"""The time at which a clock that is set begins; 0 means no time."""

clock = lib.bb_clock
"""Nanoseconds of a monotonic clock that tests cannot freeze."""

fork_count = lib.bb_fork_count
"""The number of forks between the process that loaded the library and this one."""


class Note(NamedTuple):
    """A decision in the flight recorder; see `bb_note`."""

    time: int
    event: int
    by: int
    recipient: int
    type: int
    level: int
    what: int


class Queue(Owner):
    """A C queue, freed with the last reference to this object.

    Code that passes its address on must pass a reference too. With `now`, its clock stands there
    until it is set, and nothing may sleep in it.

    Raises:
        MemoryError: There is not enough memory.
    """

    __slots__ = (
        "__weakref__",
        "_pointer",
        "address",
        "capacity",
        "clock",
        "forks",
        "levels",
        "monotonic",
        "notes_kept",
    )

    def __init__(
        self,
        capacity: int,
        levels: int,
        *,
        reserve: int,
        reserved: int,
        notes: int,
        monitoring: bool,
        starvation_after: float | None,
        standstill_after: float,
        grows: bool = False,
        now: int = 0,
    ) -> None:
        settings = ffi.new(
            "bb_settings *",
            {
                "capacity": capacity,
                "reserve": reserve,
                "reserved": reserved,
                "notes": notes,
                "levels": levels,
                "monitoring": monitoring,
                "starvation": 0 if starvation_after is None else max(1, ns(starvation_after)),
                "standstill": ns(standstill_after),
                "grows": grows,
                "clock": now,
            },
        )
        self.forks: int = fork_count()
        self._pointer: Any = lib.bb_queue_new(settings)
        if not self._pointer:
            raise MemoryError(f"no memory for a queue of {capacity} deliveries")
        self.address: int = int(ffi.cast("uintptr_t", self._pointer))
        self.own(self.address)
        self.capacity: int = capacity
        self.levels: int = levels
        self.notes_kept: int = notes
        # Its time, in ns; and in seconds, as `time.monotonic` has them, or since a clock that is
        # set began.
        self.clock: Callable[[], int] = clock
        self.monotonic: Callable[[], float] = time.monotonic
        if now:
            self.clock = partial(lib.bb_now, self._pointer)
            self.monotonic = partial(_seconds_of, self._pointer)

    def set_clock(self, now: int) -> None:
        """Set the time of a queue that was made with a time `now`, to that or a later one."""
        lib.bb_set_clock(self._pointer, now)

    def is_gone(self) -> bool:
        """Return whether the queue belongs to the parent of a fork."""
        return self.forks != fork_count()

    def resize(self, workers: int) -> int:
        """Set the number of workers. Returns the number of threads to start, or CLOSED or GONE."""
        return lib.bb_resize(self._pointer, workers)

    def wanted(self) -> int:
        """Return the number of workers set last."""
        return lib.bb_wanted(self._pointer)

    def worker_failed(self) -> None:
        """Report that a thread requested by `resize` could not be started."""
        lib.bb_worker_failed(self._pointer)

    def close(self, *, drain: bool, deadline: float = 0.0) -> None:
        """Refuse new events; drain for at most `deadline` seconds, or shut immediately."""
        lib.bb_close(self._pointer, drain, -1 if deadline == float("inf") else ns(deadline))

    def wait_idle(self, nanoseconds: int) -> bool:
        """Wait until nothing is queued or running; False if the time is over."""
        return bool(lib.bb_wait_idle(self._pointer, nanoseconds))

    def barrier(self) -> int:
        """Return what `wait_barrier` waits for: all that was accepted so far."""
        return lib.bb_barrier(self._pointer)

    def wait_barrier(self, barrier: int, nanoseconds: int) -> bool:
        """Wait until all that was accepted before the barrier has ended."""
        return bool(lib.bb_wait_barrier(self._pointer, barrier, nanoseconds))

    def wait_shut(self, seconds: float) -> bool:
        """Wait until the queue is shut; False if the time is over."""
        return bool(lib.bb_wait_shut(self._pointer, ns(seconds)))

    def set_capacity(self, capacity: int) -> None:
        """Set the capacity of a queue of items."""
        if lib.bb_set_capacity(self._pointer, capacity) == lib.BB_NO_MEMORY:
            raise MemoryError(f"no memory for a queue of {capacity} items")
        self.capacity = capacity

    def unfinished(self) -> int:
        """Return the number of items that are neither done nor discarded."""
        return lib.bb_unfinished(self._pointer)

    def task_done(self) -> bool:
        """Count an item as done; False if all are already."""
        return bool(lib.bb_task_done(self._pointer))

    def wait_tasks(self, nanoseconds: int) -> bool:
        """Wait until all items are done or discarded; False if the time is over."""
        return bool(lib.bb_wait_tasks(self._pointer, nanoseconds))

    def depth(self) -> int:
        """Return the number of queued deliveries."""
        return lib.bb_depth(self._pointer)

    def published(self) -> int:
        """Return the number of deliveries published so far."""
        return lib.bb_published(self._pointer)

    def ended(self) -> int:
        """Return the number of deliveries that have ended so far."""
        return lib.bb_ended(self._pointer)

    def state(self) -> int:
        """Return whether it is open, draining or SHUT."""
        return lib.bb_get_state(self._pointer)

    def is_inside(self) -> bool:
        """Return whether the caller is inside a handler of this queue."""
        return _ext.is_inside(self.address) or is_handling(self.address)

    def snapshot(
        self,
        n_types: int = 0,
        n_workers: int = 0,
        recipients: Sequence[Recipient] = (),
        *,
        durations: bool = False,
    ) -> Snapshot:
        """Return a snapshot of all figures."""
        stats: Any = ffi.new("bb_stats *")
        types: Any = ffi.new("bb_counts[]", n_types)
        counts: Any = ffi.new("bb_counts[]", len(recipients))
        workers: Any = ffi.new("bb_worker_time[]", n_workers)
        histograms: Any = ffi.new("bb_histograms *") if durations else ffi.NULL
        which = _accounts(recipients)
        lib.bb_snapshot(
            self._pointer,
            stats,
            types,
            n_types,
            which,
            counts,
            len(recipients),
            workers,
            n_workers,
            histograms,
        )
        return Snapshot(
            total=_counts(stats.total),
            levels=[_counts(stats.level[level]) for level in range(self.levels)],
            types=[_counts(types[number]) for number in range(min(n_types, stats.types))],
            recipients=[_counts(one) for one in counts],
            dropped_by=[list(reason)[: self.levels] for reason in stats.dropped_by],
            unrouted=stats.unrouted,
            processing_average=stats.processing_average,
            timer=_timer(stats.timer),
            durations=_all_durations(histograms) if durations else None,
            history=list(stats.history)[: stats.history_length],
            workers=[(w.busy, w.age) for w in workers[0 : min(n_workers, stats.workers)]],
            waiting=stats.waiting,
            reserve_used=stats.reserve_used,
            oldest=stats.oldest,
            age=stats.age,
            busy=stats.busy,
            busy_workers=stats.busy_workers,
        )

    def notes(self, event: int) -> list[Note]:
        """Return what the flight recorder has of an event, or, with 0, of all; the oldest first."""
        if not self.notes_kept:
            return []
        out: Any = ffi.new("bb_note[]", self.notes_kept)
        n = max(0, lib.bb_notes(self._pointer, event, out, self.notes_kept))
        return [Note(o.time, o.event, o.by, o.recipient, o.type, o.level, o.what) for o in out[0:n]]

    def load(self, recipients: Sequence[Recipient]) -> tuple[Arrivals, list[Timer]]:
        """Return how deliveries arrived, and the handling times of each recipient."""
        arrivals: Any = ffi.new("bb_arrivals *")
        timers: Any = ffi.new("bb_timer[]", len(recipients))
        lib.bb_load(self._pointer, arrivals, _accounts(recipients), timers, len(recipients))
        a = arrivals
        windows = [Windows(w.windows, w.counted, w.counted_squared) for w in a.windows]
        measured = Arrivals(a.deliveries, a.first, a.last, a.process_cpu, a.cpu_read, windows)
        return measured, [_timer(timer) for timer in timers]


def ns(seconds: float) -> int:
    """Convert seconds to nanoseconds, at most `FOREVER_NS`."""
    return min(int(seconds * 1e9), FOREVER_NS) if seconds < FOREVER_NS else FOREVER_NS


def _seconds_of(pointer: Any) -> float:
    return (lib.bb_now(pointer) - CLOCK_BEGINS) / 1e9


def _accounts(recipients: Sequence[Recipient]) -> Any:
    return ffi.new(
        "bb_recipient *[]", [ffi.cast("bb_recipient *", one.account) for one in recipients]
    )


def _counts(c: Any) -> Counts:
    return Counts(c.published, c.processed, c.failed, c.dropped, c.queued, c.running, c.retried)


def _timer(t: Any) -> Timer:
    return Timer(t.deliveries, t.wall, t.cpu, t.wall_squared, t.cpu_squared)


def _all_durations(h: Any) -> tuple[Durations, Durations, Durations, Durations]:
    return (
        _durations(h.queue_wait),
        _durations(h.processing),
        _durations(h.recent_queue_wait),
        _durations(h.recent_processing),
    )


def _durations(d: Any) -> Durations:
    counts = enumerate(ffi.unpack(d.bucket, BUCKETS)) if d.count else ()
    buckets = [(bucket, count) for bucket, count in counts if count]
    return Durations(d.p50, d.p95, d.p99, d.max, d.count, d.sum, buckets)
