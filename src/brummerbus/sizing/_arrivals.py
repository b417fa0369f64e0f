"""How events arrive, as a process that looks like what was measured, and arrivals drawn from it.

Events come at random; in bursts of geometric size if the shortest windows vary more than that,
more regularly if they vary less; and at a rate that changes from window to window (a modulated
Poisson process) if longer windows vary more still. What is known is the dispersion of the counts
in windows: variance over mean, 1 for single deliveries at random.
"""

import math
import random
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from brummerbus.sizing._moments import Moments, scaled, spread

SIGNIFICANT = 2.0
"""Standard errors by which a dispersion must differ to count."""

MIN_WINDOWS = 20
"""Windows from which on their variance is worth something: it is off by a third at most."""


class Kind(NamedTuple):
    """Events that make the same deliveries."""

    events: float
    """How many there were."""
    level: int
    handlers: tuple[int, ...]
    """Their places in the scenario, in the order of delivery."""


class Dispersion(NamedTuple):
    """Of the deliveries that arrived in windows of one length."""

    seconds: float
    windows: int
    """How many there were."""
    value: float


class Modulation(NamedTuple):
    """A rate that changes from window to window, independently."""

    seconds: float
    variance: float
    """Of the factor of the rate, whose mean is 1; it is gamma distributed."""


class ArrivalProcess(NamedTuple):
    """How events arrive."""

    rate: float
    """Events per second."""
    burst: float = 1.0
    """Mean of the events at a time."""
    regularity: float = 1.0
    """Squared coefficient of variation of the time between bursts; 0: like clockwork."""
    modulations: tuple[Modulation, ...] = ()
    dispersion: float = 1.0
    """Of the deliveries, in windows of 100 ms."""


def arrival_process(
    rate: float, kinds: Sequence[Kind], measured: Sequence[Dispersion]
) -> ArrivalProcess:
    """Return how events arrive if `rate` deliveries per second come with these dispersions.

    `measured` is of windows of 10 ms, 100 ms and 1 s, the shorter ones first. The dispersion of
    events at random is E[size^2] / E[size] of their deliveries; one that does not differ from that
    significantly, or from that of the next shorter windows, is taken to be the same.
    """
    events = math.fsum(kind.events for kind in kinds)
    size = math.fsum(kind.events * len(kind.handlers) for kind in kinds) / events
    square = math.fsum(kind.events * len(kind.handlers) ** 2 for kind in kinds) / events
    at_random = last = square / size
    values = []
    for scale in measured:
        error = SIGNIFICANT * math.sqrt(2 / max(scale.windows, 1)) * scale.value
        significant = scale.windows >= MIN_WINDOWS and abs(scale.value - last) > error
        # What varies less in longer windows is regular, unless it came in bursts: those stay.
        if significant and (scale.value > last or last <= at_random):
            last = scale.value
        values.append(last)
    values = values or [at_random]
    lengths = [scale.seconds for scale in measured] or [0.0]
    modulations = _modulations(rate, values, lengths)
    unmodulated = min(values) if values[0] < at_random else values[0]
    unmodulated -= (math.prod(1 + one.variance for one in modulations) - 1) * rate * lengths[0]
    # Bursts of g events have (2 g - 1) times the dispersion that events alone would add.
    alone = max(0.0, unmodulated - (square / size - size)) / size
    return ArrivalProcess(
        rate=rate / size,
        burst=max(1.0, (alone + 1) / 2),
        regularity=min(1.0, alone),
        modulations=modulations,
        dispersion=values[min(1, len(values) - 1)],
    )


def _modulations(
    rate: float, values: Sequence[float], lengths: Sequence[float]
) -> tuple[Modulation, ...]:
    """Return by how much the rate changes between windows of each length but the shortest.

    A rate whose factor has variance v adds v times the mean count to the dispersion in windows as
    long or longer, and in proportion to their length to that in shorter ones. Of the product of
    two factors the variance is (1 + v) (1 + w) - 1.
    """
    found: list[Modulation] = []
    product = 1.0
    for scale in range(len(values) - 1, 0, -1):
        long, short = lengths[scale], lengths[scale - 1]
        added = values[scale] - values[scale - 1] - (product - 1) * rate * (long - short)
        if added > 0:
            variance = added / (1 - short / long) / (rate * long) / product
            found.append(Modulation(long, variance))
            product *= 1 + variance
    return tuple(found)


def due_times(arrivals: ArrivalProcess, count: int, rng: random.Random) -> list[float]:
    """Return when each of so many events is due, rising, from 0; those of a burst are equal."""
    sizes = _burst_sizes(arrivals.burst, count, rng)
    gaps = spread(Moments(1.0, arrivals.regularity), len(sizes), rng)
    times = accumulate(scaled(gaps, count / arrivals.rate / len(sizes)))
    found = [time for time, size in zip(times, sizes, strict=True) for _ in range(size)]
    return _modulated(found, arrivals.modulations, rng) if arrivals.modulations else found


def _burst_sizes(mean: float, count: int, rng: random.Random) -> list[int]:
    if mean <= 1:
        return [1] * count
    scale = math.log1p(-1 / mean)
    sizes = []
    while count > 0:
        sizes.append(min(count, 1 + int(math.log1p(-rng.random()) / scale)))
        count -= sizes[-1]
    return sizes


def _modulated(
    due: list[float], modulations: Sequence[Modulation], rng: random.Random
) -> list[float]:
    """Return the times at which a rate that changes has brought as much as an even one."""
    step = min(one.seconds for one in modulations)
    rates = [1.0] * math.ceil(due[-1] / step)
    for one in modulations:
        length = round(one.seconds / step)
        for first in range(0, len(rates), length):
            factor = rng.gammavariate(1 / one.variance, one.variance)
            rates[first : first + length] = [
                rate * factor for rate in rates[first : first + length]
            ]
    rates = scaled(rates, 1.0) if any(rates) else [1.0] * len(rates)
    found, window, brought = [], 0, 0.0
    for even in due:
        while window < len(rates) - 1 and brought + rates[window] * step < even:
            brought += rates[window] * step
            window += 1
        late = (even - brought) / rates[window] if rates[window] else step
        found.append((window + min(1.0, late / step)) * step)
    return found
