"""A discrete-event simulation of deliveries, workers and compute servers, to check the formulas.

It uses no formula: deliveries arrive, queue for a worker in order of arrival, are blocked for some
time, and then compute at a station with several servers, first come first served or shared.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

_LEFT_OUT = 0.1
"""Fraction of the deliveries at the beginning that is not counted: the queue starts empty."""


@dataclass(frozen=True)
class Distribution:
    """A random variable, with its moments."""

    draw: Callable[[random.Random], float]
    mean: float
    variability: float
    """Squared coefficient of variation."""

    @property
    def dispersion(self) -> float:
        """E[x^2] / E[x]."""
        return self.mean * (1 + self.variability)


def constant(value: float) -> Distribution:
    """Return a distribution with a single value."""
    return Distribution(lambda rng: value, value, 0.0)


def exponential(mean: float) -> Distribution:
    """Return the exponential distribution."""
    return Distribution(lambda rng: rng.expovariate(1 / mean), mean, 1.0)


def bimodal(short: float, long: float, share_long: float) -> Distribution:
    """Return a distribution with two values."""
    mean = short + share_long * (long - short)
    square = short**2 + share_long * (long**2 - short**2)
    return Distribution(
        lambda rng: long if rng.random() < share_long else short, mean, square / mean**2 - 1
    )


def geometric(mean: float) -> Distribution:
    """Return burst sizes of geometric distribution: 1 and more."""
    scale = math.log(1 - 1 / mean)
    return Distribution(lambda rng: 1 + int(math.log(1 - rng.random()) / scale), mean, 1 - 1 / mean)


_ALONE = constant(1)


@dataclass(frozen=True)
class Workload:
    """The simulated system: arrivals, handlers, and what they share."""

    blocked: Distribution
    compute: Distribution
    servers: int = 1
    """Deliveries that compute concurrently."""
    batch: Distribution = _ALONE
    """Deliveries that arrive together."""
    shared: bool = False
    """Whether all deliveries share the compute servers, instead of first come first served."""
    regular: bool = False
    """Whether arrivals are equidistant instead of random."""

    @property
    def variability(self) -> float:
        """Squared coefficient of variation of blocked and compute time together."""
        parts = (self.blocked, self.compute)
        variance = sum(part.variability * part.mean**2 for part in parts)
        return variance / sum(part.mean for part in parts) ** 2

    def arrivals(self, rate: float, rng: random.Random) -> Iterator[float]:
        """Yield the time of each arrival."""
        now = 0.0
        pace = rate / self.batch.mean
        while True:
            now += 1 / pace if self.regular else rng.expovariate(pace)
            for _ in range(int(self.batch.draw(rng))):
                yield now


@dataclass(frozen=True)
class Observed:
    """The results of the simulation; times in seconds."""

    waits: list[float]
    """The queue wait of each delivery, sorted."""

    walls: list[float]
    """The handling time of each delivery."""

    utilization: float
    """Average fraction of the workers that was busy."""

    running: float
    """Average number of deliveries handled concurrently."""

    def quantile(self, share: float) -> float:
        """Return the wait that a fraction of the deliveries does not exceed."""
        return self.waits[int(share * (len(self.waits) - 1))]

    @property
    def mean_wait(self) -> float:
        """The mean queue wait."""
        return sum(self.waits) / len(self.waits)

    @property
    def wall(self) -> float:
        """The mean handling time."""
        return sum(self.walls) / len(self.walls)


def simulate(work: Workload, rate: float, workers: int, count: int, seed: int = 1) -> Observed:
    """Simulate deliveries with a number of workers; the same seed gives the same figures."""
    return _Run(work, workers, seed).observe(rate, count)


class _Station:
    """The compute servers; time at the station runs slower when many share them.

    A shared station finishes jobs in the order of `virtual time at arrival + work`; one that serves
    first come first served handles as many as it has servers, and queues the others.
    """

    def __init__(self, servers: int, *, shared: bool) -> None:
        self.servers = servers
        self.shared = shared
        self.working: list[tuple[float, int]] = []
        self.line: deque[tuple[float, int]] = deque()
        self.clock = 0.0
        self.updated = 0.0

    @property
    def pace(self) -> float:
        return min(1.0, self.servers / len(self.working)) if self.working else 1.0

    def add(self, now: float, work: float, job: int) -> None:
        self._advance(now)
        if self.shared or len(self.working) < self.servers:
            heapq.heappush(self.working, (self.clock + work, job))
        else:
            self.line.append((work, job))

    def next_end(self) -> float:
        if not self.working:
            return math.inf
        return self.updated + (self.working[0][0] - self.clock) / self.pace

    def finish(self, now: float) -> int:
        self._advance(now)
        _, job = heapq.heappop(self.working)
        if self.line:
            work, other = self.line.popleft()
            heapq.heappush(self.working, (self.clock + work, other))
        return job

    def _advance(self, now: float) -> None:
        self.clock += (now - self.updated) * self.pace
        self.updated = now


class _Run:
    """One simulation."""

    def __init__(self, work: Workload, workers: int, seed: int) -> None:
        self.work = work
        self.workers = workers
        self.rng = random.Random(seed)
        self.station = _Station(work.servers, shared=work.shared)
        self.queue: deque[int] = deque()
        self.blocked: list[tuple[float, int]] = []
        self.started: list[float] = []
        self.ended: list[float] = []
        self.idle = workers

    def observe(self, rate: float, count: int) -> Observed:
        """Run, and return the results without the beginning."""
        rng = random.Random(self.rng.random())
        arrived = list(islice(self.work.arrivals(rate, rng), count))
        self.started = [0.0] * count
        self.ended = [0.0] * count
        self._run(arrived)
        first = int(count * _LEFT_OUT)
        waits = [start - at for start, at in zip(self.started, arrived, strict=True)][first:]
        walls = [end - at for end, at in zip(self.ended, self.started, strict=True)][first:]
        running = sum(walls) / (self.ended[-1] - self.started[first])
        return Observed(sorted(waits), walls, running / self.workers, running)

    def _run(self, arrived: list[float]) -> None:
        after = 0
        left = len(arrived)
        while left:
            arrival = arrived[after] if after < len(arrived) else math.inf
            unblocked = self.blocked[0][0] if self.blocked else math.inf
            computed = self.station.next_end()
            now = min(arrival, unblocked, computed)
            if now == arrival:
                self.queue.append(after)
                after += 1
            elif now == unblocked:
                _, job = heapq.heappop(self.blocked)
                self.station.add(now, self.work.compute.draw(self.rng), job)
            else:
                self.ended[self.station.finish(now)] = now
                self.idle += 1
                left -= 1
            while self.idle and self.queue:
                self.idle -= 1
                self._begin(now, self.queue.popleft())

    def _begin(self, now: float, job: int) -> None:
        self.started[job] = now
        heapq.heappush(self.blocked, (now + self.work.blocked.draw(self.rng), job))
