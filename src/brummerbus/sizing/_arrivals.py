"""Arrival processes fitted to measured dispersions, and arrivals drawn from them.

Measured are the counts of deliveries in windows of several lengths. Their dispersion is variance
over mean: 1 for single deliveries at random (Poisson). The process has events at random; in bursts
of geometric size if the shortest windows disperse more, at more regular intervals if they disperse
less; and a rate that changes from window to window (a modulated Poisson process) if longer windows
disperse more still.
"""

import math
import random
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from brummerbus.sizing._moments import Moments, scaled, spread

SIGNIFICANT = 2.0
"""Difference between dispersions, in standard errors, from which on it is significant."""

MIN_WINDOWS = 20
"""Minimum number of windows; the standard error of their dispersion is then a third."""

MIN_COUNT = 0.5
"""Minimum of the mean count: what arrives within windows with fewer deliveries is a burst."""


class Kind(NamedTuple):
    """Events with the same deliveries."""

    events: float
    """Number of events, as a weight."""
    level: int
    handlers: tuple[int, ...]
    """Indexes of the recipients' handlers in the scenario, in the order of delivery."""


class Dispersion(NamedTuple):
    """Dispersion of the deliveries in windows of one length."""

    seconds: float
    windows: int
    """Number of windows."""
    value: float


class Modulation(NamedTuple):
    """A rate with an independent random factor in each window."""

    seconds: float
    variance: float
    """Variance of the factor, which is gamma distributed with mean 1."""


class ArrivalProcess(NamedTuple):
    """Arrivals of events."""

    rate: float
    """Events per second."""
    burst: float = 1.0
    """Mean number of events at the same time."""
    regularity: float = 1.0
    """Squared coefficient of variation of the time between bursts; 0: like clockwork."""
    modulations: tuple[Modulation, ...] = ()
    dispersion: float = 1.0
    """Of the deliveries in windows of 100 ms."""


def arrival_process(
    rate: float, kinds: Sequence[Kind], measured: Sequence[Dispersion]
) -> ArrivalProcess:
    """Return the process of `rate` deliveries per second with the measured dispersions.

    `measured` is for windows of 10 ms, 100 ms and 1 s, in this order. Events at random have a
    dispersion of E[size^2] / E[size], size being the deliveries of an event. A dispersion that does
    not differ significantly from that, or from that of the next shorter windows, is taken to be
    the same.
    """
    measured = [one for one in measured if rate * one.seconds >= MIN_COUNT] or measured[-1:]
    events = math.fsum(kind.events for kind in kinds)
    size = math.fsum(kind.events * len(kind.handlers) for kind in kinds) / events
    square = math.fsum(kind.events * len(kind.handlers) ** 2 for kind in kinds) / events
    at_random = last = square / size
    values = []
    for scale in measured:
        error = SIGNIFICANT * math.sqrt(2 / max(scale.windows, 1)) * last
        significant = scale.windows >= MIN_WINDOWS and abs(scale.value - last) > error
        # Longer windows that disperse less are regular arrivals, but not after bursts.
        if significant and (scale.value > last or last <= at_random):
            last = scale.value
        values.append(last)
    values = values or [at_random]
    lengths = [scale.seconds for scale in measured] or [0.0]
    modulations = _modulations(rate, values, lengths)
    unmodulated = min(values) if values[0] < at_random else values[0]
    unmodulated -= (math.prod(1 + one.variance for one in modulations) - 1) * rate * lengths[0]
    # Bursts of g events have 2 g - 1 times the dispersion of single ones.
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
    """Return the modulations for windows of each length but the shortest.

    A factor of variance v adds v times the mean count to the dispersion of windows as long or
    longer, and in proportion to their length to that of shorter ones. The product of two factors
    has variance (1 + v) (1 + w) - 1.
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
    """Return when each of `count` events is due, ascending; equal within a burst."""
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
    """Return the times at which the modulated rate has the same integral as the mean rate."""
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
    found, window, integral = [], 0, 0.0
    for even in due:
        while window < len(rates) - 1 and integral + rates[window] * step < even:
            integral += rates[window] * step
            window += 1
        late = (even - integral) / rates[window] if rates[window] else step
        found.append((window + min(1.0, late / step)) * step)
    return found
