"""Run a workload on a number of workers, and ask the bus for advice."""

import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import takewhile
from typing import NamedTuple

from bench.advice.workloads import Workload, handler
from brummerbus import Advice, BackpressurePolicy, EventBus

ROOM = 100_000
"""Places in the queue: too many to fill, for the model knows a queue without an end."""

BUCKET = 1 / 17
"""The width of the histogram's buckets, as a share of their upper edge, at most."""

Histogram = Mapping[float, int]
"""How many deliveries waited, by the upper edge of a bucket in seconds."""


class Waits(NamedTuple):
    """How long deliveries waited in the queue, in seconds."""

    p50: float
    p99: float


def waits(histograms: Iterable[Histogram]) -> Waits:
    """Return the quantiles of all of them together."""
    pooled: Counter[float] = Counter()
    for histogram in histograms:
        pooled.update(histogram)
    return Waits(_quantile(pooled, 0.5), _quantile(pooled, 0.99))


def _quantile(pooled: Histogram, share: float) -> float:
    left = share * sum(pooled.values())
    low = 0.0
    for edge in sorted(pooled):
        low = max(low, edge * (1 - BUCKET))
        if pooled[edge] >= left:
            return low + (edge - low) * left / pooled[edge]
        left -= pooled[edge]
        low = edge
    return low


def run(work: Workload, workers: int, seconds: float, seed: int) -> Histogram:
    """Return how long deliveries waited in a run of a workload."""
    with _having_run(work, workers, seconds, seed) as bus:
        histogram, below = {}, 0
        for edge, up_to in bus.stats().queue_wait.buckets:
            histogram[edge] = up_to - below
            below = up_to
        return histogram


def ask(work: Workload, seconds: float) -> Advice:
    """Return the advice of a bus that has run a workload on the probe's workers."""
    with _having_run(work, work.probe, seconds, seed=0) as bus:
        return bus.advise(target_wait=work.target)


@contextmanager
def _having_run(work: Workload, workers: int, seconds: float, seed: int) -> Iterator[EventBus]:
    """Publish for so long at the workload's pace; what then is still queued, is dropped.

    The pace is open: each arrival is due at a time fixed before, and is late if the machine is.
    """
    rng = random.Random(seed)
    bus = EventBus(workers=workers, queue_size=ROOM, policy=BackpressurePolicy.REJECT)
    try:
        for kind in work.kinds:
            for place in range(len(kind.handlers)):
                bus.subscribe(kind.name, handler(place))
        began = time.monotonic()
        for due, events in takewhile(lambda arrival: arrival[0] < seconds, work.arrivals(rng)):
            time.sleep(max(0.0, began + due - time.monotonic()))
            for event in events:
                bus.publish(event, timeout=0)
        yield bus
    finally:
        bus.stop(drain=False)
