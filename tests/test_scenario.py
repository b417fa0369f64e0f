"""What is made of measurements before they are simulated."""

import math
import random
from collections import Counter
from itertools import count
from statistics import fmean, pvariance

import pytest

from brummerbus._measurements import MeasuredLoad, Timer, Windows, bucket_edge
from brummerbus.sizing._arrivals import (
    ArrivalProcess,
    Dispersion,
    Kind,
    Modulation,
    arrival_process,
    due_times,
)
from brummerbus.sizing._histograms import divided, quantiles, rake
from brummerbus.sizing._moments import Moments, moments
from brummerbus.sizing._observed import observed
from brummerbus.sizing._scenario import Handler, Scenario, times
from brummerbus.sizing._simulation import simulate

MS = 1e-3
SINGLE = (Kind(1.0, 1, (0,)),)
"""Events that make one delivery each."""


def dispersions(due: list[float]) -> list[Dispersion]:
    """Return the dispersions of arrivals in windows of 10 ms, 100 ms and 1 s."""
    found = []
    for seconds in (0.01, 0.1, 1.0):
        windows = int(due[-1] / seconds)
        per_window = Counter(int(time / seconds) for time in due)
        counts = [per_window[window] for window in range(windows)]
        found.append(Dispersion(seconds, windows, pvariance(counts) / fmean(counts)))
    return found


class TestArrivals:
    """Found in the dispersion of windows, and drawn with the same."""

    def test_arrivals_at_random_are_found_to_be_random(self) -> None:
        due = due_times(ArrivalProcess(300.0), 20_000, random.Random(1))
        found = arrival_process(300.0, SINGLE, dispersions(due))
        assert (found.burst, found.regularity, found.modulations) == (1, 1, ())
        assert found.rate == 300

    @pytest.mark.parametrize(
        "process",
        [
            ArrivalProcess(300.0, burst=5.0),
            ArrivalProcess(300.0, regularity=0.2),
            ArrivalProcess(300.0, modulations=(Modulation(1.0, 0.3),)),
            ArrivalProcess(300.0, modulations=(Modulation(1.0, 0.3), Modulation(0.1, 0.5))),
            ArrivalProcess(300.0, burst=2.0, modulations=(Modulation(0.1, 0.5),)),
        ],
        ids=["bursts", "regular", "by the second", "on two scales", "bursts that change"],
    )
    def test_what_was_drawn_is_found_again(self, process: ArrivalProcess) -> None:
        """From 300 seconds of it."""
        measured = dispersions(due_times(process, 90_000, random.Random(1)))
        found = arrival_process(300.0, SINGLE, measured)
        assert found.burst == pytest.approx(process.burst, rel=0.15)
        assert found.regularity == pytest.approx(process.regularity, abs=0.15)
        again = dispersions(due_times(found, 90_000, random.Random(2)))
        for one, other in zip(measured, again, strict=True):
            assert other.value == pytest.approx(one.value, rel=0.2)

    def test_clockwork_is_found_in_longer_windows_if_shorter_ones_have_one_arrival_or_none(
        self,
    ) -> None:
        """50 per second: windows of 10 ms vary half as much as at random, those of 100 ms not."""
        due = [number / 50 for number in range(5_000)]
        assert arrival_process(50.0, SINGLE, dispersions(due)).regularity < 0.05

    def test_deliveries_of_one_event_are_no_burst(self) -> None:
        """Three deliveries each; and of two kinds, E[size^2] / E[size] is at random."""
        three = [Kind(1.0, 1, (0, 1, 2))]
        found = arrival_process(300.0, three, [Dispersion(0.01, 3000, 3.0)])
        assert (found.rate, found.burst, found.regularity) == (100, 1, 1)
        assert arrival_process(300.0, three, [])[:3] == (100, 1, 1)
        mixed = [Kind(1.0, 1, (0, 1, 2)), Kind(1.0, 1, (0,))]
        assert arrival_process(300.0, mixed, [Dispersion(0.01, 3000, 2.5)]).burst == 1
        assert arrival_process(300.0, mixed, [Dispersion(0.01, 3000, 6.5)]).burst > 1.5

    def test_rare_arrivals_that_come_together_are_bursts(self) -> None:
        """One delivery per second on average, in fact ten within a second, then a pause."""
        measured = [
            Dispersion(0.01, 10**6, 1.0),
            Dispersion(0.1, 10**5, 2.8),
            Dispersion(1, 9999, 9),
        ]
        found = arrival_process(1.0, SINGLE, measured)
        assert found.burst == pytest.approx(5)
        assert found.modulations == ()

    @pytest.mark.parametrize("value", [0.6, 1.4])
    def test_chance_is_neither_regular_nor_bursts(self, value: float) -> None:
        """The standard error of the dispersion of 40 windows is 0.22."""
        found = arrival_process(300.0, SINGLE, [Dispersion(0.01, 40, value)])
        assert (found.regularity, found.burst) == (1, 1)

    def test_dispersions_of_few_windows_do_not_count(self) -> None:
        found = arrival_process(300.0, SINGLE, [Dispersion(0.01, 3000, 1.0), Dispersion(1, 15, 9)])
        assert found.modulations == ()


class TestHandlingTimes:
    """The histogram of each handler, and what of its times is blocked."""

    def test_quantiles_are_distributed_as_the_histogram(self) -> None:
        values = quantiles([(1.0, 2.0, 30.0), (2.0, 4.0, 10.0)], 400)
        assert values == sorted(values)
        assert sum(value <= 2 for value in values) == 300
        assert fmean(values) == pytest.approx((1.5 * 3 + 3.0) / 4, rel=1e-3)

    def test_handlers_divide_the_histogram_by_their_moments(self) -> None:
        """One of 1 ms, one of 10 ms: each gets its buckets, and together they are all."""
        histogram = [(0.9, 1.1, 100.0), (9.0, 11.0, 60.0)]
        quick, slow = divided(histogram, [Moments(1.0, 0.01), Moments(10.0, 1.0)], [100.0, 60.0])
        assert [weight for *_, weight in quick] == pytest.approx([100])
        assert [(low, high) for low, high, _ in slow] == [(9.0, 11.0)]

    def test_raked_table_has_the_sums(self) -> None:
        table = rake([[1.0, 1.0], [1.0, 0.0]], [3.0, 1.0], [2.0, 2.0])
        assert [sum(row) for row in table] == pytest.approx([3, 1])
        assert [sum(column) for column in zip(*table, strict=True)] == pytest.approx([2, 2])
        assert table[1][1] == 0

    def test_times_have_the_measured_distribution_and_the_measured_parts(self) -> None:
        """70 % blocked: of each time, on average, and of all of them."""
        walls = [(1.0, 2.0, 50.0), (10.0, 20.0, 50.0)]
        mean, variance = 8.25, 47.0
        handler = Handler(Moments(mean, variance), Moments(2.5, 4.0), Moments(5.75, 43.0), walls)
        pairs = times(handler, 4_000, random.Random(1))
        sums = sorted(blocked + compute for blocked, compute in pairs)
        assert 2.0 < sums[2_000] / sums[1_990] < 10  # the gap between the buckets
        assert fmean(sums) == pytest.approx(8.25)
        assert fmean(compute for _, compute in pairs) == pytest.approx(2.5, rel=0.15)

    def test_calibration_leads_to_the_measured_handling_times(self) -> None:
        """Of 6 ms blocked and 1 ms computing; a third of the GIL is taken, and waited for."""

        def scenario(handler: Handler) -> Scenario:
            return Scenario((handler,), SINGLE, ArrivalProcess(330.0), turn=0.5 * MS)

        def simulated(one: Scenario) -> Moments:
            return moments(simulate(one.script(20_000, seed=5), 12).walls)

        true = Handler(Moments(7 * MS, 0), Moments(1 * MS, 0), Moments(6 * MS, 0))
        wall = simulated(scenario(true))
        assert wall.mean > 7.4 * MS
        guess = true._replace(wall=wall, blocked=Moments(wall.mean - 1 * MS, wall.variance))
        assert simulated(scenario(guess)).mean > 1.04 * wall.mean
        found = scenario(guess).calibrated(12)
        assert simulated(found).mean == pytest.approx(wall.mean, rel=0.02)
        assert simulated(found).variance == pytest.approx(wall.variance, rel=0.15)
        assert found.handlers[0].blocked.mean == pytest.approx(6 * MS, rel=0.05)


def timer(deliveries: int, milliseconds: float) -> Timer:
    """Return what equal deliveries that compute a tenth of their time measure."""
    wall, cpu = milliseconds * 1e6, milliseconds * 1e5
    sums = int(deliveries * wall), int(deliveries * cpu)
    return Timer(deliveries, *sums, deliveries * wall**2, deliveries * cpu**2)


def bucket_of(ns: int) -> int:
    """Return the bucket of the histogram that a duration falls into."""
    return next(bucket for bucket in count() if bucket_edge(bucket) > ns)


def measured(timers: dict[int, Timer], **more: object) -> MeasuredLoad:
    """Return measurements of 100 seconds."""
    deliveries = sum(one.deliveries for one in timers.values())
    ns = 100_000_000_000
    load = MeasuredLoad(deliveries, 0, ns, 0, ns, list[Windows](), timers)
    return load._replace(**more)


def scenario_of(load: MeasuredLoad) -> Scenario:
    rate = load.deliveries / 100
    return observed(load, rate, servers=1, turn=0.005, others=0.0, starvation=math.inf)


class TestKinds:
    """Which deliveries arrive together."""

    def test_events_make_one_delivery_for_each_subscription(self) -> None:
        load = measured(
            {1: timer(500, 4), 2: timer(500, 12), 3: timer(100, 1)},
            routes={(1, 3): (1, 2), (2, 3): (3,)},
            types={1: 1000, 2: 100},
            levels={3: 1100},
        )
        found = scenario_of(load)
        assert [handler.wall.mean for handler in found.handlers] == pytest.approx(
            [12 * MS, 4 * MS, MS]
        )
        assert found.kinds == (Kind(500.0, 3, (1, 0)), Kind(100.0, 3, (2,)))
        assert found.arrivals.rate == pytest.approx(6)
        script = found.script(1_100)
        together = Counter(script.due)
        assert sorted(together.values()) == [1] * 100 + [2] * 500

    def test_types_at_several_levels_are_divided_by_the_totals_of_the_levels(self) -> None:
        """A type at levels 1 and 2, and another at 2 only, of which 100 are known."""
        load = measured(
            {1: timer(300, 4), 2: timer(100, 1)},
            routes={(1, 1): (1,), (1, 2): (1,), (2, 2): (2,)},
            types={1: 300, 2: 100},
            levels={1: 120, 2: 280},
        )
        by_level = {(kind.level, kind.handlers): kind.events for kind in scenario_of(load).kinds}
        assert by_level == pytest.approx({(1, (0,)): 120, (2, (0,)): 180, (2, (1,)): 100})

    def test_without_routes_each_handler_has_events_of_its_own(self) -> None:
        load = measured({1: timer(300, 4), 2: timer(100, 1)})
        assert scenario_of(load).kinds == (Kind(300, 1, (0,)), Kind(100, 1, (1,)))

    def test_many_handlers_are_simulated_separately_by_what_they_take(self) -> None:
        """The smallest count as one; none of their time is lost."""
        timers = {number: timer(10, number) for number in range(1, 101)}
        found = scenario_of(measured(timers))
        assert len(found.handlers) == 24
        assert found.service.mean == pytest.approx(sum(range(1, 101)) / 100 * MS)

    def test_the_same_seed_draws_the_same_script(self) -> None:
        load = measured({1: timer(300, 4)}, processing=[(bucket_of(4_000_000), 300)])
        scenario = scenario_of(load)
        assert scenario.script(500, seed=1) == scenario.script(500, seed=1)
        assert scenario.script(500, seed=1) != scenario.script(500, seed=2)


@pytest.mark.slow
def test_events_with_very_many_subscriptions_are_simulated() -> None:
    """Several of them, as far as the length of a script allows; and at least one."""
    handler = Handler(Moments(MS, 0), Moments(0, 0), Moments(MS, 0))
    for recipients, events in ((2_000, 20), (20_000, 5), (200_000, 1)):
        scenario = Scenario((handler,), (Kind(9.0, 1, (0,) * recipients),), ArrivalProcess(0.1))
        script = scenario.script(12_000)
        assert len(script.due) == recipients * events
        assert not simulate(script, 400).saturated


@pytest.mark.slow
def test_bursts_of_many_thousands_are_simulated() -> None:
    """A single one at worst; the pool is idle before the next."""
    handler = Handler(Moments(MS / 100, 0), Moments(0, 0), Moments(MS / 100, 0))
    for burst in (1e4, 1e7):
        scenario = Scenario((handler,), SINGLE, ArrivalProcess(20_000.0, burst=burst))
        found = simulate(scenario.script(12_000), 4)
        assert found.busy < 0.2
        assert found.quantile(0.99) > 10 * MS


def test_a_gil_that_is_lost_very_often_shortens_the_script() -> None:
    """Handlers that compute for a second lose it 200 times each: the cost stays bounded."""
    handler = Handler(Moments(1.0, 0), Moments(1.0, 0), Moments(0.0, 0))
    scenario = Scenario((handler,), SINGLE, ArrivalProcess(0.9), turn=0.005)
    assert len(scenario.script(12_000).due) == 1_000
