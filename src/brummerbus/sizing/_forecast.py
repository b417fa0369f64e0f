"""Predictions for a measured load: simulated; the formulas choose where the search begins."""

import math
from dataclasses import replace

from brummerbus._arguments import MAX_WORKERS
from brummerbus.sizing._queueing_model import Load, Prediction, computing_p99, min_workers
from brummerbus.sizing._queueing_model import predict as by_formula
from brummerbus.sizing._scenario import Scenario
from brummerbus.sizing._simulation import Script, simulate

DELIVERIES = 20_000
"""Simulated deliveries for constant handling times; others take more, in proportion to
`1 + variability`, because their p99 is less certain."""

MAX_DELIVERIES, MAX_CONTENDED = 100_000, 50_000
"""Maximum without and with contention for the compute servers. The standard error of p99 is then
5 to 10 %, more where rare deliveries cause it."""

NEGLIGIBLE = 2e-5
"""Mean wait for a compute server, in seconds, up to which contention is not simulated..."""

NEGLIGIBLE_SHARE = 0.3
"""... if their utilisation is at most this."""

NEAR = 4.0
"""The formula for computing decides if it is below or above the target by this factor."""


class Forecast:
    """Predictions for one load; each number of workers is simulated once, with the same script.

    The first prediction costs 50 to 300 ms of CPU time, further ones 15 to 150 ms. Not thread-safe.
    """

    def __init__(self, scenario: Scenario, load: Load, workers: int) -> None:
        """Calibrate the scenario if handlers compute.

        Args:
            scenario: The load as observed.
            load: The same load for the formulas.
            workers: The number of workers during the measurement.
        """
        self.load = load
        self.possible = load.rate < load.compute_limit
        """Whether the load is within the capacity of the compute servers."""
        waiting = scenario.rate * (scenario.compute.square + scenario.publishing**2) / 2
        contended = waiting / scenario.servers > NEGLIGIBLE or scenario.used > NEGLIGIBLE_SHARE
        if not contended:
            scenario = scenario.uncontended()
        elif self.possible:
            scenario = scenario.calibrated(workers)
        self.scenario = scenario
        wanted = int(DELIVERIES * (1 + scenario.service.variability))
        self._deliveries = min(MAX_CONTENDED if contended else MAX_DELIVERIES, wanted)
        self._script: Script | None = None
        self._found: dict[int, Prediction] = {}

    @property
    def script(self) -> Script:
        """The script of all simulations."""
        if self._script is None:
            self._script = self.scenario.script(self._deliveries)
        return self._script

    def predict(self, workers: int) -> Prediction:
        """Return the prediction for a number of workers, 1 to 1,024."""
        if workers not in self._found:
            self._found[workers] = self._predict(workers)
        return self._found[workers]

    def min_workers(self, target_wait: float) -> int | None:
        """Return the minimum number of workers for which p99 of the queue wait meets a target.

        None if no number up to 1,024 does, or if `computing_p99` exceeds the target: more workers
        would then only move the wait into the handlers.
        """
        if not self.possible or self.computing_p99(target_wait) > target_wait:
            return None
        low = min(MAX_WORKERS, math.ceil(self._offered)) - 1  # too few
        high = max(low + 1, min_workers(self.load, target_wait) or 0)
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

        No number of workers avoids it. In its simulation deliveries arrive when they are no longer
        blocked, for as many workers as compute servers; only if the formula is near the target.
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
        """Mean number of busy workers, without those that wait for a compute server."""
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
