"""How long a free worker waits for the GIL before it can take a delivery.

A thread that computes releases the GIL when it has finished, and then takes the delivery itself;
or after one switch interval, if another thread requests it. With k deliveries computing, the wait
is at most k intervals, and ends when the first of them finishes: after an exponential time whose
mean does not depend on k, since they share one processor. At least k compute with probability u^k,
as in M/M/1. The publisher needed the GIL too, and waited one interval for it, in which the first
may have finished. Together: the wait exceeds w with probability u^k e^(-(w + turn) / residue),
where k - 1 whole intervals (`turn`) fit into w.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class GilWait:
    """The distribution of a free worker's wait for the GIL."""

    turn: float
    """The switch interval: seconds that a thread keeps the GIL while others request it.

    0: there is no GIL, and no wait.
    """
    used: float
    """Fraction of the time for which it is held, u."""
    residue: float
    """Mean seconds that a computing delivery still needs, seen at a random moment."""
    ahead: int
    """Maximum number of deliveries that compute."""

    def beyond(self, wait: float) -> float:
        """Return the probability that the wait exceeds `wait` seconds."""
        if not self.residue or wait >= self.ahead * self.turn:
            return 0.0
        computing = math.floor(wait / self.turn) + 1
        return float(self.used**computing * math.exp(-(wait + self.turn) / self.residue))

    @property
    def mean(self) -> float:
        """The mean wait in seconds: the integral of `beyond`."""
        if not (self.turn and self.residue):
            return 0.0
        # The probability that the wait outlasts one more interval is the same for each.
        first = self.used * math.exp(-self.turn / self.residue)
        intervals = float(self.ahead) if first == 1 else (1 - first**self.ahead) / (1 - first)
        return first * self.residue * -math.expm1(-self.turn / self.residue) * intervals
