"""`make bench-advice`: its conclusions from given figures, and a short measurement."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from bench.advice.comparison import Comparison, Row, sizes
from bench.advice.measure import Waits
from bench.advice.page import page, summary
from bench.advice.workloads import WORKLOADS

ROOT = Path(__file__).resolve().parents[2]
MS = 1e-3
NO_END = Waits(math.inf, math.inf)


def compared(*rows: Row, advised: int | None = 6) -> Comparison:
    """Return a workload whose target for p99 is 10 ms."""
    return Comparison("all waiting", "blocked", 10 * MS, 12, advised, "for a reason", rows)


def row(workers: int, predicted_p99: float, *measured_p99: float) -> Row:
    """Return a row in which half of the deliveries do not wait; times in milliseconds."""
    rounds = tuple(Waits(0.0, wait * MS) for wait in measured_p99)
    return Row(workers, Waits(0.0, predicted_p99 * MS), rounds)


@pytest.mark.parametrize(
    ("predicted", "measured", "holds"),
    [
        (10, 14.9, True),
        (10, 15.1, False),
        (10, 6.7, True),
        (10, 6.6, False),
        (0, 1.49, True),
        (0, 1.51, False),
        (0.001, 0.9, True),
        (1.6, 0.01, False),
    ],
)
def test_prediction_holds_within_the_factor_above_what_a_wake_up_takes(
    predicted: float, measured: float, holds: bool
) -> None:
    assert row(6, predicted, measured).predicted_well(10 * MS) is holds


def test_prediction_holds_only_if_p50_does_too() -> None:
    good_p99 = Row(6, Waits(2 * MS, 10 * MS), (Waits(4 * MS, 10 * MS),))
    assert good_p99.ratios() == (pytest.approx(2), pytest.approx(1))
    assert not good_p99.predicted_well(10 * MS)


def test_measured_is_the_median_of_the_rounds() -> None:
    assert row(6, 10, 2, 9, 100).measured == Waits(0.0, 9 * MS)


@pytest.mark.parametrize(("measured", "holds"), [(10.1, True), (9.9, False)])
def test_queue_without_an_end_is_predicted_well_if_the_target_is_missed(
    measured: float, holds: bool
) -> None:
    saturated = Row(3, NO_END, (Waits(0.0, measured * MS),))
    assert saturated.saturated
    assert saturated.predicted_well(10 * MS) is holds


@pytest.mark.parametrize(
    ("fewer", "advised", "meets", "fewest"),
    [(11, 9, True, True), (9, 8, True, False), (12, 11, False, True)],
)
def test_advised_number_is_to_meet_the_target_and_one_fewer_to_miss_it(
    fewer: float, advised: float, meets: bool, fewest: bool
) -> None:
    found = compared(row(5, 11, fewer), row(6, 9, advised))
    assert (found.meets(), found.fewest()) == (meets, fewest)


def test_one_worker_is_the_fewest_and_no_number_is_neither() -> None:
    alone = compared(row(1, 9, 9), advised=1)
    assert alone.meets()
    assert alone.fewest()
    nothing = compared(advised=None)
    assert not nothing.meets()
    assert not nothing.fewest()


@pytest.mark.parametrize(
    ("advised", "run"), [(1, [1, 2]), (2, [1, 2, 4]), (3, [1, 2, 3, 6]), (10, [5, 9, 10, 20])]
)
def test_half_one_fewer_and_double_are_run(advised: int, run: list[int]) -> None:
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
    found = compared(Row(3, NO_END, (Waits(1.0, 2.0),)), row(6, 9, 9))
    text = page([found, found], {"rounds": 3, "deliveries": 3_000, "machine": machine})
    assert text.count("## all waiting") == 2
    assert "| 3 | no end | 1 s | no end | 2 s | - | yes |" in text
    assert "| 6 (advised) | 0 | 0 | 9 ms | 9 ms | 1.00 | yes |" in text


def test_five_workloads_are_compared() -> None:
    names = [work.name for work in WORKLOADS]
    assert names == ["all waiting", "all computing", "70/30", "bimodal", "bursty"]


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
