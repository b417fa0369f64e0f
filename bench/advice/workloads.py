"""The five workloads with which the adviser is put to the test, defined before they are run."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from brummerbus import Event

MS = 1e-3
Draw = Callable[[random.Random], float]


def exponential(mean: float) -> Draw:
    """Return what draws exponentially distributed seconds."""
    return lambda rng: rng.expovariate(1 / mean)


def nothing(_: random.Random) -> float:
    """Draw no time at all."""
    return 0.0


def mostly_short(rng: random.Random) -> float:
    """Draw 2 ms nine times of ten, and 50 ms once."""
    return 50 * MS if rng.random() < 0.1 else 2 * MS


def one(_: random.Random) -> int:
    """Draw one arrival at a time."""
    return 1


def about_five(rng: random.Random) -> int:
    """Draw the size of a burst that goes on four times of five."""
    size = 1
    while rng.random() < 0.8:
        size += 1
    return size


@dataclass(frozen=True)
class Workload:
    """Arrivals at random, and what their handler does."""

    name: str
    what: str
    rate: float
    """Deliveries a second."""
    blocked: Draw
    compute: Draw
    target: float
    """Seconds that 99 of 100 deliveries are to wait at most."""
    probe: int
    """Workers that the bus has when it is asked for advice."""
    batch: Callable[[random.Random], int] = one
    mean_batch: float = 1.0

    def arrivals(self, rng: random.Random) -> Iterator[tuple[float, int]]:
        """Yield when something arrives, in seconds from the beginning, and how much."""
        now = 0.0
        while True:
            now += rng.expovariate(self.rate / self.mean_batch)
            yield now, self.batch(rng)

    def event(self, rng: random.Random) -> Event:
        """Return an event that says how long its handler is to be blocked and to compute."""
        return Event(self.name, (self.blocked(rng), self.compute(rng)))


def handle(event: Event) -> None:
    """Be blocked, and compute: with the GIL held, until this thread has had the CPU so long."""
    blocked, compute = event.data
    if blocked:
        time.sleep(blocked)
    if compute:
        end = time.thread_time() + compute
        while time.thread_time() < end:
            pass


WORKLOADS = (
    Workload(
        "all waiting",
        "blocked for 10 ms on average, exponentially distributed",
        rate=240.0,
        blocked=exponential(10 * MS),
        compute=nothing,
        target=12 * MS,
        probe=12,
    ),
    Workload(
        "all computing",
        "computes for 10 ms on average, exponentially distributed",
        rate=40.0,
        blocked=nothing,
        compute=exponential(10 * MS),
        target=100 * MS,
        probe=4,
    ),
    Workload(
        "70/30",
        "blocked for 14 ms, then computes for 6 ms on average, as in the study",
        rate=66.0,
        blocked=exponential(14 * MS),
        compute=exponential(6 * MS),
        target=60 * MS,
        probe=8,
    ),
    Workload(
        "bimodal",
        "blocked for 2 ms, one of ten times for 50 ms",
        rate=320.0,
        blocked=mostly_short,
        compute=nothing,
        target=20 * MS,
        probe=12,
    ),
    Workload(
        "bursty",
        "as all waiting; arrivals come in bursts of 5 on average, of geometric size",
        rate=260.0,
        blocked=exponential(10 * MS),
        compute=nothing,
        target=25 * MS,
        probe=16,
        batch=about_five,
        mean_batch=5.0,
    ),
)
