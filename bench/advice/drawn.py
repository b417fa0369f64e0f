"""Workloads drawn at random by a seed: ones that nobody has chosen."""

import math
import random
from dataclasses import replace
from itertools import count, islice

from bench.advice.workloads import (
    MS,
    Handling,
    Kind,
    Times,
    Workload,
    constant,
    either,
    exponential,
    geometric,
    lognormal,
    nothing,
    one,
)

MOST_COMPUTING = 0.4
"""Share of the GIL that handlers may take: with more, no number of workers may be enough."""

DELIVERIES = 80.0, 500.0
"""Per second: enough for p99 to show within a minute, not too many for any machine."""


def drawn(seed: int, number: int) -> list[Workload]:
    """Return `number` workloads; those of a seed are the same, whatever the number."""
    possible = (_workload(random.Random(f"{seed}/{place}"), seed, place) for place in count(1))
    found = islice(filter(_in_bounds, possible), number)
    return [replace(one, name=f"random {seed}/{n}") for n, one in enumerate(found, start=1)]


def _in_bounds(work: Workload) -> bool:
    least, most = DELIVERIES
    computing = sum(kind.rate * part.compute.mean for kind in work.kinds for part in kind.handlers)
    deliveries = sum(kind.rate * len(kind.handlers) for kind in work.kinds)
    return computing <= MOST_COMPUTING and least <= deliveries <= most


def _workload(rng: random.Random, seed: int, place: int) -> Workload:
    kinds = [(rng.uniform(0.1, 1.0), _handlers(rng)) for _ in range(rng.choice((1, 2, 3)))]
    busy = rng.uniform(1.0, 5.0)
    burst = rng.choice((1.0, 1.0, rng.uniform(2.0, 4.0)))
    weight = sum(share * sum(map(_mean, handlers)) for share, handlers in kinds)
    named = tuple(
        Kind(f"{seed}/{place}{name}", share * busy / weight, handlers)
        for name, (share, handlers) in zip("abc", kinds, strict=False)
    )
    deliveries = sum(kind.rate * len(kind.handlers) for kind in named)
    return Workload(
        "random",
        _described(named, burst),
        named,
        target=rng.uniform(0.5, 2.5) * busy / deliveries,
        probe=2 * math.ceil(busy) + 4,
        batch=geometric(burst) if burst > 1 else one,
        mean_batch=burst,
    )


def _handlers(rng: random.Random) -> tuple[Handling, ...]:
    return tuple(_handling(rng) for _ in range(rng.choice((1, 1, 2, 3))))


def _handling(rng: random.Random) -> Handling:
    """Draw a handler of three that is blocked only, computes only, or does both."""
    blocked, compute = _times(rng, 2 * MS, 40 * MS), _times(rng, 0.2 * MS, 3 * MS)
    return rng.choice(
        (
            Handling(blocked),
            Handling(blocked),
            Handling(blocked, compute),
            Handling(nothing, compute),
        )
    )


def _times(rng: random.Random, least: float, most: float) -> Times:
    mean = math.exp(rng.uniform(math.log(least), math.log(most)))
    share = rng.uniform(0.02, 0.2)
    long = mean * rng.uniform(2.0, 6.0)
    return rng.choice(
        (
            constant(mean),
            exponential(mean),
            lognormal(mean, rng.uniform(0.5, 2.0)),
            either((mean - share * long) / (1 - share), long, share)
            if share * long < mean
            else constant(mean),
        )
    )


def _mean(handler: Handling) -> float:
    return handler.blocked.mean + handler.compute.mean


def _described(kinds: tuple[Kind, ...], burst: float) -> str:
    text = "; ".join(
        f"{kind.rate:.3g} events per second for {' and '.join(map(_shown, kind.handlers))}"
        for kind in kinds
    )
    return f"{text}{f'; in bursts of {burst:.2g} on average' if burst > 1 else ''}"


def _shown(handler: Handling) -> str:
    parts = (("blocked", handler.blocked), ("computing", handler.compute))
    return "a handler " + ", then ".join(
        f"{what} for {times.mean / MS:.3g} ms ({times.how})" for what, times in parts if times.mean
    )
