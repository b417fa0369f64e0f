"""`python -m brummerbus size` shows the sizes for this machine, and why."""

import json
from typing import Any

import pytest

from brummerbus._cli import size
from helpers.sizes import MB, run


def test_says_how_each_number_came_about(place: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Cores, memory, preset, workers, queue and memory estimate, numbers filled in."""
    place(quota=2.5, container=700 * MB)
    out = run(capsys)
    assert "the minimum of host 64, affinity 6, container quota 2.5" in out
    assert "the minimum of machine 7.8 GB, container 700 MB left" in out
    assert "at least 512 MB available, not CI, fewer than 8 cores" in out
    assert "clamp(int(2 cores x 2.5), 4, 32)" in out
    assert "5 workers x 10" in out
    assert "5 x 24,576 stack + 50 x 1,024 event + 5 x 512 state" in out
    assert "brummer 5, io 6, mixed 4, cpu 4" in out


def test_says_that_there_are_no_limits(place: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """As on a machine without control groups."""
    out = run(capsys)
    assert "container quota none" in out
    assert "container no limit" in out


@pytest.mark.parametrize(
    ("where", "preset", "workers", "queue_size", "formula", "reason"),
    [
        ({}, "default", 15, 150, "clamp(int(6 cores x 2.5), 4, 32)", "not CI"),
        ({"ci": True}, "ci", 4, 20, "min(clamp(int(6 cores x 2.5), 4, 32), 4)", "CI, GITHUB_"),
        (
            {"container": 300 * MB, "ci": True},
            "low_memory",
            2,
            10,
            "min(clamp(int(6 cores x 2.5), 4, 32), 2)",
            "less than 512 MB available",
        ),
        (
            {"affinity": 8},
            "high_performance",
            32,
            640,
            "min(8 cores x 4, 32)",
            "8 cores or more, and not CI",
        ),
    ],
)
def test_shows_the_preset_and_why_it_was_chosen(
    place: Any,
    capsys: pytest.CaptureFixture[str],
    *,
    where: dict[str, Any],
    preset: str,
    workers: int,
    queue_size: int,
    formula: str,
    reason: str,
) -> None:
    """As text and as JSON."""
    place(**where)
    figures = json.loads(run(capsys, "--json"))
    assert figures["environment"]["preset"] == preset
    chosen = figures["for_environment"]
    assert (chosen["workers"], chosen["queue_size"]) == (workers, queue_size)
    assert chosen["workers_formula"] == formula
    text = run(capsys)
    assert formula in text
    assert reason in text


def test_json_has_every_figure(place: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes as ints, no limit as null."""
    place(affinity=2, container=1000 * MB)
    figures = json.loads(run(capsys, "--json"))
    assert figures["cores"] == {"available": 2, "host": 64, "affinity": 2, "quota": None}
    assert figures["memory"] == {
        "available": 1000 * MB,
        "machine": 8000 * MB,
        "container": 1000 * MB,
    }
    assert figures["environment"] == {
        "preset": "default",
        "low_memory": False,
        "ci": False,
        "high_performance": False,
    }
    assert figures["default"]["workers"] == 5
    assert figures["default"]["memory"] == 5 * 24_576 + 50 * 1024 + 5 * 512
    assert figures["workers_by_workload"] == {"brummer": 5, "io": 6, "mixed": 4, "cpu": 4}
    assert figures["memory_constrained_workers"] == 5


def test_works_on_the_machine_that_runs_the_tests(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever that machine is."""
    figures = json.loads(run(capsys, "--json"))
    assert figures["cores"]["available"] >= 1
    assert figures["for_environment"]["workers"] >= 1
    assert run(capsys).startswith("Cores")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 KB"), (1536, "1.5 KB"), (512 * MB, "512 MB"), (2**30, "1 GB"), (2**44, "16384 GB")],
)
def test_sizes_are_shown_in_the_unit_that_suits(count: int, text: str) -> None:
    """1 KB is 1,024 bytes."""
    assert size._size(count) == text


def test_measured_memory_stands_beside_the_model(
    place: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Resident and reserved, with the formula; omitted on request."""
    place()
    assert "Measured" not in run(capsys, "--no-measure")
    out = run(capsys)
    assert "Measured here, resident by USS" in out
    assert "100,000 + 15 x 61,440 busy worker + 150 x (200 slot + 500 event)" in out
    assert "model 517.5 KB" in out
    assert "idle; busy 60 KB (model 24 KB)" in out
    assert "8 MB              address space per worker; up to 72 MB for the first ones" in out
    figures = json.loads(run(capsys, "--json"))["measured"]
    assert figures["default"]["memory"] == 100_000 + 15 * 61_440 + 150 * 700
    assert figures["default"]["reserved"] == 15 * 72 * MB
    assert figures["memory_constrained_workers"] == 15
