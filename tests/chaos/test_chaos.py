"""The short forms of chaos and soak; the Makefile has the long ones."""

import subprocess
import sys
from pathlib import Path

import pytest

from helpers.waiting import HANG

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent


def run(script: str, *arguments: str) -> str:
    """Run a script in its own process, which must succeed, and return its output."""
    done = subprocess.run(
        [sys.executable, str(HERE / script), *arguments],
        capture_output=True,
        text=True,
        timeout=10 * HANG,  # the scripts' own watchdogs fire earlier, and print where they hang
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert not done.stderr, done.stderr
    return done.stdout


def test_the_counts_agree_in_every_snapshot_amid_chaos() -> None:
    """Some ten seconds of random buses, misused by many threads, from a fixed seed."""
    out = run("chaos.py", "--seconds", "10", "--seed", "1")
    assert "all in order" in out


def test_nothing_grows_over_three_hundred_thousand_events() -> None:
    """Resident memory, descriptors and threads are as in the first tenth."""
    out = run("soak.py", "--events", "300000")
    assert "the counts agree" in out
