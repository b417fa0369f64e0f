"""`make bench-advice`: its conclusions from given figures, and a short measurement."""

import json
import math
import random
import subprocess
import sys
from pathlib import Path

import pytest

from bench.advice.comparison import Comparison, Row, sizes
from bench.advice.drawn import drawn
from bench.advice.measure import Waits, waits
from bench.advice.page import page, summary
from bench.advice.workloads import (
    WORKLOADS,
    Times,
    Workload,
    constant,
    either,
    exponential,
    lognormal,
)

ROOT = Path(__file__).resolve().parents[2]
MS = 1e-3
NO_END = Waits(math.inf, math.inf)


def compared(*rows: Row, advised: int | None = 6) -> Comparison:
    """Return a workload whose target for p99 is 10 ms."""
    return Comparison("all waiting", "blocked", 10 * MS, 12, advised, "for a reason", rows)


def row(workers: int, predicted_p99: float, measured_p99: float) -> Row:
    """Return a row in which half of the deliveries do not wait; times in milliseconds."""
    return Row(workers, Waits(0.0, predicted_p99 * MS), Waits(0.0, measured_p99 * MS))


@pytest.mark.parametrize(
    ("predicted", "measured", "holds"),
    [
        (10, 12.9, True),
        (10, 13.1, False),
        (10, 7.8, True),
        (10, 7.6, False),
        (0, 1.29, True),
        (0, 1.31, False),
        (0.001, 0.9, True),
        (1.4, 0.01, False),
    ],
)
def test_prediction_holds_within_the_factor_above_what_a_wake_up_takes(
    predicted: float, measured: float, holds: bool
) -> None:
    assert row(6, predicted, measured).predicted_well(10 * MS) is holds


def test_prediction_holds_only_if_p50_does_too() -> None:
    good_p99 = Row(6, Waits(2 * MS, 10 * MS), Waits(4 * MS, 10 * MS))
    assert good_p99.ratios() == (pytest.approx(2), pytest.approx(1))
    assert not good_p99.predicted_well(10 * MS)


def test_measured_are_the_quantiles_of_all_rounds_together() -> None:
    """Interpolated within a bucket, which is a seventeenth of its upper edge wide."""
    one, other = {1.0: 50, 17.0: 10}, {2.0: 138, 17.0: 2}
    assert waits([one, other]).p50 == pytest.approx(32 / 17 + 2 / 17 * 50 / 138)
    assert waits([one, other]).p99 == pytest.approx(16 + 10 / 12)
    assert waits([]) == (0, 0)


@pytest.mark.parametrize(("measured", "holds"), [(10.1, True), (9.9, False)])
def test_queue_without_an_end_is_predicted_well_if_the_target_is_missed(
    measured: float, holds: bool
) -> None:
    saturated = Row(3, NO_END, Waits(0.0, measured * MS))
    assert saturated.saturated
    assert saturated.predicted_well(10 * MS) is holds


@pytest.mark.parametrize(
    ("fewer", "advised", "meets", "minimal"),
    [(11, 9, True, True), (9, 8, True, False), (12, 11, False, True)],
)
def test_advised_number_is_to_meet_the_target_and_one_fewer_to_miss_it(
    fewer: float, advised: float, meets: bool, minimal: bool
) -> None:
    found = compared(row(5, 11, fewer), row(6, 9, advised))
    assert (found.meets(), found.is_minimum()) == (meets, minimal)


def test_one_worker_is_the_minimum_and_no_number_is_neither() -> None:
    alone = compared(row(1, 9, 9), advised=1)
    assert alone.meets()
    assert alone.is_minimum()
    nothing = compared(advised=None)
    assert not nothing.meets()
    assert not nothing.is_minimum()


@pytest.mark.parametrize(("advised", "run"), [(1, [1, 2]), (2, [1, 2, 3]), (10, [9, 10, 11])])
def test_one_fewer_and_one_more_are_run(advised: int, run: list[int]) -> None:
    assert sizes(advised) == run


def test_summary_counts_rows_and_workloads() -> None:
    right = compared(row(5, 11, 11), row(6, 9, 9), row(12, 0, 9))
    wrong = compared(row(5, 11, 9), row(6, 9, 11))
    text = summary([right, wrong, compared(advised=None)])
    assert "in 4 of 5 cases" in text
    assert "met the target in 1 of 3" in text
    assert "in 1 of 3." in text.splitlines()[-1]


def test_page_has_every_workload_and_its_figures() -> None:
    machine = {"python": "CPython", "system": "x", "processor": "y", "cores": 2, "commit": "abc"}
    machine |= {"load": 3.5}
    found = compared(Row(3, NO_END, Waits(1.0, 2.0)), row(6, 9, 9))
    context = {"rounds": 3, "seconds": 20.0, "realtime": True, "machine": machine}
    context["arguments"] = "--page x"
    text = page([found, found], context)
    assert "load average 3.5" in text
    assert text.count("## all waiting") == 2
    assert "| 3 | no end | 1 s | no end | 2 s | - | yes |" in text
    assert "| 6 (advised) | 0 | 0 | 9 ms | 9 ms | 1.00 | yes |" in text


def test_workloads_have_names_of_their_own() -> None:
    names = [work.name for work in [*WORKLOADS, *drawn(1, 5), *drawn(2, 5)]]
    assert len(set(names)) == len(WORKLOADS) + 10


def test_a_seed_draws_the_same_workloads_and_more_of_them_begin_with_those() -> None:
    """They are as they were drawn before anybody knew what would come of them."""

    def shown(works: list[Workload]) -> list[tuple[str, str, float, int]]:
        return [(work.name, work.what, work.target, work.probe) for work in works]

    assert shown(drawn(1, 3)) == shown(drawn(1, 5))[:3]
    assert not set(shown(drawn(1, 5))) & set(shown(drawn(2, 5)))


def test_drawn_workloads_leave_the_machine_something_to_spare() -> None:
    for work in drawn(3, 20):
        parts = [(kind.rate, part) for kind in work.kinds for part in kind.handlers]
        assert sum(rate * part.compute.mean for rate, part in parts) <= 0.4
        assert sum(rate * (part.blocked.mean + part.compute.mean) for rate, part in parts) <= 5
        assert 80 <= sum(rate for rate, _ in parts) <= 500
        assert all(part.blocked.mean > 0 or part.compute.mean > 0 for _, part in parts)


@pytest.mark.parametrize(
    "times",
    [exponential(2.0), constant(2.0), lognormal(2.0, 1.5), either(1.0, 6.0, 0.2)],
    ids=lambda times: times.how,
)
def test_times_have_the_mean_they_say(times: Times) -> None:
    rng = random.Random(1)
    found = sum(times.draw(rng) for _ in range(50_000)) / 50_000
    assert found == pytest.approx(times.mean, rel=0.03)


@pytest.mark.slow
def test_program_runs_what_the_bus_advises(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.advice.run", "--quick", "--only", "all waiting"]
    command += ["--build", str(tmp_path), "--page", str(tmp_path / "advice.md")]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    (found,) = json.loads((tmp_path / "advice.json").read_text(encoding="utf-8"))["workloads"]
    assert [row["workers"] for row in found["rows"]] == sizes(found["advised"])
    assert all(p99 > 0 for row in found["rows"] for _, p99 in row["rounds"])
    assert "## all waiting" in (tmp_path / "advice.md").read_text(encoding="utf-8")
