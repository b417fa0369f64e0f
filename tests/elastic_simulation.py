"""A pool in virtual time, as an `AutoscalePolicy` observes it: a flow of work, without randomness.

In each millisecond some work arrives and some is done: each worker that has a delivery completes
`1 / service` of one per second, and all together no more than the compute servers allow.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from brummerbus.sizing._autoscale import AutoscalePolicy, LoadSample

TICK = 0.001
CORES = 2.0


@dataclass
class Handler:
    """Duration of a delivery, in seconds."""

    wait: float
    compute: float = 0.0


@dataclass
class Pool:
    """A pool from its start."""

    policy: AutoscalePolicy
    workers: int
    handler: Handler
    capacity: int = 320
    others: float = 0.0  # cores of the machine used by other processes
    time: float = 0.0
    queued: float = 0.0
    dropped: float = 0.0
    arrived: float = 0.0
    looks: int = 0
    sizes: list[tuple[float, int]] = field(default_factory=list)
    _arrivals: deque[tuple[float, float]] = field(default_factory=deque)

    def run(self, rate: Callable[[float], float], seconds: float) -> "Pool":
        """Have deliveries arrive for some time, `rate(time)` per second."""
        end = self.time + seconds
        next_look, computed, looked = self.time, 0.0, self.time - 1.0
        while self.time < end:
            arriving = rate(self.time) * TICK
            self.arrived += arriving
            self._arrivals.append((self.time, self.arrived - self.dropped))
            done, running = self._work(arriving)
            computed += done * self.handler.compute
            self.time += TICK
            if self.time >= next_look:
                sample = self._read(running, computed / (self.time - looked))
                computed, looked = 0.0, self.time
                decision = self.policy.decide(sample)
                self.looks += 1
                if decision is not None:
                    self.workers = decision[0]
                    self.sizes.append((self.time, self.workers))
                next_look = self.time + self.policy.interval(sample)
        return self

    def _work(self, arriving: float) -> tuple[float, int]:
        """Do the work of one tick: the deliveries completed, and the number of busy workers."""
        handler = self.handler
        there = self.queued + arriving
        possible = self.workers * TICK / (handler.wait + handler.compute)
        if handler.compute:
            possible = min(possible, TICK / handler.compute)  # one server: a GIL
        done = min(there, possible)
        self.queued = there - done
        self.dropped += max(0.0, self.queued - self.capacity)
        self.queued = min(self.queued, self.capacity)
        busy = self.workers if self.queued else round(self.workers * done / possible)
        return done, busy

    def _read(self, running: int, used: float) -> LoadSample:
        handler = self.handler
        share = handler.wait / (handler.wait + handler.compute)
        return LoadSample(
            time=self.time,
            queued=int(self.queued),
            capacity=self.capacity,
            running=running,
            workers=self.workers,
            processing_time=handler.wait + handler.compute,
            cpu_free=max(0.0, CORES - used - self.others),
            cpu_used=used,
            compute_servers=1,
            wait_share=share,
            oldest_wait=self._oldest_wait(),
        )

    def _oldest_wait(self) -> float:
        """Return how long ago the oldest pending delivery arrived."""
        done = self.arrived - self.dropped - self.queued
        while self._arrivals and self._arrivals[0][1] <= done:
            self._arrivals.popleft()
        return self.time - self._arrivals[0][0] if self.queued >= 1 and self._arrivals else 0.0

    @property
    def turns(self) -> int:
        """How often growing followed shrinking, or vice versa."""
        numbers = [size for _, size in self.sizes]
        ups = [after > before for before, after in pairwise(numbers)]
        return sum(a != b for a, b in pairwise(ups))
