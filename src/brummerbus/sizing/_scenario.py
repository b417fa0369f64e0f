"""What is simulated: events that arrive, and handlers that are blocked and compute."""

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from brummerbus.sizing._arrivals import ArrivalProcess, Kind, due_times
from brummerbus.sizing._histograms import Histogram, quantiles
from brummerbus.sizing._moments import Moments, mixed, moments, scaled, spread
from brummerbus.sizing._simulation import Script, simulate

CALIBRATION = 6_000
"""Deliveries of a simulation that shows how long handlers waited for the GIL."""

ROUNDS = 2
"""Such simulations, each of which begins with what the last has found."""

MAX_SWITCHES = 10.0
"""Times that a delivery may lose the GIL on average before fewer deliveries are simulated."""

MIN_SCRIPT = 1_000
"""Deliveries that are simulated all the same."""


class Handler(NamedTuple):
    """What deliveries to one subscription take, in seconds."""

    wall: Moments
    """From being taken to being finished, as measured."""
    compute: Moments
    """As measured."""
    blocked: Moments
    """An estimate: what of `wall` is neither computing nor waiting for the GIL or a core."""
    walls: Histogram = ()
    """Of `wall`; without one, its distribution is that of the sum of the other two."""


@dataclass(frozen=True)
class Scenario:
    """What is simulated."""

    handlers: tuple[Handler, ...]
    kinds: tuple[Kind, ...]
    arrivals: ArrivalProcess
    servers: int = 1
    """How many deliveries can compute at the same time."""
    turn: float = 0.0
    """Seconds that a thread keeps the GIL while others want it; 0: there is none."""
    publishing: float = 0.0
    """Seconds of computing to publish one delivery; under a GIL only."""
    starvation: float = math.inf
    """Seconds in the queue after which a delivery is taken next, whatever its level."""

    @property
    def rate(self) -> float:
        """Deliveries per second."""
        events = math.fsum(kind.events for kind in self.kinds)
        return self.arrivals.rate * math.fsum(self._weights()) / events

    @property
    def service(self) -> Moments:
        """Blocked and computing seconds together, over all deliveries."""
        return mixed([one.blocked.plus(one.compute) for one in self.handlers], self._weights())

    @property
    def compute(self) -> Moments:
        """Computing seconds, over all deliveries."""
        return mixed([one.compute for one in self.handlers], self._weights())

    @property
    def used(self) -> float:
        """The share of the compute servers that deliveries and the publisher take."""
        return self.rate * (self.compute.mean + self.publishing) / self.servers

    def _weights(self) -> list[float]:
        """Return how many deliveries each handler gets."""
        found = [0.0] * len(self.handlers)
        for kind in self.kinds:
            for place in kind.handlers:
                found[place] += kind.events
        return found

    def uncontended(self) -> "Scenario":
        """Return it with handlers that wait for nothing but their own, as long as was measured."""
        none = Moments(0.0, 0.0)
        handlers = tuple(one._replace(blocked=one.wall, compute=none) for one in self.handlers)
        return replace(self, handlers=handlers, publishing=0.0)

    def calibrated(self, workers: int) -> "Scenario":
        """Return it with blocked times that lead to the measured handling times.

        `workers` is how many there were when those were measured.
        """
        scenario = self
        for seed in range(ROUNDS):
            walls: list[list[float]] = [[] for _ in self.handlers]
            script = scenario.script(CALIBRATION, seed)
            found = simulate(script, workers).walls
            for place, wall in zip(script.handler[-len(found) :], found, strict=True):
                walls[place].append(wall)
            handlers = tuple(map(_corrected, scenario.handlers, walls))
            scenario = replace(scenario, handlers=handlers)
        return scenario

    def script(self, count: int, seed: int = 1) -> Script:
        """Draw about so many deliveries; handling times are those measured, in random order.

        They are fewer if handlers would lose the GIL very often while they compute.
        """
        rng = random.Random(seed)
        if self.turn:
            switches = self.used * self.compute.mean / self.turn
            count = max(MIN_SCRIPT, int(count / max(1.0, switches / MAX_SWITCHES)))
        kinds = _in_proportion(self.kinds, count, rng)
        due = due_times(self.arrivals, len(kinds), rng)
        handler = [place for kind in kinds for place in kind.handlers]
        counts = Counter(handler)
        drawn = [iter(times(one, counts[place], rng)) for place, one in enumerate(self.handlers)]
        pairs = [next(drawn[place]) for place in handler]
        return Script(
            due=[at for at, kind in zip(due, kinds, strict=True) for _ in kind.handlers],
            handler=handler,
            level=[kind.level for kind in kinds for _ in kind.handlers],
            blocked=[blocked for blocked, _ in pairs],
            compute=[compute for _, compute in pairs],
            servers=self.servers,
            turn=self.turn,
            publishing=self.publishing,
            starvation=self.starvation,
        )


def _corrected(handler: Handler, walls: Sequence[float]) -> Handler:
    """Return a handler that is blocked for as much less as its simulated times are too long."""
    if not walls:
        return handler
    found = moments(walls)
    blocked = Moments(
        max(0.0, handler.blocked.mean + handler.wall.mean - found.mean),
        max(0.0, handler.blocked.variance + handler.wall.variance - found.variance),
    )
    return handler._replace(blocked=blocked)


def times(handler: Handler, count: int, rng: random.Random) -> list[tuple[float, float]]:
    """Return pairs of blocked and computing seconds, in random order.

    Both are drawn independently by their moments; then each pair is stretched so that the sums
    are distributed as the measured handling times are, less what those were waiting for the GIL.
    """
    if not count:
        return []
    if handler.walls and not handler.compute.mean:
        pairs = [(wall, 0.0) for wall in _uncontended(handler, count)]
    else:
        blocked, compute = (spread(one, count, rng) for one in (handler.blocked, handler.compute))
        pairs = list(zip(blocked, compute, strict=True))
        if handler.walls:
            pairs.sort(key=sum)
            stretched = zip(pairs, _uncontended(handler, count), strict=True)
            pairs = [
                (b * wall / (b + c or 1.0), c * wall / (b + c or 1.0)) for (b, c), wall in stretched
            ]
    rng.shuffle(pairs)
    return pairs


def _uncontended(handler: Handler, count: int) -> list[float]:
    """Return handling times, rising, as they would be without waiting for the GIL or a core.

    They are powers of those measured, with the mean and the variance of what is blocked or
    computes: so they stay above 0, and lognormal if they were.
    """
    walls = quantiles(handler.walls, count)
    wanted, found = handler.blocked.plus(handler.compute), moments(walls)
    power = 1.0
    if handler.wall.variability and found.variability > 1e-6:
        share = min(1.0, wanted.variability / handler.wall.variability)
        power = math.sqrt(math.log1p(share * found.variability) / math.log1p(found.variability))
    return scaled([wall**power for wall in walls], wanted.mean) if found.mean else walls


def _in_proportion(kinds: Sequence[Kind], count: int, rng: random.Random) -> list[Kind]:
    """Return kinds for about so many deliveries, each as often as it came, in random order."""
    deliveries = math.fsum(kind.events * len(kind.handlers) for kind in kinds)
    found: list[Kind] = []
    carried = 0.0
    for kind in kinds:
        carried += kind.events * count / deliveries
        found += [kind] * round(carried)
        carried -= round(carried)
    rng.shuffle(found)
    return found
