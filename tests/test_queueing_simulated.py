"""The formulas against the simulation, where what they assume is so: random arrivals and times."""

import math
import random
from itertools import accumulate

import pytest

from brummerbus.sizing._queueing_model import Load, blocked_time, predict
from brummerbus.sizing._simulation import Outcome, Script, simulate

pytestmark = pytest.mark.slow

MS = 1e-3
DELIVERIES = 40_000
FACTOR = 1.5
"""How far a prediction may be off, up or down."""

LOADS = {
    "all waiting": Load(1.0, 0.0, 10 * MS),
    "all computing": Load(1.0, 2 * MS, 0.0),
    "70/30": Load(1.0, 3 * MS, 7 * MS),
    "70/30, 2 cores": Load(1.0, 3 * MS, 7 * MS, compute_servers=2),
    "bursts of about 5": Load(1.0, 0.0, 10 * MS, arrival_variability=9.0),
    "70/30 under a GIL": Load(1.0, 3 * MS, 7 * MS, turn=1 * MS),
}


def simulated(name: str, workers: int, busy: float) -> tuple[Load, Outcome]:
    """Return a load that keeps a share of the workers busy, and its simulation."""
    load = LOADS[name]
    rate = predict(load, workers).sustainable_rate * busy
    rng, burst = random.Random(1), (load.arrival_variability + 1) / 2
    more = [rng.random() < 1 - 1 / burst for _ in range(DELIVERIES)]  # of the same burst
    gaps = [0.0 if same else rng.expovariate(rate / burst) for same in more]
    blocked, compute = (
        [rng.expovariate(1 / mean) if mean else 0.0 for _ in range(DELIVERIES)]
        for mean in (load.wait, load.compute)
    )
    level = [0] * DELIVERIES
    due = list(accumulate(gaps))
    script = Script(due, level, level, blocked, compute, load.compute_servers, load.turn)
    return Load(**{**vars(load), "rate": rate}), simulate(script, workers)


@pytest.mark.parametrize(("workers", "busy"), [(1, 0.7), (4, 0.5), (4, 0.85), (16, 0.7)])
@pytest.mark.parametrize("name", LOADS)
def test_wait_is_as_predicted(name: str, workers: int, busy: float) -> None:
    """p99 within the factor, or so short that it makes no difference; and how busy workers are."""
    load, seen = simulated(name, workers, busy)
    found, p99 = predict(load, workers), seen.quantile(0.99)
    assert abs(found.p99_wait - p99) < MS or p99 / FACTOR < found.p99_wait < p99 * FACTOR
    assert found.p50_wait == pytest.approx(seen.quantile(0.5), rel=0.5, abs=max(MS, p99 / 10))
    assert found.utilization == pytest.approx(seen.busy, rel=0.2, abs=0.02)


@pytest.mark.parametrize(("workers", "busy"), [(4, 0.7), (8, 0.85)])
def test_blocked_time_is_found_in_wall_time(workers: int, busy: float) -> None:
    """Though the handlers wait for the GIL a good part of it."""
    load, seen = simulated("70/30", workers, busy)
    wall = math.fsum(seen.walls) / len(seen.walls)
    found = blocked_time(wall, load.compute, seen.busy * workers, workers=workers)
    assert wall - load.compute > 1.2 * load.wait
    assert found == pytest.approx(load.wait, rel=0.2)
