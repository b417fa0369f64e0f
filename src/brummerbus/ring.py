"""Typed Python over the C ring; the only module that imports `ffi` and `lib`.

`csrc/ring.h` is the contract and explains handles, results and costs. What is called for every
event is bound here once, as a plain name: looking `lib.f` up costs as much as the call.
"""

from array import array
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from brummerbus._cring import ffi, lib

lib.bind_host()
# cffi realises a function's type when it is first looked up, and threads have been reported to
# race there: look all of them up now, before there is a second thread.
for _name in dir(lib):
    getattr(lib, _name)

push: Final[Callable[[int], int]] = lib.bb_push
take: Final[Callable[[int], int]] = lib.bb_take
withdraw: Final[Callable[[int], int]] = lib.bb_withdraw
caller_done: Final[Callable[[int, int], None]] = lib.bb_caller_done
done: Final[Callable[[int], None]] = lib.bb_done
failed: Final[Callable[[int], None]] = lib.bb_failed
abandon_all: Final[Callable[[], None]] = lib.bb_abandon_all

GONE: Final = lib.BB_GONE
CLOSED: Final = lib.BB_CLOSED
FULL: Final = lib.BB_FULL
ACCEPTED: Final = lib.BB_ACCEPTED
REFUSED: Final = lib.BB_REFUSED
EVICTED: Final = lib.BB_EVICTED
RUN: Final = lib.BB_RUN
WAITING: Final = lib.BB_WAITING
FIRST: Final = lib.BB_FIRST

TRY: Final = lib.BB_TRY
EVICT_OLDEST: Final = lib.BB_EVICT_OLDEST
EVICT_LOWEST: Final = lib.BB_EVICT_LOWEST
REFUSE: Final = lib.BB_REFUSE
CALLER_RUNS: Final = lib.BB_CALLER_RUNS
OVERDRAW: Final = lib.BB_OVERDRAW
INSIDE: Final = lib.BB_INSIDE

OPEN: Final = lib.BB_OPEN
SHUT: Final = lib.BB_SHUT

MAX_KINDS: Final = lib.BB_MAX_KINDS
MAX_NESTING: Final = lib.BB_HELP

_FOREVER_NS: Final = 2**60  # 36 years


class Counts(NamedTuple):
    """Deliveries; published = processed + dropped + queued + running."""

    published: int
    processed: int
    failed: int
    dropped: int
    queued: int
    running: int


class Quantiles(NamedTuple):
    """Of a duration, in nanoseconds."""

    p50: int
    p95: int
    p99: int
    max: int


class Snapshot(NamedTuple):
    """One moment of a ring, in the ring's own terms: nanoseconds, kinds, levels from 0."""

    total: Counts
    levels: list[Counts]
    kinds: list[Counts]
    dropped_by: list[list[int]]
    unrouted: int
    processing_average: float
    queue_wait: Quantiles
    processing: Quantiles
    history: list[int]
    busy: list[int]
    age: int


class Ring:
    """A ring in C, freed with the last reference to this object.

    Whoever calls with one of its handles must hold a reference meanwhile.
    """

    __slots__ = ("__weakref__", "capacity", "handle", "levels")

    def __init__(
        self, capacity: int, levels: int, *, monitoring: bool, starvation_after: float | None
    ) -> None:
        starvation = 0 if starvation_after is None else max(1, _ns(starvation_after))
        self.handle = lib.bb_ring_new(capacity, levels, monitoring, starvation)
        if not self.handle:
            raise MemoryError(f"no memory for a queue of {capacity} deliveries")
        self.capacity = capacity
        self.levels = levels

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            lib.bb_ring_free(self.handle)

    def route(self, kind: int, level: int, count: int) -> int:
        """Register a route and return its first handle; 0 if a fork left the ring behind."""
        base = lib.bb_route(self.handle, kind, level, count)
        if not base and not self.gone():
            raise MemoryError("no memory for one more kind of event")
        return base

    def gone(self) -> bool:
        """Return whether a fork left the ring behind."""
        stats = ffi.new("bb_stats *")
        return lib.bb_snapshot(self.handle, stats, ffi.NULL, 0, ffi.NULL, 0) == GONE

    def add_worker(self) -> int:
        """Register a worker and return its handle."""
        worker = lib.bb_worker_add(self.handle)
        if not worker:
            raise MemoryError("no memory for one more worker")
        return worker

    def push_many(self, handles: "array[int]") -> int:
        """Push in order, up to the first that finds no room; how many, or CLOSED or GONE."""
        return lib.bb_push_many(ffi.from_buffer("int64_t[]", handles), len(handles))

    def wait(self, handle: int, seconds: float, *, always: bool) -> int:
        """Stand in line for room; WAITING: still in line, FULL: it is no use now."""
        return lib.bb_wait(handle, _ns(seconds), always)

    def offer(self, handle: int, mode: int, out: Any) -> int:
        """Decide now, in one step; `out` is a `buffer` of the event's number of deliveries."""
        return lib.bb_offer(handle, mode, out)

    def help(self, worker: int, handle: int, out: Any) -> int:
        """Take one delivery, into `out[0]`, and put the event in its place."""
        return lib.bb_help(worker, handle, out)

    def close(self, *, drain: bool, deadline: float) -> None:
        """Refuse new events; drain for at most `deadline` seconds, or shut at once."""
        lib.bb_close(self.handle, drain, -1 if deadline == float("inf") else _ns(deadline))

    def discard(self, out: Any) -> int:
        """Fill `out` with queued deliveries of a shut ring, which are dropped; how many."""
        return lib.bb_discard(self.handle, out, len(out))

    def wait_idle(self, seconds: float) -> bool:
        """Wait until nothing is queued or running."""
        return bool(lib.bb_wait_idle(self.handle, _ns(seconds)))

    def unrouted(self, n: int) -> None:
        """Count events that no subscription matched."""
        lib.bb_unrouted(self.handle, n)

    def depth(self) -> int:
        """Return how many deliveries are queued."""
        return lib.bb_depth(self.handle)

    def state(self) -> int:
        """Return OPEN, draining, or SHUT."""
        return lib.bb_state(self.handle)

    def snapshot(self, n_kinds: int, n_workers: int) -> Snapshot:
        """Return all figures of one moment."""
        stats: Any = ffi.new("bb_stats *")
        kinds: Any = ffi.new("bb_counts[]", n_kinds)
        busy: Any = ffi.new("uint64_t[]", n_workers)
        lib.bb_snapshot(self.handle, stats, kinds, n_kinds, busy, n_workers)
        known = min(n_kinds, stats.kinds)
        return Snapshot(
            total=_counts(stats.total),
            levels=[_counts(stats.level[level]) for level in range(self.levels)],
            kinds=[_counts(kinds[kind]) for kind in range(known)],
            dropped_by=[list(reason)[: self.levels] for reason in stats.dropped_by],
            unrouted=stats.unrouted,
            processing_average=stats.processing_average,
            queue_wait=_quantiles(stats.queue_wait),
            processing=_quantiles(stats.processing),
            history=list(stats.history)[: stats.history_length],
            busy=list(busy)[: stats.workers],
            age=stats.age,
        )


def buffer(n: int) -> Any:
    """Return room for `n` handles and the 0 that ends them."""
    return ffi.new("int64_t[]", n + 1)


def _ns(seconds: float) -> int:
    return min(int(seconds * 1e9), _FOREVER_NS) if seconds < _FOREVER_NS else _FOREVER_NS


def _counts(c: Any) -> Counts:
    return Counts(c.published, c.processed, c.failed, c.dropped, c.queued, c.running)


def _quantiles(q: Any) -> Quantiles:
    return Quantiles(q.p50, q.p95, q.p99, q.max)
