"""The load of a bus as random variables, and scripts for the simulation drawn from it."""

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
"""Deliveries of a simulation for the calibration."""

ROUNDS = 2
"""Simulations of the calibration; each uses the result of the last."""

MAX_SWITCHES = 10.0
"""Times that a delivery may lose the GIL on average; if more, fewer deliveries are drawn."""

MIN_BURSTS = 20
"""Bursts of a script; if they are large, more deliveries are drawn."""

MIN_SCRIPT, MAX_SCRIPT = 1_000, 100_000
"""Deliveries of a script, regardless of these two."""


class Handler(NamedTuple):
    """Handling times of one subscription, in seconds."""

    wall: Moments
    """From being taken to being finished; measured."""
    compute: Moments
    """CPU time; measured."""
    blocked: Moments
    """Estimate of `wall` without `compute` and without the wait for a compute server."""
    walls: Histogram = ()
    """Distribution of `wall`. Without one, it is that of the sum of `blocked` and `compute`."""


@dataclass(frozen=True)
class Scenario:
    """Arrivals, handlers and what they share."""

    handlers: tuple[Handler, ...]
    kinds: tuple[Kind, ...]
    arrivals: ArrivalProcess
    servers: int = 1
    """How many deliveries can compute at the same time: 1 under a GIL, else the cores."""
    turn: float = 0.0
    """The switch interval of the GIL in seconds; 0: there is no GIL."""
    publishing: float = 0.0
    """CPU seconds of the publisher per delivery; used under a GIL only."""
    starvation: float = math.inf
    """Seconds in the queue after which a delivery is taken next, regardless of its level."""

    @property
    def rate(self) -> float:
        """Deliveries per second."""
        return self.arrivals.rate * self._size

    @property
    def _size(self) -> float:
        """Mean number of deliveries per event."""
        return math.fsum(self._weights()) / math.fsum(kind.events for kind in self.kinds)

    @property
    def service(self) -> Moments:
        """Handling time without the wait for a compute server, over all deliveries."""
        return mixed([one.blocked.plus(one.compute) for one in self.handlers], self._weights())

    @property
    def compute(self) -> Moments:
        """CPU time, over all deliveries."""
        return mixed([one.compute for one in self.handlers], self._weights())

    @property
    def used(self) -> float:
        """Utilisation of the compute servers by deliveries and the publisher."""
        return self.rate * (self.compute.mean + self.publishing) / self.servers

    def _weights(self) -> list[float]:
        """Return the number of deliveries of each handler."""
        found = [0.0] * len(self.handlers)
        for kind in self.kinds:
            for place in kind.handlers:
                found[place] += kind.events
        return found

    def uncontended(self) -> "Scenario":
        """Return it with handlers that are blocked for all of the measured handling time."""
        none = Moments(0.0, 0.0)
        handlers = tuple(one._replace(blocked=one.wall, compute=none) for one in self.handlers)
        return replace(self, handlers=handlers, publishing=0.0)

    def calibrated(self, workers: int) -> "Scenario":
        """Return it with blocked times for which the simulated handling times are as measured.

        `workers` is the number of workers during the measurement.
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
        """Return a script of about `count` deliveries; the same seed gives the same script.

        Fewer if handlers would lose the GIL very often, more if there would be few bursts.
        """
        rng = random.Random(seed)
        if self.turn:
            switches = self.used * self.compute.mean / self.turn
            count = max(MIN_SCRIPT, int(count / max(1.0, switches / MAX_SWITCHES)))
        enough = int(MIN_BURSTS * self.arrivals.burst * self._size)
        count = min(MAX_SCRIPT, max(count, enough))
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
    """Return a handler whose blocked time is corrected by the error of its simulated times."""
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

    Both are drawn independently by their moments; then each pair is scaled so that the sums have
    the distribution of the measured handling times, without the wait for a compute server.
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
    """Return handling times, ascending, without the wait for a compute server.

    They are powers of the measured ones with the mean and the variance of blocked and computing
    time: so they stay positive, and lognormal if they were.
    """
    walls = quantiles(handler.walls, count)
    wanted, found = handler.blocked.plus(handler.compute), moments(walls)
    power = 1.0
    if handler.wall.variability and found.variability > 1e-6:
        share = min(1.0, wanted.variability / handler.wall.variability)
        power = math.sqrt(math.log1p(share * found.variability) / math.log1p(found.variability))
    return scaled([wall**power for wall in walls], wanted.mean) if found.mean else walls


def _in_proportion(kinds: Sequence[Kind], count: int, rng: random.Random) -> list[Kind]:
    """Return the kinds of events, at least one, of about `count` deliveries, in random order.

    Each kind occurs in the measured proportion.
    """
    deliveries = math.fsum(kind.events * len(kind.handlers) for kind in kinds)
    found: list[Kind] = []
    carried = 0.0
    for kind in kinds:
        carried += kind.events * count / deliveries
        found += [kind] * round(carried)
        carried -= round(carried)
    rng.shuffle(found)
    return found or [max(kinds, key=lambda kind: kind.events)]
