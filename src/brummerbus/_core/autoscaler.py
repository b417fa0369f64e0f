"""Resizes an elastic pool: samples queue and machine, and applies the policy's decisions."""

import sys
from collections.abc import Callable
from time import process_time

from brummerbus._config import EventBusConfig
from brummerbus._core.queue import Queue, clock
from brummerbus.sizing._autoscale import IDLE_INTERVAL, AutoscalePolicy, LoadSample
from brummerbus.sizing._host import available_cores, compute_servers, idle_and_total

Resize = Callable[[int, str], object]
"""Sets the number of workers of an elastic pool, for a reason."""


class Autoscaler:
    """Passes samples of the queue and the machine to the policy, and applies its decisions."""

    def __init__(self, config: EventBusConfig, queue: Queue, resize: Resize) -> None:
        self._queue = queue
        self._resize = resize
        self._policy = AutoscalePolicy(config.min_workers, config.max_workers)
        self._cores = available_cores()
        self._handling = self._compute = 0
        self._sampled = clock()
        self._process_time = process_time()
        self._idle_and_total = idle_and_total()

    def __call__(self) -> float:
        """Sample; returns the seconds until the next sample."""
        if sys.is_finalizing():
            return IDLE_INTERVAL
        sample = self._read()
        decision = self._policy.decide(sample)
        if decision is not None:
            self._resize(*decision)
        return self._policy.interval(sample)

    def _read(self) -> LoadSample:
        snapshot = self._queue.snapshot()
        now, used = clock(), process_time()
        seconds, computed = (now - self._sampled) * 1e-9, used - self._process_time
        self._sampled, self._process_time = now, used
        return LoadSample(
            time=now * 1e-9,
            queued=snapshot.total.queued,
            capacity=self._queue.capacity,
            running=snapshot.total.running,
            workers=self._queue.wanted(),
            processing_time=snapshot.processing_average * 1e-9,
            cpu_free=self._cores * self._idle_share(),
            cpu_used=computed / seconds if seconds > 0 else 0.0,
            compute_servers=compute_servers(),
            wait_share=self._wait_share(snapshot.timer.wall, snapshot.timer.cpu),
            oldest_wait=snapshot.oldest * 1e-9,
        )

    def _idle_share(self) -> float:
        """Return the fraction of the machine that was idle since the last sample."""
        idle, total = idle_and_total()
        idle_before, total_before = self._idle_and_total
        self._idle_and_total = idle, total
        passed = total - total_before
        return min(1.0, max(0.0, (idle - idle_before) / passed)) if passed > 0 else 1.0

    def _wait_share(self, handling: int, compute: int) -> float:
        """Return the fraction of the handling time since the last sample that was not CPU time."""
        spent, computed = handling - self._handling, compute - self._compute
        self._handling, self._compute = handling, compute
        return 1 - computed / spent if spent > 0 else 1.0  # no handler ended
