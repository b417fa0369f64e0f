"""Queue wait as a function of the number of workers: the adviser's arithmetic.

A delivery arrives, waits for a worker, and is then handled: it is blocked for some time and
computes for some time. There are many workers, but few compute servers: under a GIL one, which all
workers share, without a GIL the cores. So the model has two levels.

1. Inside: `k` busy workers are the machine repairman's closed network. Each is blocked for
   `wait` seconds, then queues for one of the compute servers. Mean value analysis gives their joint
   throughput in deliveries per second, X(k): Reiser, Lavenberg: Mean-Value Analysis of Closed
   Multichain Queuing Networks, JACM 27 (1980).
2. Outside: all workers together are one server that completes X(n) per second while `n` deliveries
   are present, and X(workers) while there are more: a flow-equivalent server. Chandy, Herzog, Woo:
   Parametric Analysis of Queuing Networks, IBM J. R&D 19 (1975). With nothing to compute, and
   exponential times, this is M/M/c, and the result is exactly Erlang C.

Other distributions enter by two moments, after Allen and Cunneen: conditional on waiting, the wait
scales by (Ca2 + Cs2) / 2 and is exponentially distributed (Allen: Probability, Statistics, and
Queueing Theory, 2nd ed. 1990). tests/test_queueing.py compares the model with a simulation.

A free worker needs the GIL before it takes a delivery: `_gil_wait` adds that wait.

Not modelled: other resources that handlers share (a lock, a disk, a connection), priorities (they
reorder waits, but do not change their mean), and drops: the queue is unbounded.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import count, islice
from typing import Literal

from brummerbus._arguments import MAX_WORKERS, check_int, shown
from brummerbus.sizing._gil_wait import GilWait

__all__ = [
    "Load",
    "Prediction",
    "binding",
    "blocked_time",
    "computing_p99",
    "min_workers",
    "predict",
    "textbook_workers",
]

SATURATED = 0.95
"""Fraction of the compute limit from which on the compute servers, not the workers, bind."""


@dataclass(frozen=True)
class Load:
    """The workers' load, in seconds and deliveries per second."""

    rate: float
    """Deliveries per second, above 0."""
    compute: float
    """Mean CPU seconds of a delivery, divided by 1 - u if other threads use a share u."""
    wait: float
    """Mean seconds that a delivery is blocked: I/O or sleep, not waiting for GIL, CPU or queue."""
    service_variability: float = 1.0
    """Squared coefficient of variation of the handling time; 0: constant, 1: exponential."""
    arrival_variability: float = 1.0
    """Index of dispersion of the arrivals' counts; 0: regular, 1: Poisson, above: bursts.

    Variance of the deliveries in intervals of equal length, divided by their mean; intervals much
    longer than a burst. Random batches have E[size^2] / E[size]; an event with 5 handlers has 5.
    """
    compute_servers: int = 1
    """Deliveries that can compute concurrently: 1 under a GIL, else the cores."""
    compute_variability: float = 1.0
    """Squared coefficient of variation of the CPU seconds."""
    turn: float = 0.0
    """The GIL's switch interval in seconds, `sys.getswitchinterval()`.

    0: a free worker takes immediately, as without a GIL. Used with one compute server only.
    """

    def __post_init__(self) -> None:
        """Check every field."""
        check_int("compute_servers", self.compute_servers, 1)
        for field in fields(self):
            if field.name != "compute_servers":
                _check(field.name, getattr(self, field.name), above=field.name == "rate")
        if self.compute + self.wait < 1e-18:
            raise ValueError("compute and wait must not both be 0")

    @property
    def compute_limit(self) -> float:
        """Maximum deliveries per second of any number of workers; infinite if nothing computes."""
        return self.compute_servers / self.compute if self.compute else math.inf


@dataclass(frozen=True)
class Prediction:
    """How a number of workers copes with a load; times in seconds, infinite if it is overloaded."""

    workers: int
    """The number of workers."""
    utilization: float
    """Average fraction of the workers that is busy, waiting for a compute server included."""
    compute_utilization: float
    """Average fraction of the compute servers that is busy."""
    mean_wait: float
    """Mean queue wait over all deliveries, those that do not wait included."""
    p50_wait: float
    """Median queue wait."""
    p99_wait: float
    """99th percentile of the queue wait."""
    sustainable_rate: float
    """Deliveries per second that these workers complete while the queue is never empty."""


def predict(load: Load, workers: int) -> Prediction:
    """Return the prediction for a number of workers, an int of at least 1."""
    check_int("workers", workers, 1)
    return next(islice(_predictions(load), workers - 1, None))


def min_workers(load: Load, target_wait: float, maximum: int = MAX_WORKERS) -> int | None:
    """Return the smallest number of workers whose p99 queue wait is at most a target, in seconds.

    None if no number up to `maximum` reaches it, and if `computing_p99` exceeds it: more workers
    would then only move the wait into the handlers, which wait for the GIL or a core.
    """
    _check("target_wait", target_wait)
    check_int("maximum", maximum, 1)
    if computing_p99(load) > target_wait:
        return None
    reached = (p for p in islice(_predictions(load), maximum) if p.p99_wait <= target_wait)
    return next((prediction.workers for prediction in reached), None)


def computing_p99(load: Load) -> float:
    """Return p99 of the wait for a compute server if a worker is always free, in seconds.

    No number of workers avoids it. It is the same model without blocking.
    """
    if not load.compute:
        return 0.0
    alone = replace(load, wait=0.0, service_variability=load.compute_variability)
    return predict(alone, load.compute_servers).p99_wait


def binding(load: Load, workers: int) -> Literal["compute", "workers"]:
    """Return what limits the rate: `"compute"`, if more workers do not help, or `"workers"`.

    Computing binds if the load exceeds the compute servers' capacity, or if these workers already
    sustain 95 % of the maximum rate.
    """
    sustained = predict(load, workers).sustainable_rate
    limit = load.compute_limit
    return "compute" if load.rate >= limit or sustained >= SATURATED * limit else "workers"


def textbook_workers(cores: float, utilization: float, wait: float, compute: float) -> float:
    """Return `cores * utilization * (1 + wait / compute)`, infinite if nothing computes.

    Goetz et al.: Java Concurrency in Practice (2006), section 8.2. That many workers keep the cores
    at that utilisation while there is work; neither the rate nor the queue wait is considered.
    Under a GIL, `cores` is 1.
    """
    _check("cores", cores, above=True)
    _check("utilization", utilization, above=True)
    _check("wait", wait)
    _check("compute", compute)
    return cores * utilization * (1 + wait / compute) if compute else math.inf


def blocked_time(
    wall: float,
    compute: float,
    running: float,
    compute_servers: int = 1,
    utilization_of_others: float = 0.0,
    *,
    workers: int | None = None,
    arrival_variability: float = 1.0,
    compute_variability: float = 1.0,
) -> float:
    """Return the part of the handlers' mean wall time for which they are truly blocked, in seconds.

    The rest is CPU time and waiting for a compute server. The result, from 0 to `wall - compute`,
    is the value for which `predict` finds the measured average of `running` deliveries (rate x
    wall); if the compute servers are always busy, any value would do. `utilization_of_others` is
    the fraction of them that other threads used, `workers` the size of the pool, None if it was
    rarely fully used.
    """
    _check("wall", wall)
    _check("compute", compute)
    _check("running", running, maximum=MAX_WORKERS)
    _check("utilization_of_others", utilization_of_others, maximum=1)
    low, high = 0.0, max(wall - compute, 0.0)
    if not (running and compute) or high < 1e-9:
        return high
    workers = max(math.ceil(running), workers or 64 + 4 * math.ceil(running))
    load = Load(
        rate=running / wall,
        compute=min(compute / max(1 - utilization_of_others, 1e-9), wall),
        wait=high,
        arrival_variability=arrival_variability,
        compute_servers=compute_servers,
        compute_variability=compute_variability,
    )
    while high - low > 1e-6 * wall:
        wait = (low + high) / 2
        busy = predict(replace(load, wait=wait), workers).utilization * workers
        low, high = (wait, high) if busy < running * (1 - 1e-9) else (low, wait)
    return high


def _predictions(load: Load) -> Iterator[Prediction]:
    """Yield the prediction for 1 worker, for 2, and so on, endlessly.

    `level` is the weight of the state with as many deliveries as workers, by the balance of the
    flows up to and down from it, `arriving / batch` the flow up from all states below. Bursts are
    modelled as batches of geometric size, whose mean follows from the measured dispersion: the
    weight of each state below is reduced by `1 - 1 / batch`. Then the number of deliveries beyond
    the workers is geometric too.
    """
    batch = max(1.0, (load.arrival_variability + 1) / 2)
    arriving = total = spread = 1.0
    busy = before = 0.0
    residue = load.compute * (1 + load.compute_variability) / 2
    for workers, (completed, contended) in enumerate(_throughput(load), start=1):
        traffic = min(load.rate / completed, 1e9)  # keeps the weights in the range of a float
        level = traffic ** (1 / spread) * arriving / batch
        arriving = (1 - 1 / batch) * arriving + level
        # Where computing is contended, the distribution of the number of deliveries decays as that
        # of M/G/1, by diffusion (Kobayashi, JACM 21, 1974), not as traffic^n. `lift` keeps the
        # weights consistent: a single worker, or compute server, is idle for 1 - traffic.
        spread = 1 + contended**2 * (load.compute_variability - 1) / 2
        decay = traffic ** (1 / spread)
        lift = 1 / spread if abs(traffic - 1) < 1e-6 else (1 - decay) / (1 - traffic)
        total += lift * level
        busy += workers * lift * level
        if total > 1e100:
            arriving, total, busy = arriving / total, 1.0, busy / total
        computing, before = contended * before, contended  # one worker alone has no contention
        used = min(load.rate, completed) / load.compute_limit
        if decay >= 1:
            yield Prediction(workers, 1.0, used, math.inf, math.inf, math.inf, completed)
            continue
        waiting = lift * arriving / (1 - decay)
        beyond = decay * waiting
        waits = min(1.0, waiting / (total + beyond))
        # One worker is free; without a GIL, or with several compute servers, none is ahead of it.
        ahead = workers - 1 if load.compute_servers == 1 else 0
        gil = GilWait(load.turn, used, residue, ahead)
        wait = _wait(load, waits, completed, computing, gil)
        utilization = min(1.0, (busy / workers + beyond) / (total + beyond))
        yield Prediction(workers, utilization, used, *wait, completed)


def _wait(
    load: Load, waits: float, completed: float, computing: float, gil: GilWait
) -> tuple[float, float, float]:
    """Return mean, p50 and p99 of the wait, if a fraction `waits` of the deliveries waits.

    The departures are as variable as the handling time if the workers bind, and as the CPU time if
    computing binds; in between they are weighted by `computing`, a utilisation squared: Whitt: The
    Queueing Network Analyzer, BSTJ 62 (1983). The correction for regular arrivals is from the same
    source, after Kraemer and Langenbach-Belz (1976).
    """
    service = load.service_variability
    service += computing * (load.compute_variability - service)
    both = load.arrival_variability + service
    if load.arrival_variability < 1 and both:
        idle = completed / load.rate - 1
        waits *= math.exp(-2 / 3 * idle * (1 - load.arrival_variability) ** 2 / both)
    scale = both / 2 / (completed - load.rate)
    p50, p99 = (_quantile(waits, scale, gil, share) for share in (0.5, 0.01))
    return waits * scale + (1 - waits) * gil.mean, p50, p99


def _quantile(waits: float, scale: float, gil: GilWait, share: float) -> float:
    """Return the wait, for a worker or for the GIL, that a fraction of the deliveries exceeds."""
    low = scale * math.log(max(1.0, waits / share))
    if not gil.beyond(low):
        return low
    high = low + gil.ahead * gil.turn
    while high - low > 1e-3 * high:
        wait = (low + high) / 2
        queued = waits * math.exp(-wait / scale) if scale else 0.0
        enough = queued + (1 - waits) * gil.beyond(wait) <= share
        low, high = (low, wait) if enough else (wait, high)
        if high < 1e-7:
            return 0.0
    return high


def _throughput(load: Load) -> Iterator[tuple[float, float]]:
    """Yield for 1 busy worker, 2, and so on: completions per second, fraction of contended time.

    Mean value analysis of a station with several servers, exact for exponential CPU times. More
    regular ones have a shorter residue when the next arrives (Reiser, IEEE Trans. Comm. 27, 1979).
    Less regular ones do not have a longer one here: during it few workers are left to arrive.
    """
    servers = load.compute_servers
    # few[j]: the probability of j deliveries at the station. That of 0 is computed by its product
    # form: as 1 minus the others it would lose all digits when the station is busy.
    few = [1.0] + [0.0] * (servers - 1)
    there = contended = completed = 0.0
    for workers in count(1):
        free = sum((servers - 1 - j) * share for j, share in enumerate(few))
        residue = contended * (min(1.0, load.compute_variability) - 1) / 2
        station = load.compute / servers * (1 + there + free + residue)
        cycle = max(load.wait + max(station, load.compute), workers / load.compute_limit)
        if completed:
            cycle = min(cycle, workers / completed)  # one more worker never completes less
        completed = workers / cycle
        there = completed * (cycle - load.wait)
        # All servers are busy: Sakasegawa, Ann. Inst. Statist. Math. 29 (1977); exact for one.
        busy = min(1.0, completed / load.compute_limit)
        contended = busy ** (math.sqrt(2 * (servers + 1)) - 1)
        for j in range(servers - 1, 0, -1):
            few[j] = completed * load.compute / j * few[j - 1]
        few[0] *= completed * load.wait / workers
        yield completed, contended


def _check(name: str, value: object, *, above: bool = False, maximum: float = 1e12) -> None:
    """Raise unless the value is a number from 0, or above it, to `maximum`."""
    bounds = "above 0 and at most" if above else "from 0 to"
    wanted = f"{name} must be a number {bounds} {maximum:g}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{wanted}, got {shown(value)}")
    if not 0 <= value <= maximum or (above and value == 0):
        raise ValueError(f"{wanted}, got {shown(value)}")
