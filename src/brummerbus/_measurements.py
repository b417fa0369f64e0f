"""The queue's measurements as plain records, in its own units: nanoseconds, levels from 0.

The core fills them; statistics and advice read them, and so need not import the core.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple


class Counts(NamedTuple):
    """Deliveries; published = processed + dropped + queued + running."""

    published: int
    processed: int
    failed: int
    dropped: int
    queued: int
    running: int
    retried: int


class Durations(NamedTuple):
    """The distribution of a duration in nanoseconds; `buckets` has the counts that are not 0."""

    p50: int
    p95: int
    p99: int
    max: int
    n: int
    sum: float
    buckets: list[tuple[int, int]]


class Timer(NamedTuple):
    """Handling times of finished deliveries, summed up, in nanoseconds."""

    deliveries: int
    wall: int
    cpu: int
    wall_squared: float
    cpu_squared: float


class Snapshot(NamedTuple):
    """The state of a queue at one moment: nanoseconds, types by number, levels from 0.

    `recipients` has the order of the request; `workers` has the busy time and the age of each; the
    four durations are queue wait and processing over the whole life, and the same recently. `busy`
    is the time of all workers in deliveries, those that have left included.
    """

    total: Counts
    levels: list[Counts]
    types: list[Counts]
    recipients: list[Counts]
    dropped_by: list[list[int]]
    unrouted: int
    processing_average: float
    timer: Timer
    durations: tuple[Durations, Durations, Durations, Durations] | None
    history: list[int]
    workers: list[tuple[int, int]]
    waiting: int
    reserve_used: int
    oldest: int
    age: int
    busy: int
    busy_workers: int


class Windows(NamedTuple):
    """Arrivals counted in windows of equal length: the sums of the counts and of their squares."""

    windows: int
    counted: float
    counted_squared: float


class Arrivals(NamedTuple):
    """The arrivals of deliveries, in nanoseconds since the queue was created.

    `process_cpu` is the CPU time of the whole process from `first` to `cpu_read`. The windows are
    of 10 ms, 100 ms and 1 s.
    """

    deliveries: int
    first: int
    last: int
    process_cpu: int
    cpu_read: int
    windows: list[Windows]


class MeasuredLoad(NamedTuple):
    """`Arrivals`, with the handling times of all deliveries and of each subscription.

    `processing` is the histogram of all handling times: buckets and their counts, without those
    that are 0. `routes` maps type number and level to the keys of `timers` of the recipients;
    `types` and `levels` have the published deliveries, by type number and by level, from 1.
    """

    deliveries: int
    first: int
    last: int
    process_cpu: int
    cpu_read: int
    windows: list[Windows]
    timers: dict[int, Timer]
    processing: Sequence[tuple[int, int]] = ()
    routes: Mapping[tuple[int, int], tuple[int, ...]] = MappingProxyType({})
    types: Mapping[int, int] = MappingProxyType({})
    levels: Mapping[int, int] = MappingProxyType({})


class StreamTotals(NamedTuple):
    """Sums over the streams of a bus: how many are open, and events."""

    open: int
    published: int
    dropped: int
    held: int


NO_STREAMS = StreamTotals(0, 0, 0, 0)


class SizingStep(NamedTuple):
    """One change of the number of workers.

    Attributes:
        time: `time.monotonic()`, in seconds.
        wall_time: Seconds since the epoch.
        before: Workers before.
        after: Workers after.
        reason: Why, as readable text.
    """

    time: float
    wall_time: float
    before: int
    after: int
    reason: str


def bucket_edge(bucket: int) -> int:
    """Return the upper edge of a bucket in nanoseconds: the first value that is not in it."""
    if bucket < 16:
        return bucket + 1
    shift = bucket // 16 - 1
    return (16 + bucket % 16 + 1) << shift
