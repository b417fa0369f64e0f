"""How long a free worker waits for the GIL before it can take a delivery.

Whoever computes gives the GIL up when it is done, and then takes the delivery itself; or when its
turn is over and another wants it. With k deliveries computing, the wait is at most k turns, and
ends when the first of them is done: after an exponential time, of which k does not change the
mean, since they share one processor. More than k - 1 compute with probability u^k, as in M/M/1.
The publisher needed the GIL, too, and waited a turn for it, in which the first may have been done
already. Together: the wait exceeds w with probability u^k e^(-(w + turn) / residue), where k - 1
whole turns fit into w.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class GilWait:
    """The GIL, as a free worker finds it."""

    turn: float
    """Seconds that a thread keeps it while others want it. 0: no GIL, nobody waits."""
    used: float
    """Share of the time in which it is held, u."""
    residue: float
    """Seconds that a delivery computes on average from a moment at random on."""
    ahead: int
    """How many can compute at most."""

    def beyond(self, wait: float) -> float:
        """Return the probability of a wait of more than so many seconds."""
        if not self.residue or wait >= self.ahead * self.turn:
            return 0.0
        computing = math.floor(wait / self.turn) + 1
        return float(self.used**computing * math.exp(-(wait + self.turn) / self.residue))

    @property
    def mean(self) -> float:
        """Mean seconds of it: the integral of `beyond`."""
        if not (self.turn and self.residue):
            return 0.0
        first = self.used * math.exp(-self.turn / self.residue)  # each further turn is as likely
        turns = float(self.ahead) if first == 1 else (1 - first**self.ahead) / (1 - first)
        return first * self.residue * -math.expm1(-self.turn / self.residue) * turns
