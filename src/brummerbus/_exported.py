"""The figures of buses as exporters need them: by name, with few labels, and never falling.

Guarantees
- A counter never falls, whatever becomes of a bus: what it had counted at its end is kept under its
  name, and a new bus of that name continues from there. In the child of a fork all begin at 0.
- A bus name has at most `MAX_TYPES` event types with a label of their own, the first ones.
- Buses are not kept, nor their handlers. The queue of one that is gone is kept until the next read,
  or until another bus begins.
- Names and labels can be encoded in UTF-8, whatever types and buses are called.
- Reading costs a snapshot of each bus, and publishing nothing.
"""

import threading
import weakref
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from brummerbus import EventBus
from brummerbus._arguments import shown
from brummerbus._core.census import Counted, living, watch
from brummerbus._core.queue import BUCKETS, fork_count
from brummerbus._core.routes import OTHER as UNNAMED
from brummerbus._measurements import bucket_edge
from brummerbus._text import utf8

if TYPE_CHECKING:
    from brummerbus import BusStats
    from brummerbus._stats import Durations

MAX_TYPES = 64
"""Event types of a bus name with a label of their own."""

OTHER = "other"
"""The label of all others."""

EDGES = (1e-5, 1e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
"""Upper edges of the histograms, in seconds. They must not change: a query that spans a change of
the edges adds up what does not belong together."""

_BUCKET_EDGES = [bucket_edge(bucket) * 1e-9 for bucket in range(BUCKETS)]
_LIMITS = [min((abs(limit - edge), limit) for limit in _BUCKET_EDGES)[1] for edge in EDGES]
"""For each edge the nearest of the queue's own, which is at most 3.2 % off."""


@dataclass
class Histogram:
    """Durations; `below` has the cumulative count for each edge."""

    below: list[int] = field(default_factory=lambda: [0] * len(EDGES))
    count: int = 0
    sum: float = 0.0

    def add(self, other: "Histogram") -> None:
        """Add another."""
        self.below = [a + b for a, b in zip(self.below, other.below, strict=True)]
        self.count += other.count
        self.sum += other.sum


@dataclass
class Counters:
    """What only ever increases."""

    by_type: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """Published, processed and failed deliveries."""
    dropped: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Dropped deliveries, by reason and level."""
    busy_time: float = 0.0
    queue_wait: Histogram = field(default_factory=Histogram)
    processing_time: Histogram = field(default_factory=Histogram)
    is_timed: bool = False
    """Whether a bus of this name has monitoring, without which nothing is timed."""

    def count(self, label: str, counts: tuple[int, int, int]) -> None:
        """Add deliveries of an event type."""
        old = self.by_type.get(label, (0, 0, 0))
        self.by_type[label] = (old[0] + counts[0], old[1] + counts[1], old[2] + counts[2])

    def add(self, other: "Counters") -> None:
        """Add those of another bus of the same name."""
        for label, counts in other.by_type.items():
            self.count(label, counts)
        self.dropped.update(other.dropped)
        self.busy_time += other.busy_time
        self.queue_wait.add(other.queue_wait)
        self.processing_time.add(other.processing_time)
        self.is_timed |= other.is_timed


@dataclass
class Gauges:
    """What the buses of a name are like now."""

    queue_depth: Counter[int] = field(default_factory=Counter)
    """Queued deliveries, by level."""
    capacity: int = 0
    busy: int = 0
    idle: int = 0
    oldest: float = 0.0

    def add(self, counted: Counted, stats: "BusStats") -> None:
        """Add another bus of the same name."""
        self.queue_depth.update(stats.queue_depth)
        self.capacity += counted.queue.capacity
        self.busy += stats.workers_busy
        self.idle += len(stats.worker_utilization) - stats.workers_busy
        self.oldest = max(self.oldest, stats.oldest_queued)


@dataclass
class Figures:
    """All of one bus name; `gauges` is None if no bus of that name is left."""

    counters: Counters = field(default_factory=Counters)
    gauges: Gauges | None = None


def folded(durations: "Durations") -> Histogram:
    """Return a histogram with the edges `EDGES`."""
    edges = [edge for edge, _ in durations.buckets]
    places = [bisect_right(edges, limit) for limit in _LIMITS]
    below = [durations.buckets[place - 1][1] if place else 0 for place in places]
    return Histogram(below, durations.count, durations.sum)


class _Source:
    """A bus in this process."""

    def __init__(self, counted: Counted) -> None:
        self.counted = counted
        self.name = utf8(counted.name)
        self._least: tuple[float, ...] = (0.0, 0.0, 0.0)

    def read(self, label: Callable[[str], str]) -> tuple[Counters, "BusStats"]:
        """Return its counters, with a label for each event type, and all its statistics."""
        stats = self.counted.stats()
        counters = Counters(is_timed=self.counted.is_timed)
        for name, one in stats.by_type.items():
            counters.count(label(name), (one.published, one.processed, one.failed))
        for reason, by_level in stats.dropped_by.items():
            for level, number in by_level.items():
                counters.dropped[reason.value, level] = number
        counters.queue_wait = folded(stats.queue_wait)
        counters.processing_time = folded(stats.processing_time)
        self._set_sums(counters, stats.busy_time)
        return counters, stats

    def _set_sums(self, counters: Counters, busy_time: float) -> None:
        """Set the sums, none to less than before.

        Two clocks may differ by nanoseconds, and sums of floats by their last digit; but to
        Prometheus a counter that falls has begun again at 0.
        """
        wait, processing = counters.queue_wait, counters.processing_time
        self._least = tuple(map(max, self._least, (busy_time, wait.sum, processing.sum)))
        counters.busy_time, wait.sum, processing.sum = self._least


class Exported:
    """Reads the figures of some buses, or of all of the process.

    From any thread; one read at a time.

    Args:
        buses: The buses; none: all of the process, those that begin later included.

    Raises:
        TypeError: One is no `EventBus`.
    """

    def __init__(self, *buses: EventBus) -> None:
        for bus in buses:
            if not isinstance(bus, EventBus):
                raise TypeError(f"buses must be EventBus objects, got {shown(bus)}")
        self._chosen = [weakref.ref(bus) for bus in buses]
        self._has_all = not buses
        self._begin()
        if self._has_all:
            watch(self)
        self._update()

    def add(self, bus: EventBus) -> None:
        """Read another bus, too."""
        with self._lock:
            self._chosen = [*self._chosen, weakref.ref(bus)]

    def remove(self, bus: EventBus) -> None:
        """Read a bus no more; what it has counted is forgotten."""
        with self._lock:
            self._chosen = [one for one in self._chosen if one() is not bus]
            self._sources.pop(id(bus._here().counted), None)

    def _begin(self) -> None:
        """Begin at 0: in the child of a fork, what the parent has counted is the parent's."""
        self._forks = fork_count()
        self._lock = threading.Lock()  # a thread of the parent may have held the other
        self._begun: deque[Counted] = deque()
        self._sources: dict[int, _Source] = {}
        self._ended: dict[str, Counters] = {}
        self._types: dict[str, dict[str, str]] = {}

    def begun(self, counted: Counted) -> None:
        """Note a bus; and forget those that have ended, so that they do not add up unread."""
        self._begun.append(counted)
        if fork_count() == self._forks and self._lock.acquire(blocking=False):
            try:
                self._update()
            finally:
                self._lock.release()

    def read(self) -> dict[str, Figures]:
        """Return the figures by bus name."""
        if fork_count() != self._forks:
            self._begin()
            if self._has_all:
                self._begun.extend(living())
        with self._lock:
            self._update()
            found = {name: Figures() for name in self._ended}
            for name, counters in self._ended.items():
                found[name].counters.add(counters)
            for source in self._sources.values():
                counters, stats = source.read(self._labels(source.name))
                figures = found.setdefault(source.name, Figures())
                figures.counters.add(counters)
                figures.gauges = figures.gauges or Gauges()
                figures.gauges.add(source.counted, stats)
            return found

    def _update(self) -> None:
        """Take in the buses that have begun, and add up those that have ended."""
        chosen = [bus._here().counted for ref in self._chosen if (bus := ref()) is not None]
        while self._begun:
            chosen.append(self._begun.popleft())
        for counted in chosen:
            if id(counted) not in self._sources:
                self._sources[id(counted)] = _Source(counted)
        for key, source in list(self._sources.items()):
            if source.counted.queue.is_gone():
                del self._sources[key]
            elif source.counted.is_final():
                name = source.name
                counters, _ = source.read(self._labels(name))
                self._ended.setdefault(name, Counters()).add(counters)
                del self._sources[key]

    def _labels(self, bus: str) -> Callable[[str], str]:
        """Return what gives an event type of a bus its label."""
        known = self._types.setdefault(bus, {})

        def label(name: str) -> str:
            if name not in known and len(known) < MAX_TYPES and name not in (OTHER, UNNAMED):
                known[name] = utf8(name)
            return known.get(name, OTHER)

        return label
