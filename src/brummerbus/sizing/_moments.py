"""Mean and variance, and random values that have them."""

import math
import random
from collections.abc import Sequence
from typing import NamedTuple


class Moments(NamedTuple):
    """Mean and variance of a distribution."""

    mean: float
    variance: float

    @property
    def square(self) -> float:
        """The mean of the squares."""
        return self.variance + self.mean**2

    @property
    def variability(self) -> float:
        """The squared coefficient of variation; 0: constant, 1: exponential."""
        return self.variance / self.mean**2 if self.mean else 0.0

    def plus(self, other: "Moments") -> "Moments":
        """Return the moments of the sum, if both are independent."""
        return Moments(self.mean + other.mean, self.variance + other.variance)


def moments(values: Sequence[float]) -> Moments:
    """Return mean and variance of at least one value."""
    mean = math.fsum(values) / len(values)
    return Moments(mean, math.fsum((value - mean) ** 2 for value in values) / len(values))


def mixed(parts: Sequence[Moments], weights: Sequence[float]) -> Moments:
    """Return the moments of a mixture; the weights need not add up to 1."""
    total = math.fsum(weights)
    mean = math.fsum(p.mean * w for p, w in zip(parts, weights, strict=True)) / total
    square = math.fsum(p.square * w for p, w in zip(parts, weights, strict=True)) / total
    return Moments(mean, max(0.0, square - mean**2))


def spread(wanted: Moments, count: int, rng: random.Random) -> list[float]:
    """Return random values with exactly this mean and about this variance, in random order.

    Gamma distributed; lognormal if their variability is above 1.
    """
    if wanted.variability < 1e-4:
        return [wanted.mean] * count
    if wanted.variability <= 1:
        shape = 1 / wanted.variability
        values = [rng.gammavariate(shape, 1.0) for _ in range(count)]
    else:
        sigma = math.sqrt(math.log1p(wanted.variability))
        values = [math.exp(rng.gauss(0.0, sigma)) for _ in range(count)]
    return scaled(values, wanted.mean)


def scaled(values: list[float], mean: float) -> list[float]:
    """Return the values times a common factor for which this is their mean; their sum is not 0."""
    factor = mean * len(values) / math.fsum(values)
    return [value * factor for value in values]
