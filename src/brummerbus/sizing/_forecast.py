"""What numbers of workers make of a measured load: simulated; the formulas say where to begin."""

import math
from dataclasses import replace

from brummerbus._arguments import MAX_WORKERS
from brummerbus.sizing._queueing_model import Load, Prediction, computing_p99, fewest_workers
from brummerbus.sizing._queueing_model import predict as by_formula
from brummerbus.sizing._scenario import Scenario
from brummerbus.sizing._simulation import Script, simulate

DELIVERIES = {False: 20_000, True: 12_000}
"""Simulated if handling times are constant, without and with contention for the GIL or the cores:
more in proportion as they vary, so that p99 of two simulations differs by some 5 %."""

MAX_DELIVERIES = {False: 100_000, True: 40_000}
"""However much they vary."""

NEGLIGIBLE = 2e-5
"""Seconds of mean wait for the GIL or a core up to which there is no contention."""

NEGLIGIBLE_SHARE = 0.3
"""Share of the compute servers that is busy up to which there may be none."""

NEAR = 4.0
"""Factor by which the formula for computing is not off: beyond, it decides without a simulation."""


class Forecast:
    """Predictions for one load. Each number of workers is simulated once, all by the same script.

    On a machine of 2026, one takes 10 to 60 ms without contention, else 30 to 120 ms; the first
    takes twice as long, for the script. Not thread-safe.
    """

    def __init__(self, scenario: Scenario, load: Load, workers: int) -> None:
        """Say what the load is in both terms, and how many workers there were.

        Args:
            scenario: As observed; it is calibrated here.
            load: The same in the formulas' terms.
            workers: Of the pool whose measurements these are.
        """
        self.load = load
        self.possible = load.rate < load.compute_limit
        """Whether the compute servers can do what is asked of them."""
        waiting = scenario.rate * (scenario.compute.square + scenario.publishing**2) / 2
        self._contended = (
            waiting / scenario.servers > NEGLIGIBLE or scenario.used > NEGLIGIBLE_SHARE
        )
        if not self._contended:
            scenario = scenario.uncontended()
        elif self.possible:
            scenario = scenario.calibrated(workers)
        self.scenario = scenario
        wanted = DELIVERIES[self._contended] * (1 + scenario.service.variability)
        self._deliveries = int(min(MAX_DELIVERIES[self._contended], wanted))
        self._script: Script | None = None
        self._found: dict[int, Prediction] = {}

    @property
    def script(self) -> Script:
        """What is simulated."""
        if self._script is None:
            self._script = self.scenario.script(self._deliveries)
        return self._script

    def predict(self, workers: int) -> Prediction:
        """Return what so many workers, 1 to 1,024, make of the load."""
        if workers not in self._found:
            self._found[workers] = self._predict(workers)
        return self._found[workers]

    def min_workers(self, target_wait: float) -> int | None:
        """Return the minimum of workers with which p99 of the wait is at most a target.

        None if none up to 1,024 does, and if `computing_p99` exceeds the target: more workers
        would then only move the wait into the handlers.
        """
        if not self.possible or self.computing_p99(target_wait) > target_wait:
            return None
        low = min(MAX_WORKERS, math.ceil(self._offered)) - 1  # too few
        high = max(low + 1, fewest_workers(self.load, target_wait) or 0)
        step = 1
        while self.predict(high).p99_wait > target_wait:
            if high == MAX_WORKERS:
                return None
            low, high, step = high, min(MAX_WORKERS, high + step), step * 4
        step = 1
        while high - low > 1:
            middle = max((low + high) // 2, high - step)
            if self.predict(middle).p99_wait > target_wait:
                low = middle
            else:
                high, step = middle, step * 2
        return high

    def computing_p99(self, target_wait: float) -> float:
        """Return p99 of the wait for a compute server if a worker is always free, in seconds.

        What no number of workers takes away: deliveries come when they are no longer blocked, and
        workers are as many as compute servers. Simulated if the formula's is near the target.
        """
        formula = computing_p99(self.load)
        if not target_wait / NEAR < formula < target_wait * NEAR:
            return formula
        script = self.script
        ready = [due + blocked for due, blocked in zip(script.due, script.blocked, strict=True)]
        due, compute = zip(*sorted(zip(ready, script.compute, strict=True)), strict=True)
        blocked = [0.0] * len(due)
        alone = script._replace(due=due, blocked=blocked, compute=compute, level=[0] * len(due))
        outcome = simulate(alone, self.load.compute_servers)
        return math.inf if outcome.saturated else outcome.quantile(0.99)

    @property
    def _offered(self) -> float:
        """Workers that are busy on average, not counting those that wait for a compute server."""
        return self.load.rate * self.scenario.service.mean

    def _predict(self, workers: int) -> Prediction:
        formula = by_formula(self.load, workers)
        if self.possible and self._offered < workers:
            outcome = simulate(self.script, workers)
            if not outcome.saturated:
                return Prediction(
                    workers=workers,
                    utilization=outcome.busy,
                    compute_utilization=formula.compute_utilization,
                    mean_wait=outcome.mean,
                    p50_wait=outcome.quantile(0.5),
                    p99_wait=outcome.quantile(0.99),
                    sustainable_rate=max(formula.sustainable_rate, self.load.rate),
                )
        return replace(
            formula,
            utilization=1.0,
            mean_wait=math.inf,
            p50_wait=math.inf,
            p99_wait=math.inf,
            sustainable_rate=min(formula.sustainable_rate, self.load.rate),
        )
