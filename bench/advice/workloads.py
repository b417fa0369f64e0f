"""The workloads with which the adviser is put to the test, defined before they are run."""

import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from brummerbus import Event

MS = 1e-3


@dataclass(frozen=True)
class Times:
    """How long something takes: a distribution."""

    mean: float
    """In seconds."""
    how: str
    """Its name."""
    draw: Callable[[random.Random], float]


def exponential(mean: float) -> Times:
    """Return exponentially distributed times."""
    return Times(mean, "exponential", lambda rng: rng.expovariate(1 / mean))


def constant(seconds: float) -> Times:
    """Return the same time again and again."""
    return Times(seconds, "constant", lambda _: seconds)


def lognormal(mean: float, variation: float) -> Times:
    """Return lognormal times; `variation` is the coefficient of variation."""
    sigma = math.sqrt(math.log1p(variation**2))

    def draw(rng: random.Random) -> float:
        return mean * rng.lognormvariate(-(sigma**2) / 2, sigma)

    return Times(mean, f"lognormal, coefficient of variation {variation:.2g}", draw)


def either(short: float, long: float, share_long: float) -> Times:
    """Return one of two times."""

    def draw(rng: random.Random) -> float:
        return long if rng.random() < share_long else short

    mean = short + share_long * (long - short)
    return Times(mean, f"{share_long:.0%} {long / MS:.3g} ms, else {short / MS:.3g} ms", draw)


nothing = constant(0.0)


def one(_: random.Random) -> int:
    """Draw one event at a time."""
    return 1


def geometric(mean: float) -> Callable[[random.Random], int]:
    """Return what draws the sizes of bursts."""

    def draw(rng: random.Random) -> int:
        size = 1
        while rng.random() < 1 - 1 / mean:
            size += 1
        return size

    return draw


@dataclass(frozen=True)
class Handling:
    """What a handler does: it is blocked, and then computes."""

    blocked: Times
    compute: Times = nothing


@dataclass(frozen=True)
class Kind:
    """Events of one type, at random."""

    name: str
    rate: float
    """Events per second."""
    handlers: tuple[Handling, ...]
    """One subscription each."""

    def event(self, rng: random.Random) -> Event:
        """Return an event that says how long each handler is to be blocked and to compute."""
        times = [(one.blocked.draw(rng), one.compute.draw(rng)) for one in self.handlers]
        return Event(self.name, times)


@dataclass(frozen=True)
class Workload:
    """Arrivals at random, and what their handlers do."""

    name: str
    what: str
    kinds: tuple[Kind, ...]
    target: float
    """Seconds that 99 of 100 deliveries are to wait at most."""
    probe: int
    """Workers that the bus has when it is asked for advice."""
    batch: Callable[[random.Random], int] = one
    """How many events arrive at once."""
    mean_batch: float = 1.0

    def arrivals(self, rng: random.Random) -> Iterator[tuple[float, list[Event]]]:
        """Yield when something arrives, in seconds from the beginning, and what."""
        now = 0.0
        rates = [kind.rate for kind in self.kinds]
        while True:
            now += rng.expovariate(sum(rates) / self.mean_batch)
            kinds = rng.choices(self.kinds, rates, k=self.batch(rng))
            yield now, [kind.event(rng) for kind in kinds]


def handler(place: int) -> Callable[[Event], None]:
    """Return the handler of a place: it is blocked, and computes with the GIL held.

    It computes until its thread has had the CPU for so long.
    """

    def handle(event: Event) -> None:
        blocked, compute = event.data[place]
        if blocked:
            time.sleep(blocked)
        if compute:
            end = time.thread_time() + compute
            while time.thread_time() < end:
                pass

    return handle


def alone(name: str, rate: float, blocked: Times, compute: Times = nothing) -> tuple[Kind, ...]:
    """Return one kind of event with one handler."""
    return (Kind(name, rate, (Handling(blocked, compute),)),)


WORKLOADS = (
    Workload(
        "all waiting",
        "blocked for 10 ms on average, exponentially distributed",
        alone("all waiting", 240.0, exponential(10 * MS)),
        target=12 * MS,
        probe=12,
    ),
    Workload(
        "all computing",
        "computes for 10 ms on average, exponentially distributed",
        alone("all computing", 40.0, nothing, exponential(10 * MS)),
        target=100 * MS,
        probe=4,
    ),
    Workload(
        "70/30",
        "blocked for 14 ms, then computes for 6 ms on average, as in the study",
        alone("70/30", 66.0, exponential(14 * MS), exponential(6 * MS)),
        target=60 * MS,
        probe=8,
    ),
    Workload(
        "bimodal",
        "blocked for 2 ms, one of ten times for 50 ms",
        alone("bimodal", 320.0, either(2 * MS, 50 * MS, 0.1)),
        target=20 * MS,
        probe=12,
    ),
    Workload(
        "bursty",
        "as all waiting; arrivals come in bursts of 5 on average, of geometric size",
        alone("bursty", 260.0, exponential(10 * MS)),
        target=25 * MS,
        probe=16,
        batch=geometric(5.0),
        mean_batch=5.0,
    ),
    Workload(
        "lognormal",
        "blocked for 8 ms on average, lognormal with a coefficient of variation of 1.5",
        alone("lognormal", 250.0, lognormal(8 * MS, 1.5)),
        target=10 * MS,
        probe=10,
    ),
    Workload(
        "three handlers",
        "each event has three: one is blocked for 4 ms, one computes for 1.2 ms, one is blocked "
        "for 12 ms on average (lognormal, coefficient of variation 1)",
        (
            Kind(
                "three handlers",
                120.0,
                (
                    Handling(constant(4 * MS)),
                    Handling(nothing, constant(1.2 * MS)),
                    Handling(lognormal(12 * MS, 1.0)),
                ),
            ),
        ),
        target=15 * MS,
        probe=10,
    ),
    Workload(
        "rare and slow",
        "300 events per second that are blocked for 3 ms, and 8 for 150 ms",
        (
            Kind("quick", 300.0, (Handling(constant(3 * MS)),)),
            Kind("slow", 8.0, (Handling(constant(150 * MS)),)),
        ),
        target=30 * MS,
        probe=10,
    ),
    Workload(
        "equal",
        "blocked for 6 ms, then computes for 1 ms, the same each time",
        alone("equal", 300.0, constant(6 * MS), constant(1 * MS)),
        target=10 * MS,
        probe=8,
    ),
)
