"""The adviser's arithmetic: where it is exact, its advice, and what it rejects."""

import math
from dataclasses import replace
from itertools import product

import pytest

from brummerbus.sizing._queueing_model import (
    Load,
    binding,
    blocked_time,
    computing_p99,
    min_workers,
    predict,
    textbook_workers,
)


def erlang_c(workers: int, offered: float) -> float:
    """Return the fraction that waits in M/M/c, by the recursion of Erlang B."""
    blocked = 1.0
    for servers in range(1, workers + 1):
        blocked = offered * blocked / (servers + offered * blocked)
    return blocked / (1 - offered / workers * (1 - blocked))


def repairman(workers: int, wait: float, compute: float, servers: int) -> float:
    """Return the completions per second of the closed network, by the sum over all its states."""
    weights = [1.0]
    for at_station in range(1, workers + 1):
        up = (workers - at_station + 1) / wait
        weights.append(weights[-1] * up * compute / min(at_station, servers))
        weights = [weight / weights[-1] for weight in weights]
    computing = sum(weight * min(n, servers) for n, weight in enumerate(weights))
    return computing / compute / sum(weights)


class TestExactly:
    """Where there is an exact formula."""

    @pytest.mark.parametrize("computing", [False, True])
    @pytest.mark.parametrize(
        ("workers", "offered"), [(1, 0.5), (4, 3.0), (16, 4.0), (32, 30.0), (1000, 950.0)]
    )
    def test_poisson_and_exponential_are_erlang_c(
        self, *, workers: int, offered: float, computing: bool
    ) -> None:
        """Mean, p50, p99 and utilisation of M/M/c; computing, if each worker has a core."""
        seconds = 0.02
        compute, wait = (seconds, 0.0) if computing else (0.0, seconds)
        load = Load(offered / seconds, compute, wait, compute_servers=workers)
        waits, pace = erlang_c(workers, offered), seconds / (workers - offered)
        found = predict(load, workers)
        assert found.mean_wait == pytest.approx(waits * pace)
        assert found.p50_wait == pytest.approx(pace * max(0.0, math.log(waits / 0.5)))
        assert found.p99_wait == pytest.approx(pace * max(0.0, math.log(waits / 0.01)))
        assert found.utilization == pytest.approx(offered / workers)
        assert found.sustainable_rate == pytest.approx(workers / seconds)

    @pytest.mark.parametrize("variability", [0.0, 0.3, 1.0, 4.0, 50.0])
    @pytest.mark.parametrize("compute", [0.0, 0.003, 0.009])
    def test_one_worker_is_pollaczek_khinchine(self, variability: float, compute: float) -> None:
        """The mean wait of M/G/1: for one worker it does not matter how it spends its time."""
        load = Load(70.0, compute, 0.01 - compute, variability, compute_variability=2.0)
        found = predict(load, 1)
        assert found.mean_wait == pytest.approx(0.7 / 0.3 * 0.01 * (1 + variability) / 2)
        assert found.utilization == pytest.approx(0.7)

    @pytest.mark.parametrize("batch", [1.0, 2.5, 20.0])
    def test_one_worker_with_geometric_batches_is_exact(self, batch: float) -> None:
        """M^X/M/1: an M/M/1 whose customers are the batches, less the delivery's own time."""
        load = Load(60.0, 0.0, 0.01, arrival_variability=2 * batch - 1)
        assert predict(load, 1).mean_wait == pytest.approx((batch / 0.4 - 1) * 0.01)

    @pytest.mark.parametrize("busy", [0.3, 0.6, 0.9])
    def test_one_worker_with_regular_arrivals_is_nearly_exact(self, busy: float) -> None:
        """D/M/1: a fraction s waits, with s = exp(-(1 - s) / rho), each for 1 / (1 - s) / mu."""
        share = 0.0
        for _ in range(1000):
            share = math.exp(-(1 - share) / busy)
        found = predict(Load(busy, 0.0, 1.0, arrival_variability=0.0), 1)
        assert found.mean_wait == pytest.approx(share / (1 - share), rel=0.1)

    @pytest.mark.parametrize("servers", [1, 2, 3, 8])
    @pytest.mark.parametrize(("wait", "compute"), [(0.7, 0.3), (0.01, 1.0), (30.0, 1.0)])
    def test_throughput_is_the_machine_repairmans(
        self, wait: float, compute: float, servers: int
    ) -> None:
        """Mean value analysis equals the sum over all states, for every pool."""
        load = Load(1e-3, compute, wait, compute_servers=servers)
        for workers in (1, 2, 3, 5, 8, 13, 34, 89):
            found = predict(load, workers).sustainable_rate
            assert found == pytest.approx(repairman(workers, wait, compute, servers), rel=1e-9)

    def test_equal_times_complete_what_can_be_completed(self) -> None:
        """Three workers that compute a third of their time alternate without a wait."""
        load = Load(1.0, 0.1, 0.2, 0.0, compute_variability=0.0)
        assert predict(load, 1).sustainable_rate == pytest.approx(1 / 0.3)
        assert predict(load, 3).sustainable_rate > 0.85 * 10
        assert predict(load, 30).sustainable_rate == pytest.approx(10)

    def test_the_textbook_formula(self) -> None:
        """Cores x utilisation x (1 + wait / compute)."""
        assert textbook_workers(4, 0.5, 0.7, 0.3) == pytest.approx(20 / 3)
        assert textbook_workers(1, 1, 0, 5) == 1
        assert textbook_workers(2, 1, 5, 0) == math.inf


GIL = Load(700.0, 0.001, 0.009)
"""70 % of one compute server; a delivery is blocked for most of its time."""


class TestAdvice:
    """The number of workers, from given figures."""

    def test_the_minimum_of_workers_meets_the_target_and_one_fewer_do_not(self) -> None:
        """For every target, and more workers for a shorter one."""
        needed = []
        for target in (0.1, 0.05, 0.02, 0.015):
            workers = min_workers(GIL, target)
            assert workers is not None
            assert predict(GIL, workers).p99_wait <= target < predict(GIL, workers - 1).p99_wait
            needed.append(workers)
        assert needed == sorted(needed)
        assert len(set(needed)) > 1

    def test_more_workers_never_wait_longer(self) -> None:
        """p50, p99 and mean fall, the sustainable rate rises, to the compute servers' limit."""
        found = [predict(GIL, workers) for workers in range(1, 60)]
        for name, sign in [("mean_wait", 1), ("p50_wait", 1), ("p99_wait", 1)]:
            values = [sign * getattr(prediction, name) for prediction in found]
            assert values == sorted(values, reverse=True)
        rates = [prediction.sustainable_rate for prediction in found]
        assert rates == sorted(rates)
        assert rates[-1] == pytest.approx(GIL.compute_limit)

    def test_too_much_for_the_workers_waits_for_ever(self) -> None:
        """All workers are busy, and their sustainable rate shows the overload."""
        found = predict(GIL, 5)
        assert (found.mean_wait, found.p50_wait, found.p99_wait) == (math.inf,) * 3
        assert found.utilization == 1.0
        assert found.sustainable_rate < GIL.rate
        assert found.compute_utilization == pytest.approx(found.sustainable_rate * 0.001)
        assert binding(GIL, 5) == "workers"

    def test_too_much_for_the_compute_server_needs_more_than_workers(self) -> None:
        """1,300 deliveries per second of 1 ms under a GIL: no number of workers; 2 cores: some."""
        load = replace(GIL, rate=1300.0)
        assert min_workers(load, 0.01) is None
        assert binding(load, 1) == binding(load, 1000) == "compute"
        assert computing_p99(load) == math.inf
        assert min_workers(replace(load, compute_servers=2), 0.01) is not None

    def test_all_computing_needs_one_worker_or_no_number_does(self) -> None:
        """More would only wait for the GIL inside the handlers."""
        light = Load(500.0, 0.001, 0.0)
        assert min_workers(light, 0.01) == 1
        heavy = replace(light, rate=900.0)
        assert predict(heavy, 1).p99_wait > 0.01 > predict(heavy, 40).p99_wait
        assert computing_p99(heavy) == predict(heavy, 1).p99_wait
        assert min_workers(heavy, 0.01) is None
        assert binding(heavy, 1) == "compute"

    def test_all_waiting_is_bound_by_workers(self) -> None:
        """However many there are; only the limit ends the search."""
        load = Load(1000.0, 0.0, 0.1)
        assert binding(load, 101) == binding(load, 1000) == "workers"
        assert computing_p99(load) == 0.0
        assert load.compute_limit == math.inf
        workers = min_workers(load, 0.01)
        assert workers is not None
        assert 100 < workers < 130
        assert min_workers(load, 0.01, maximum=workers) == workers
        assert min_workers(load, 0.01, maximum=workers - 1) is None

    def test_bursts_need_more_workers(self) -> None:
        """And regular arrivals fewer."""
        needed = [
            min_workers(Load(1000.0, 0.0, 0.01, arrival_variability=dispersion), 0.005)
            for dispersion in (0.0, 1.0, 5.0, 20.0)
        ]
        assert needed == sorted(needed, key=lambda workers: workers or 0)
        assert len(set(needed)) == 4

    def test_no_target_is_met_by_chance(self) -> None:
        """A target of 0 is met if 99 of 100 find a worker free."""
        workers = min_workers(Load(100.0, 0.0, 0.01), 0.0)
        assert workers == 5
        assert erlang_c(5, 1.0) < 0.01 < erlang_c(4, 1.0)


class TestBlockedTime:
    """The rest of the wall time."""

    def test_alone_it_is_wall_less_compute(self) -> None:
        """No others to wait for, nothing to compute, or nothing blocked."""
        assert blocked_time(0.01, 0.003, 1e-6) == pytest.approx(0.007, rel=1e-3)
        assert blocked_time(0.01, 0.0, 5.0) == 0.01
        assert blocked_time(0.01, 0.01, 5.0) == 0.0
        assert blocked_time(0.01, 0.02, 5.0) == 0.0
        assert blocked_time(0.0, 0.0, 0.0) == 0.0

    def test_those_who_wait_for_the_gil_are_not_blocked(self) -> None:
        """Ten that always run and take ten times the CPU time only alternate."""
        assert blocked_time(0.01, 0.001, 10.0, workers=10) == pytest.approx(0.0, abs=1e-5)
        assert blocked_time(0.01, 0.001, 10.0, 16, workers=10) > 0.0089

    def test_it_inverts_the_prediction(self) -> None:
        """For a pool that is not always busy, exactly."""
        for workers in (8, 12, 30):
            running = predict(GIL, workers).utilization * workers
            wall = running / GIL.rate
            assert blocked_time(wall, 0.001, running, workers=workers) == pytest.approx(0.009)

    def test_others_that_compute_explain_some_of_it(self) -> None:
        """The more they use, the less is left; if they use everything, that explains all."""
        found = [blocked_time(0.01, 0.001, 3.0, 1, others) for others in (0.0, 0.3, 0.6, 1.0)]
        assert found == sorted(found, reverse=True)
        assert found[-1] == pytest.approx(0.0, abs=1e-5)
        assert found[0] > found[1] > found[2] > 0


class TestArguments:
    """Wrong numbers are rejected by name; extreme ones work."""

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("rate", 0),
            ("rate", -1.0),
            ("rate", math.inf),
            ("compute", -1e-9),
            ("wait", math.nan),
            ("wait", 1e13),
            ("service_variability", -1),
            ("arrival_variability", math.inf),
            ("compute_variability", math.nan),
            ("compute_servers", 0),
        ],
    )
    def test_bad_values_are_named(self, name: str, value: float) -> None:
        """With the value, and the range."""
        with pytest.raises(ValueError, match=f"^{name} must be .*, got {value}$"):
            replace(GIL, **{name: value})

    @pytest.mark.parametrize("value", ["1", None, True, 1j])
    def test_wrong_types_are_named(self, value: object) -> None:
        """In every function."""
        wrong: dict[str, object] = {"value": value}
        with pytest.raises(TypeError, match=r"^rate must be a number"):
            Load(wrong["value"], 1.0, 1.0)
        with pytest.raises(TypeError, match=r"^target_wait must be"):
            min_workers(GIL, wrong["value"])
        with pytest.raises(TypeError, match=r"^running must be"):
            blocked_time(1.0, 0.5, wrong["value"])
        with pytest.raises(TypeError, match=r"^cores must be"):
            textbook_workers(wrong["value"], 1, 1, 1)

    def test_other_bad_arguments_are_named(self) -> None:
        """No load at all, no workers, more of the servers than there are."""
        with pytest.raises(ValueError, match="compute and wait must not both be 0"):
            Load(1.0, 0.0, 0.0)
        with pytest.raises(ValueError, match="workers must be an int of at least 1, got 0"):
            predict(GIL, 0)
        with pytest.raises(ValueError, match="maximum must be an int of at least 1, got 0"):
            min_workers(GIL, 0.01, maximum=0)
        with pytest.raises(ValueError, match="utilization_of_others must be a number from 0 to 1"):
            blocked_time(1.0, 0.5, 1.0, 1, 1.5)
        with pytest.raises(ValueError, match="utilization must be a number above 0"):
            textbook_workers(1, 0, 1, 1)

    def test_the_least_bit_below_the_limit_is_no_error(self) -> None:
        """Numbers that differ from 1 by rounding only, and their roots."""
        for variability in (0.0, 1.0, 9.0):
            load = Load(math.nextafter(1.0, 0.0), 1.0, 0.0, compute_variability=variability)
            for workers in (1, 2, 9):
                assert predict(load, workers).p99_wait > 1e10

    @pytest.mark.parametrize("variability", [0.0, 1.0, 1e12])
    def test_extremes_give_numbers(self, variability: float) -> None:
        """No overflow, no division by 0, no NaN, no fraction above 1."""
        for rate, compute, wait, dispersion in product(
            (5e-324, 1e-9, 1.0, 1e12),
            (0.0, 5e-324, 1e-9, 1e12),
            (1e-12, 1e-3, 1e12),
            (0.0, 1.0, 1e12),
        ):
            load = Load(rate, compute, wait, variability, dispersion, 2, variability)
            for workers in (1, 3, 40):
                found = predict(load, workers)
                assert 0 <= found.utilization <= 1
                assert 0 <= found.compute_utilization <= 1 + 1e-9
                assert 0 <= found.p50_wait <= found.p99_wait
                assert found.mean_wait >= 0
                assert found.sustainable_rate > 0
