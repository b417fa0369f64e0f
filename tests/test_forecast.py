"""Predictions from measurements, on loads that differ from what formulas assume; the search."""

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

import pytest

from brummerbus._measurements import MeasuredLoad, Timer, Windows, bucket_edge
from brummerbus.sizing import _forecast
from brummerbus.sizing._adviser import forecast_of
from brummerbus.sizing._forecast import Forecast
from brummerbus.sizing._simulation import Outcome, Script, simulate

MS = 1e-3
FACTOR = 1.3
PUBLISHING = 0.05 * MS
OVERHEAD = 0.05 * MS
"""Seconds that every handler computes besides."""

Draw = Callable[[random.Random], float]


class Handling(NamedTuple):
    """A handler: how long it is blocked, in seconds, and how long it computes."""

    blocked: Draw
    compute: float = 0.0


def lognormal(mean: float, variation: float) -> Draw:
    variance = math.log1p(variation**2)
    return lambda rng: mean * rng.lognormvariate(-variance / 2, math.sqrt(variance))


def constant(seconds: float) -> Draw:
    return lambda rng: seconds


def either(short: float, long: float, share_long: float) -> Draw:
    return lambda rng: long if rng.random() < share_long else short


LOADS: dict[str, dict[float, tuple[Handling, ...]]] = {
    "lognormal": {250.0: (Handling(lognormal(8 * MS, 1.5)),)},
    "three handlers": {
        120.0: (
            Handling(constant(4 * MS)),
            Handling(constant(0.0), 1.2 * MS),
            Handling(lognormal(12 * MS, 1.0)),
        )
    },
    "rare and slow": {
        300.0: (Handling(constant(3 * MS)),),
        8.0: (Handling(constant(150 * MS)),),
    },
    "bimodal": {300.0: (Handling(either(2 * MS, 80 * MS, 0.05)),)},
    "equal": {300.0: (Handling(constant(6 * MS), 1 * MS),)},
}
"""Events per second, and the handlers that each event goes to."""


def script_of(load: dict[float, tuple[Handling, ...]], deliveries: int, seed: int) -> Script:
    """Return a script of a load as it is, not as it was measured."""
    rng = random.Random(seed)
    numbers = {rate: sum(map(len, list(load.values())[:n])) for n, rate in enumerate(load)}
    events = deliveries * len(load) // sum(map(len, load.values()))
    gaps = (rng.expovariate(sum(load)) for _ in range(events))
    due, handler, blocked, compute = [], [], [], []
    for time in accumulate(gaps):
        (rate,) = rng.choices(list(load), list(load))
        for number, one in enumerate(load[rate], start=numbers[rate]):
            due.append(time)
            handler.append(number)
            blocked.append(one.blocked(rng))
            compute.append(one.compute + OVERHEAD)
    level = [1] * len(due)
    return Script(due, handler, level, blocked, compute, turn=MS / 2, publishing=PUBLISHING)


def windows_of(due: Sequence[float]) -> list[Windows]:
    found = []
    for seconds in (0.01, 0.1, 1.0):
        per_window = Counter(int(time / seconds) for time in due)
        counts = per_window.values()
        squares = float(sum(count * count for count in counts))
        found.append(Windows(max(per_window) + 1, float(sum(counts)), squares))
    return found


def measured(load: dict[float, tuple[Handling, ...]], script: Script, out: Outcome) -> MeasuredLoad:
    """Return what the core would have measured of it."""
    finished = len(out.walls)
    histogram: Counter[int] = Counter()
    timers: dict[int, Timer] = {}
    each = zip(script.handler[-finished:], script.compute[-finished:], out.walls, strict=True)
    for handler, compute, seconds in each:
        wall, cpu = int(seconds * 1e9), int(compute * 1e9)
        shift = max(0, wall.bit_length() - 5)
        histogram[shift * 16 + (wall >> shift)] += 1
        so_far = timers.get(handler + 1, Timer(0, 0, 0, 0.0, 0.0))
        new = Timer(1, wall, cpu, float(wall * wall), float(cpu * cpu))
        timers[handler + 1] = Timer._make(map(sum, zip(so_far, new, strict=True)))
    ns = int(script.due[-1] * 1e9)
    routes, first = {}, 1
    for number, handlers in enumerate(load.values(), start=1):
        routes[number, 3] = tuple(range(first, first + len(handlers)))
        first += len(handlers)
    return MeasuredLoad(
        deliveries=len(script.due),
        first=0,
        last=ns,
        process_cpu=int((sum(script.compute) + PUBLISHING * len(script.due)) * 1e9),
        cpu_read=ns,
        windows=windows_of(script.due),
        timers=timers,
        processing=sorted(histogram.items()),
        routes=routes,
        types={
            number: sum(timers[one].deliveries for one in numbers)
            for (number, _), numbers in routes.items()
        },
        levels={3: finished},
    )


@pytest.fixture(autouse=True)
def gil_with_short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brummerbus.sizing._adviser.compute_servers", lambda: 1)
    monkeypatch.setattr("brummerbus.sizing._adviser.turn", lambda: MS / 2)


@pytest.fixture
def few_deliveries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short simulations, where it does not matter how exact a prediction is."""
    monkeypatch.setattr(_forecast, "DELIVERIES", 5_000)


def forecast(load: dict[float, tuple[Handling, ...]], deliveries: int = 20_000) -> Forecast:
    """Return the forecast from the measurements of a pool that is larger than needed."""
    script = script_of(load, deliveries, seed=1)
    return forecast_of(measured(load, script, simulate(script, 10)), 10)[0]


def test_buckets_are_those_of_the_core() -> None:
    for ns in (3, 15, 16, 17, 31, 32, 1_000, 12_345_678):
        shift = max(0, ns.bit_length() - 5)
        bucket = shift * 16 + (ns >> shift)
        assert bucket_edge(bucket - 1) <= ns < bucket_edge(bucket)


@pytest.mark.slow
@pytest.mark.parametrize("name", LOADS)
def test_waits_are_predicted_within_a_factor_of_1_3(name: str) -> None:
    """With fewer workers than measured: those with which p99 is some handling times, and the next.

    Nothing of it is given but what the core measures.
    """
    found = forecast(LOADS[name])
    truth = script_of(LOADS[name], 50_000, seed=2)
    for workers in (3, 4):
        happened, expected = simulate(truth, workers), found.predict(workers)
        p99 = happened.quantile(0.99)
        assert p99 > 5 * MS
        assert p99 / FACTOR < expected.p99_wait < p99 * FACTOR
        assert expected.p50_wait == pytest.approx(happened.quantile(0.5), rel=0.3, abs=MS)
        assert expected.utilization == pytest.approx(happened.busy, rel=0.05)


@pytest.mark.usefixtures("few_deliveries")
@pytest.mark.parametrize("name", ["lognormal", "three handlers"])
@pytest.mark.parametrize("target", [5 * MS, 10 * MS, 500 * MS])
def test_minimum_meets_the_target_and_one_worker_fewer_does_not(name: str, target: float) -> None:
    """As by trying one number after the other."""
    found = forecast(LOADS[name], 3_000)
    workers = found.min_workers(target)
    meeting = (n for n in range(1, 40) if found.predict(n).p99_wait <= target)
    assert workers == next(meeting)


def test_deliveries_of_an_event_wait_for_the_gil_only_if_they_compute_at_the_same_time() -> None:
    """Two compute for 3 ms, one of them after it was blocked."""
    together = Handling(constant(0.0), 3 * MS), Handling(constant(0.0), 3 * MS)
    staggered = together[0], Handling(constant(20 * MS), 3 * MS)
    assert forecast({4.0: together}, 1_000).computing_p99(3 * MS) > 2.5 * MS
    assert forecast({4.0: staggered}, 1_000).computing_p99(3 * MS) < 2 * MS


def test_handlers_that_hardly_compute_are_simulated_without_the_gil() -> None:
    """It is faster, and their handling times are taken as measured."""
    assert not any(forecast(LOADS["lognormal"], 1_000).script.compute)
    assert any(forecast(LOADS["equal"], 1_000).script.compute)


def test_no_number_is_found_if_even_the_largest_pool_misses_the_target(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = forecast(LOADS["lognormal"], 1_000)
    too_long = found.predict(2)
    assert too_long.p99_wait > 10 * MS
    monkeypatch.setattr(found, "predict", lambda workers: too_long)
    assert found.min_workers(10 * MS) is None


@pytest.mark.slow
@pytest.mark.usefixtures("few_deliveries")
def test_search_simulates_few_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the formula begins with: 1, or far too many."""
    tried: list[int] = []

    def noted(script: Script, workers: int) -> Outcome:
        tried.append(workers)
        return simulate(script, workers)

    monkeypatch.setattr(_forecast, "simulate", noted)
    for begin in (None, 1, 3, 900):
        monkeypatch.setattr(_forecast, "min_workers", lambda load, target, n=begin: n)
        assert forecast(LOADS["lognormal"], 2_000).min_workers(10 * MS) == 5
    assert len(tried) < 40
