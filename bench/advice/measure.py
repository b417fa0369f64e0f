"""Run a workload on a number of workers, and ask the bus for advice."""

import random
import sys
import time
from typing import NamedTuple

from bench.advice.workloads import Workload, handle
from brummerbus import Advice, BackpressurePolicy, EventBus

ROOM = 100_000
"""Places in the queue: too many to fill, for the model knows a queue without an end."""

PUNCTUAL = 0.0005
"""Seconds of the interpreter's switch interval during a run.

With the default of 5 ms a publisher waits as long for the GIL while a handler computes, twice as
long if two do. Part of the wait then comes before publishing, where no queue can see it.
"""


class Waits(NamedTuple):
    """How long deliveries waited in the queue, in seconds."""

    p50: float
    p99: float


def run(work: Workload, workers: int, deliveries: int, seed: int) -> tuple[Waits, Advice]:
    """Publish so many deliveries at the workload's pace; what then is still queued, is dropped.

    The pace is open: each arrival is due at a time fixed before, and is late if the machine is.
    """
    rng = random.Random(seed)
    default = sys.getswitchinterval()
    sys.setswitchinterval(PUNCTUAL)
    bus = EventBus(workers=workers, queue_size=ROOM, policy=BackpressurePolicy.REJECT)
    try:
        bus.subscribe(work.name, handle)
        began, published = time.monotonic(), 0
        for due, size in work.arrivals(rng):
            if published >= deliveries:
                break
            published += size
            events = [work.event(rng) for _ in range(size)]
            time.sleep(max(0.0, began + due - time.monotonic()))
            for event in events:
                bus.publish(event, timeout=0)
        wait = bus.stats().queue_wait
        return Waits(wait.p50, wait.p99), bus.advise(target_wait=work.target)
    finally:
        bus.stop(drain=False)
        sys.setswitchinterval(default)
