"""`python -m brummerbus size` shows what this machine gets, and why."""

import argparse
import json
from typing import Any

import pytest

from brummerbus import machine, size_command

MB = 1024 * 1024


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the command as the command line does and return what it prints."""
    parser = argparse.ArgumentParser()
    size_command.add_arguments(parser)
    assert size_command.run(parser.parse_args(arguments)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that puts the command on a machine; 6 of 64 cores and 8,000 MB by default."""

    def put(
        *,
        affinity: int = 6,
        quota: float | None = None,
        memory: int = 8000 * MB,
        container: int | None = None,
        ci: bool = False,
    ) -> None:
        monkeypatch.setattr(machine, "host_cores", lambda: 64)
        monkeypatch.setattr(machine, "affinity_cores", lambda: affinity)
        monkeypatch.setattr(machine, "quota_cores", lambda: quota)
        monkeypatch.setattr(machine, "machine_memory", lambda: memory)
        monkeypatch.setattr(machine, "container_memory", lambda: container)
        for name in machine.CI_VARIABLES:
            monkeypatch.delenv(name, raising=False)
        if ci:
            monkeypatch.setenv("CI", "true")

    put()
    return put


def test_says_how_each_number_came_about(place: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Cores, memory, preset, workers, queue and memory estimate, numbers filled in."""
    place(quota=2.5, container=700 * MB)
    out = run(capsys)
    assert "the smallest of host 64, affinity 6, container quota 2.5" in out
    assert "the smaller of machine 7.8 GB, container 700 MB left" in out
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
    """To people and to programs alike."""
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
    assert size_command._size(count) == text
