"""The programs that measure options: they measure what they say, and conclude it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.before import table
from bench.options import CALLS, WARM_UP, cases, low

SCRIPT = Path(__file__).resolve().parents[1] / "options.py"

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("old", [True, False])
def test_each_option_is_measured(old: bool) -> None:
    """Of an older version those cases only that it has."""
    end = subprocess.run(
        [sys.executable, SCRIPT, "--rounds", "1", *(["--old"] if old else [])],
        capture_output=True,
        text=True,
        check=True,
    )
    figures = json.loads(end.stdout)["figures"]
    wanted = {*cases(old), *({} if old else CALLS)} - {WARM_UP}
    assert set(figures) == wanted
    assert all(ns > 0 for values in figures.values() for ns in values)


def test_what_an_option_adds_is_compared_with_the_same_round() -> None:
    """And the ratio, with the older version's."""
    old = {"publish": [[50.0, 50.0], [100.0, 100.0], [60.0, 60.0]]}
    new = {
        "publish": [[55.0, 55.0], [90.0, 90.0], [60.0, 60.0]],
        "expires": [[105.0, 55.0], [240.0, 90.0], [100.0, 60.0]],
    }
    lines = table(old, new).splitlines()
    assert lines[2] == "| publish | 60 + 60 | 60 + 60 | 1.00 |  |"
    assert lines[3] == "| expires |  | 105 + 60 |  | +50 |"


def test_other_load_is_left_out() -> None:
    """The lowest tenth counts."""
    assert low([3.0, 1.0, 2.0, *[100.0] * 17]) == 1.5
