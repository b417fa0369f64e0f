"""Histograms of durations: quantiles, and the histograms of the parts of a mixture."""

import math
from collections.abc import Sequence

from brummerbus.sizing._moments import Moments

RAKING = 30
"""Iterations of the proportional fitting; each costs about 20 us per row of 100."""

MIN_VARIABILITY = 0.002
"""Squared coefficient of variation of values in two or three buckets."""

Histogram = Sequence[tuple[float, float, float]]
"""Buckets in ascending order: lower edge, upper edge, count."""


def quantiles(histogram: Histogram, count: int) -> list[float]:
    """Return `count` equally likely values, ascending; uniform within a bucket."""
    step = math.fsum(weight for *_, weight in histogram) / count
    found: list[float] = []
    below, wanted = 0.0, step / 2
    for low, high, weight in histogram:
        while wanted <= below + weight and len(found) < count:
            found.append(low + (high - low) * (wanted - below) / weight)
            wanted += step
        below += weight
    return found + [histogram[-1][1]] * (count - len(found))


def divided(
    histogram: Histogram, parts: Sequence[Moments], weights: Sequence[float]
) -> list[Histogram]:
    """Return the histogram of each part of a mixture from its moments and its weight.

    Their sum is the histogram of the mixture. Otherwise they are as near as possible to lognormal
    distributions with these moments.
    """
    if not histogram:
        return [()] * len(parts)
    total = math.fsum(weight for *_, weight in histogram) / math.fsum(weights)
    table = rake(
        [_lognormal(part, histogram) for part in parts],
        [weight * total for weight in weights],
        [weight for *_, weight in histogram],
    )
    edges = [(low, high) for low, high, _ in histogram]
    return [
        [(*edge, weight) for edge, weight in zip(edges, row, strict=True) if weight > 1e-6]
        for row in table
    ]


def _lognormal(wanted: Moments, histogram: Histogram) -> list[float]:
    """Return the likelihood of each bucket, all above 0, except for a common factor."""
    variance = math.log1p(max(MIN_VARIABILITY, wanted.variability))
    centre = math.log(max(wanted.mean, 1e-9)) - variance / 2
    found = []
    for low, high, _ in histogram:
        middle = (low + high) / 2
        density = math.exp(-((math.log(middle) - centre) ** 2) / (2 * variance)) / middle
        found.append(max(1e-12, density * (high - low)))
    return found


def rake(
    seed: Sequence[Sequence[float]], rows: Sequence[float], columns: Sequence[float]
) -> list[list[float]]:
    """Return the table nearest to `seed` with these sums of its rows and columns.

    Iterative proportional fitting: Deming and Stephan, Ann. Math. Statist. 11 (1940). Zeros stay
    zeros. The sums of the columns are exact, except for columns of zeros.
    """
    table = [list(row) for row in seed]
    for _ in range(RAKING):
        for row, wanted in zip(table, rows, strict=True):
            factor = wanted / (math.fsum(row) or 1.0)
            row[:] = [value * factor for value in row]
        sums = map(math.fsum, zip(*table, strict=True))
        factors = [wanted / (found or 1.0) for wanted, found in zip(columns, sums, strict=True)]
        table = [[v * f for v, f in zip(row, factors, strict=True)] for row in table]
    return table
