"""The statistics of a bus: a frozen snapshot, taken in one step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any

from brummerbus._measurements import Counts as QueueCounts
from brummerbus._measurements import Durations as QueueDurations
from brummerbus._measurements import SizingStep, Snapshot, StreamTotals, bucket_edge
from brummerbus._policies import DropReason

_NS = 1e-9


@dataclass(frozen=True)
class Counts:
    """Deliveries of one event type, level or subscription.

    Here too, published = processed + dropped + queued + running.
    """

    published: int
    """Accepted, or refused because the queue was full."""
    processed: int
    """Handled, `failed` included."""
    failed: int
    """Handled by a handler that raised."""
    dropped: int
    """Evicted, refused, or still queued when the drain ended."""
    queued: int
    """Waiting for a worker."""
    running: int
    """In a handler now."""
    retried: int = 0
    """Failures after which the delivery was queued again; not part of `failed`."""


@dataclass(frozen=True)
class Durations:
    """The distribution of a duration in seconds; p50, p95 and p99 are at most 3.2 % off."""

    p50: float
    """The median."""
    p95: float
    """The 95th percentile."""
    p99: float
    """The 99th percentile."""
    max: float
    """The maximum, exact."""
    count: int
    """The number of deliveries measured."""
    sum: float
    """The sum over all of them, in seconds."""
    buckets: Sequence[tuple[float, int]]
    """The histogram: pairs of an upper edge in seconds and the cumulative count below it, in
    ascending order. Only edges at which the count changes; the last has all."""


@dataclass(frozen=True)
class Recent:
    """The durations of the last 30 to 60 seconds, which show trouble even after a long calm."""

    queue_wait: Durations
    """Seconds from being accepted to being taken by a worker."""
    processing_time: Durations
    """Seconds from being taken to being finished."""


@dataclass(frozen=True)
class Streams:
    """What all streams of a bus were given: published = taken + dropped + held.

    Counts are events, one for each event and stream, since the bus was created (in the child of a
    fork: since the fork). They are no deliveries.
    """

    open: int
    """Streams that were not closed."""
    published: int
    """Events that they were given."""
    taken: int
    """Events that tasks have taken."""
    dropped: int
    """Events that no task will take: the stream was full, or it was closed, or its event loop."""
    held: int
    """Events that wait for a task."""


@dataclass(frozen=True)
class BusStats:
    """The state of a bus at one moment: published = processed + dropped + queued + running.

    Counts are deliveries, one for each event and matching subscription, since the bus was created
    (in the child of a fork: since the fork). With `monitoring` off the times are 0, and
    the history is empty.
    """

    published: int
    """Deliveries that `publish` accepted, or refused because the queue was full."""
    processed: int
    """Deliveries whose handler returned or raised."""
    dropped: int
    """Deliveries that were dropped, for any reason."""
    retried: int
    """Failures after which the delivery was queued again; not part of `failed`."""
    queued: int
    """Deliveries waiting for a worker."""
    running: int
    """Deliveries in a handler now."""
    failed: int
    """Deliveries whose handler raised; part of `processed`."""
    unrouted: int
    """Events that no subscription matched; they make no deliveries."""
    dropped_by: Mapping[DropReason, Mapping[int, int]]
    """`dropped`, by reason and level: `dropped_by[DropReason.EVICTED][1]`."""
    avg_processing_time: float
    """Seconds in the handler: moving average with alpha 0.1, seeded by the first delivery."""
    queue_wait: Durations
    """Seconds from being accepted to being taken by a worker."""
    processing_time: Durations
    """Seconds from being taken to being finished."""
    recent: Recent
    """Both durations over the last 30 to 60 seconds."""
    waiting: int
    """Publishers, and events of `publish_after`, that wait for free slots now."""
    scheduled: int
    """Events that `publish_after` has scheduled; they count as published when they are."""
    reserve_used: int
    """Queued deliveries beyond `queue_size`, published by handlers."""
    queue_depth: Mapping[int, int]
    """`queued`, by level."""
    queue_depth_history: Sequence[int]
    """Up to 512 samples of `queued`, oldest first, taken by publishers and workers, at least
    10 ms apart; none while the bus is idle."""
    oldest_queued: float
    """Seconds that the oldest queued delivery has waited; 0 if nothing is queued."""
    worker_utilization: Sequence[float]
    """For each worker, the fraction of its life spent in handlers, 0 to 1."""
    workers_busy: int
    """Workers in a handler now."""
    busy_time: float
    """Seconds that workers have spent in handlers, running ones included, in all; those of workers
    that have ended count too."""
    by_type: Mapping[str, Counts]
    """The counts by event type, for the first 1,023 types; the rest is under `"(other)"`.
    Objects that are not events are counted under the qualified name of their class."""
    by_subscription: Mapping[str, Counts]
    """The counts by subscription label; subscriptions with the same label are added up, those that
    have ended are under `"(other)"`."""
    by_level: Mapping[int, Counts]
    """The counts by level; 1 is the least urgent."""
    sizing: Sequence[SizingStep]
    """The last 256 changes of the number of workers, by `EventBus.resize` or by an elastic pool,
    oldest first: when, from how many to how many, and why."""
    age: float
    """Seconds since the bus was created."""
    streams: Streams
    """The counts of the bus's streams."""

    def as_dict(self) -> dict[str, Any]:
        """Return the snapshot as nested dicts, lists, numbers and strings, ready for JSON."""
        plain: dict[str, Any] = _plain(self)
        return plain


BusStats.__module__ = "brummerbus"  # the public module, as for all public names


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.value if isinstance(value, Enum) else value


def bus_stats(
    snapshot: Snapshot,
    types: Mapping[str, int],
    labels: Sequence[str],
    sizing: Sequence[SizingStep],
    scheduled: int,
    streams: StreamTotals,
    other: str,
) -> BusStats:
    """Convert the queue's figures to the public ones.

    Args:
        snapshot: The queue's figures, with durations.
        types: The number under which the queue counts each event type.
        labels: The labels of the recipients in the snapshot.
        sizing: The changes of the number of workers.
        scheduled: The number of scheduled events.
        streams: The sums over the streams.
        other: The label of everything that is not listed by name.
    """
    total = snapshot.total
    levels = dict(enumerate(snapshot.levels, start=1))
    known = {name: number for name, number in types.items() if number < len(snapshot.types)}
    by_type = {name: Counts(*snapshot.types[number]) for name, number in known.items()}
    assert snapshot.durations is not None
    queue_wait, processing, recent_wait, recent_processing = map(_durations, snapshot.durations)
    return BusStats(
        **total._asdict(),
        unrouted=snapshot.unrouted,
        dropped_by={
            reason: dict(enumerate(by_level, start=1))
            for reason, by_level in zip(DropReason, snapshot.dropped_by, strict=True)
        },
        avg_processing_time=snapshot.processing_average * _NS,
        queue_wait=queue_wait,
        processing_time=processing,
        recent=Recent(recent_wait, recent_processing),
        waiting=snapshot.waiting,
        scheduled=scheduled,
        reserve_used=snapshot.reserve_used,
        queue_depth={level: counts.queued for level, counts in levels.items()},
        queue_depth_history=tuple(snapshot.history),
        oldest_queued=snapshot.oldest * _NS,
        worker_utilization=tuple(min(1.0, busy / max(1, age)) for busy, age in snapshot.workers),
        workers_busy=snapshot.busy_workers,
        busy_time=snapshot.busy * _NS,
        by_type={name: counts for name, counts in by_type.items() if counts.published},
        by_subscription=_by_subscription(total, snapshot.recipients, labels, other),
        by_level={level: Counts(*counts) for level, counts in levels.items()},
        sizing=tuple(sizing),
        age=snapshot.age * _NS,
        streams=Streams(
            **streams._asdict(), taken=streams.published - streams.dropped - streams.held
        ),
    )


def _by_subscription(
    total: QueueCounts, recipients: Sequence[QueueCounts], labels: Sequence[str], other: str
) -> dict[str, Counts]:
    """Return the counts by label; the rest of the total belongs to ended subscriptions."""
    rest, found = total, dict[str, QueueCounts]()
    for label, counts in zip(labels, recipients, strict=True):
        found[label] = _sum(found[label], counts) if label in found else counts
        rest = _sum(rest, counts, -1)
    if any(rest):
        found[other] = rest
    return {label: Counts(*counts) for label, counts in found.items()}


def _sum(a: QueueCounts, b: QueueCounts, sign: int = 1) -> QueueCounts:
    return QueueCounts(*(x + sign * y for x, y in zip(a, b, strict=True)))


def _durations(d: QueueDurations) -> Durations:
    buckets, below = [], 0
    for bucket, count in d.buckets:
        below += count
        buckets.append((bucket_edge(bucket) * _NS, below))
    return Durations(
        d.p50 * _NS, d.p95 * _NS, d.p99 * _NS, d.max * _NS, d.n, d.sum * _NS, tuple(buckets)
    )
