"""`make claims`: its conclusions from given figures, and a short measurement."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.claims.loads import BY_NAME, HANDLERS, LIMITED, Shape, runs, types
from bench.claims.measurement import Latencies
from bench.claims.outcome import Outcome
from bench.claims.verdicts import (
    CLAIMS,
    Claim,
    change,
    exhaustions,
    held,
    no_exhaustion,
    reason,
    verdicts,
)
from bench.claims.ways import NAIVE, OURS
from bench.peers.rounds import Results

ROOT = Path(__file__).resolve().parents[2]
MEMORY, P50, P99, RATE = CLAIMS
PEAK = BY_NAME["small, peak"]
BURST = BY_NAME["small, all at once"]


def measured(shape: Shape, ours: dict[str, float], theirs: dict[str, float]) -> Results:
    """Return the results of one round in which the figures not given are equal."""
    same = {"memory_mb": 10.0, "p50": 1.0, "p99": 2.0, "rate": 1_000.0, "late_p99": 0.1}
    same |= {"cpu_us": 50.0, "threads": 9.0, "handled": 100.0, "runs": 100.0}
    results = Results()
    results.add(shape.name, OURS, {**same, **ours})
    results.add(shape.name, NAIVE, {**same, **theirs})
    return results


@pytest.mark.parametrize(
    ("claim", "ratio", "holds"),
    [
        (MEMORY, 0.1, True),
        (MEMORY, 0.1001, False),
        (P50, 0.5, True),
        (P50, 0.51, False),
        (P99, 0.01, True),
        (RATE, 1.3, True),
        (RATE, 1.29, False),
        (RATE, 40.0, True),
        (RATE, None, False),
        (MEMORY, None, False),
    ],
)
def test_claim_holds_from_its_bound_on(claim: Claim, ratio: float | None, holds: bool) -> None:
    assert claim.holds(ratio) is holds


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(0.1, "-90 %"), (1.3, "+30 %"), (0.999, "+0 %"), (0.0008, "-99.92 %"), (None, "?")],
)
def test_ratio_is_told_as_the_change_it_is(ratio: float | None, text: str) -> None:
    assert change(ratio) == text


def test_verdict_takes_the_median_of_neighbouring_rounds() -> None:
    """A round in which the machine had other load does not count."""
    results = Results()
    for ours, theirs in ((1.0, 20.0), (9.0, 10.0), (2.0, 30.0)):
        results.add(BURST.name, OURS, {"memory_mb": ours})
        results.add(BURST.name, NAIVE, {"memory_mb": theirs})
    verdict = verdicts(results, [BURST])[0]
    assert verdict.claim is MEMORY
    assert verdict.ratio == pytest.approx(2 / 30)
    assert verdict.holds
    assert verdict.rounds == (True, False, True)
    assert verdict.mark == "yes (2 of 3)"
    assert verdict.why == ""


def test_verdicts_are_counted_by_claim_and_load() -> None:
    results = measured(PEAK, {"memory_mb": 10.0}, {"memory_mb": 20.0})
    burst = measured(BURST, {"memory_mb": 1.0, "rate": 3_000.0}, {})
    results.cells |= burst.cells
    found = verdicts(results, [PEAK, BURST])
    assert held(found, MEMORY) == (1, 2)
    assert held(found, MEMORY, PEAK.load) == (0, 1)
    assert held(found, RATE, BURST.load) == (1, 1)
    assert held(found, P50) == (0, 2)


def test_each_claim_that_does_not_hold_says_why() -> None:
    results = measured(PEAK, {}, {})
    assert all(verdict.why for verdict in verdicts(results, [PEAK]))
    kept_up = measured(PEAK, {"rate": 1_325.0}, {"rate": 1_320.0})
    assert "nothing to gain" in reason(kept_up, RATE, PEAK, NAIVE)
    assert "nothing to gain" not in reason(results, RATE, PEAK, NAIVE)
    late = measured(PEAK, {"rate": 1_325.0, "late_p99": 1.5}, {"rate": 1_325.0})
    assert "publishers" in reason(late, P99, PEAK, NAIVE)
    cut = measured(BURST, {}, {"handled": 60.0})
    assert "only 60%" in reason(cut, P50, BURST, NAIVE)
    few = measured(PEAK, {}, {"threads": 12.0})
    assert "the difference is small" in reason(few, MEMORY, PEAK, NAIVE)
    many = measured(PEAK, {}, {"threads": 900.0})
    assert "the difference is small" not in reason(many, MEMORY, PEAK, NAIVE)


def test_what_was_not_measured_is_no_verdict() -> None:
    results = Results()
    results.fail(PEAK.name, OURS, "killed")
    results.add(PEAK.name, NAIVE, {"rate": 1.0})
    assert [verdict.why for verdict in verdicts(results, [PEAK])] == ["not measured"] * 4
    assert no_exhaustion(exhaustions(results, [NAIVE, OURS])) is None


@pytest.mark.parametrize(
    ("naive", "ours", "verdict"), [(7, 0, True), (7, 1, False), (0, 0, False), (0, 1, False)]
)
def test_exhaustion_needs_a_naive_way_that_fails_and_a_bus_that_does_not(
    naive: int, ours: int, verdict: bool
) -> None:
    results = Results()
    for label, lost in ((NAIVE, naive), (OURS, ours)):
        figures = {"failed": 0, "left": 0, "runs": 10, "reason": "", "failure": "", "threads": 9}
        results.add(LIMITED.name, label, {**figures, "lost": lost, "limit": "RLIMIT_NPROC"})
    assert no_exhaustion(exhaustions(results, [NAIVE, OURS])) is verdict


def test_limit_that_does_not_bind_is_not_measured() -> None:
    results = Results()
    results.add(LIMITED.name, OURS, {"limit": "nothing binds", "lost": 0, "failed": 0})
    assert exhaustions(results, [OURS]) == []


def test_run_that_was_never_handled_counts_as_a_slow_one() -> None:
    latencies = Latencies(10)
    for milliseconds in range(1, 7):
        latencies.add(milliseconds * 1_000_000)
    figures = latencies.quantiles(10, 30.0)
    assert figures == {"handled": 6, "p50": 6.0, "p95": 30_000.0, "p99": 30_000.0, "max": 30_000.0}


def test_earlier_run_is_reported_as_it_was() -> None:
    results = measured(BURST, {"memory_mb": 1.0}, {})
    context = {"machine": {}, "rounds": 1, "quick": True, "work": {}, "seconds": 1}
    outcome = Outcome(results, [BURST], context)
    assert Outcome.from_json(outcome.as_json()).as_json() == outcome.as_json()


def test_paced_shape_offers_its_rate_in_handler_runs() -> None:
    events = PEAK.events(quick=False)
    assert PEAK.rate is not None
    assert runs(events) / (events * PEAK.interval()) == pytest.approx(PEAK.rate)
    assert set(types(events)) == set(HANDLERS)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the bench needs POSIX limits")
def test_quick_shape_is_measured_in_all_ways_and_nothing_is_lost(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.claims.run", "--quick", "--only", BURST.name]
    command += ["--build", str(tmp_path), "--page", str(tmp_path / "claims.md")]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    data = json.loads((tmp_path / "claims.json").read_text(encoding="utf-8"))
    assert data["problems"] == []
    assert data["work"]["lines"] >= 1
    measured_ways = data["shapes"][BURST.name]
    assert len(measured_ways) == 3
    for label in (OURS, "ThreadPoolExecutor"):
        (figures,) = measured_ways[label]
        assert figures["handled"] + figures["left"] == figures["runs"]
        assert figures["lost"] == figures["failed"] == 0
        assert figures["threads"] <= 1 + BURST.case.publishers + BURST.case.workers + 10
    page = (tmp_path / "claims.md").read_text(encoding="utf-8")
    assert all(claim.name in page for claim in CLAIMS)
