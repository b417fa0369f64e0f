"""Typed Python over the C ring; the only module that imports `ffi` and `lib`.

`csrc/ring.h` is the contract and explains handles, results and costs. What is called for every
event is bound here once, as a plain name: looking `lib.f` up costs as much as the call.
"""

from array import array
from collections.abc import Callable, Sequence
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
opened: Final[Callable[[int], int]] = lib.bb_opened
worker_gone: Final[Callable[[int], None]] = lib.bb_worker_gone
abandon_all: Final[Callable[[], None]] = lib.bb_abandon_all

NO_MEMORY: Final = lib.BB_NO_MEMORY
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
MAX_METERS: Final = lib.BB_MAX_METERS
MAX_NESTING: Final = lib.BB_HELP

_FOREVER_NS: Final = 2**60  # 36 years

SLICE: Final = 0.05
"""Seconds that a call waits in C before it comes back to let Python run signal handlers."""


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
    """One moment of a ring, in the ring's own terms: nanoseconds, kinds, levels from 0.

    `workers` has the busy time and the age of each.
    """

    total: Counts
    levels: list[Counts]
    kinds: list[Counts]
    dropped_by: list[list[int]]
    unrouted: int
    processing_average: float
    queue_wait: Quantiles
    processing: Quantiles
    history: list[int]
    workers: list[tuple[int, int]]
    age: int


class Meter(NamedTuple):
    """What the finished deliveries of one subscription took, in nanoseconds."""

    deliveries: int
    wall: int
    cpu: int
    wall_squared: float
    cpu_squared: float


class Windows(NamedTuple):
    """Arrivals, counted in windows of one length: the sum of the counts and of their squares."""

    windows: int
    counted: float
    counted_squared: float


class Load(NamedTuple):
    """How deliveries arrived, in nanoseconds since the ring was made, and what they took.

    `process_cpu` is what the whole process used from `first` to `cpu_read`. The windows are of
    10 ms, 100 ms and 1 s. Meters that measured nothing are left out.
    """

    deliveries: int
    first: int
    last: int
    process_cpu: int
    cpu_read: int
    windows: list[Windows]
    meters: dict[int, Meter]


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

    def meter_route(self, base: int, meters: Sequence[int]) -> None:
        """Say which meter each delivery of a new route's events goes to."""
        if lib.bb_meter_route(base, meters) == NO_MEMORY:
            raise MemoryError("no memory for one more subscription")

    def resize(self, workers: int) -> list[int] | None:
        """Have so many workers; the handles of those to be started, None if the ring is shut."""
        added = buffer(workers)
        count = lib.bb_resize(self.handle, workers, added)
        if count == NO_MEMORY:
            raise MemoryError("no memory for more workers")
        return None if count < 0 else list(added[0:count])

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

    def wait_shut(self, seconds: float) -> bool:
        """Wait until the ring is shut."""
        return bool(lib.bb_wait_shut(self.handle, _ns(seconds)))

    def opened(self, worker: int) -> tuple[int, float]:
        """Return a worker's innermost open delivery, or 0, and its age in seconds."""
        handle = opened(worker)
        return handle, lib.bb_open_for(worker, handle) * 1e-9

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
        workers: Any = ffi.new("bb_worker_time[]", n_workers)
        lib.bb_snapshot(self.handle, stats, kinds, n_kinds, workers, n_workers)
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
            workers=[(w.busy, w.age) for w in workers[0 : min(n_workers, stats.workers)]],
            age=stats.age,
        )

    def load(self) -> Load:
        """Return how deliveries arrived, and what each meter measured."""
        arrivals: Any = ffi.new("bb_arrivals *")
        meters: Any = ffi.new("bb_meter[]", MAX_METERS)
        lib.bb_load(self.handle, arrivals, meters, MAX_METERS)
        a = arrivals
        return Load(
            a.deliveries,
            a.first,
            a.last,
            a.process_cpu,
            a.cpu_read,
            [Windows(w.windows, w.counted, w.counted_squared) for w in a.windows],
            {
                number: Meter(m.deliveries, m.wall, m.cpu, m.wall_squared, m.cpu_squared)
                for number, m in enumerate(meters)
                if m.deliveries
            },
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
