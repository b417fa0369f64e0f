"""`pytest -qq`, which has no closing line: its rows of letters have the figures."""

import pytest

from brummerbus.watch.detect.gate import RESULTS, Gate

from .helpers import find

ROWS = """\
........................................................................ [ 91%]
..FFEsx                                                                  [100%]
"""

REPORT = """\
==================================== ERRORS ====================================
_________________________ ERROR at setup of test_setup _________________________
E   RuntimeError: no fixture

test_a.py:7: RuntimeError
=================================== FAILURES ===================================
_________________________________ test_par[2] __________________________________
E   assert 2 == 1

test_a.py:4: AssertionError
___________________________________ test_err ___________________________________
E   ValueError: boom <&>

test_a.py:5: ValueError
"""

SUMMARY = """\
=========================== short test summary info ============================
FAILED test_a.py::test_par[2] - assert 2 == 1
FAILED test_a.py::test_err - ValueError: boom <&>
ERROR test_a.py::test_setup - RuntimeError: no fixture
"""

ALL = """\
PASSED test_a.py::test_1
PASSED test_a.py::test_2
"""

CLOSING = "2 failed, 74 passed, 1 skipped, 1 xfailed, 1 error in 0.05s\n"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (ROWS, 0),
        (ROWS + REPORT, 3),
        (ROWS + SUMMARY, 3),
        (ROWS + REPORT + SUMMARY, 3),
        (ROWS + REPORT + SUMMARY + CLOSING, 3),
        (ROWS + SUMMARY + ALL, 3),
        ("bringing up nodes...\n\n" + ROWS + SUMMARY, 3),
    ],
)
def test_the_figures_are_those_of_the_rows(text: str, names: int) -> None:
    found = find(text)
    assert found.figures == (74, 3)
    assert sum(1 for item in found.results if item.name and not item.passed) == names


def test_a_second_very_quiet_run_counts_again() -> None:
    assert find((ROWS + SUMMARY) * 2).figures == (148, 6)


def test_a_run_with_a_closing_line_counts_beside_one_without() -> None:
    assert find(ROWS + SUMMARY + ROWS + SUMMARY + CLOSING).figures == (148, 6)
    assert find(ROWS + SUMMARY + CLOSING + ROWS + SUMMARY).figures == (148, 6)


@pytest.mark.parametrize("row", ["..FFE", "..FsFE."])
def test_a_row_that_the_first_failure_cuts_short_is_counted(row: str) -> None:
    """So is one of `pytest -s`, which shows no progress."""
    assert find(f"{row}\n{REPORT}{SUMMARY}").figures == (row.count("."), 3)


def test_a_row_may_show_progress_as_numbers() -> None:
    assert find("..x  [3/3]\n").figures == (2, 0)
    assert find(".. [2/4]\n.. [4/4]\n.. [2/2]\n").figures == (6, 0)


@pytest.mark.parametrize(
    "line",
    [
        "Receiving objects [100%]",
        "... [done]",
        "FEE",
        "fee [100%] of it",
        "..",
        "... waiting [3/3]",
    ],
)
def test_what_only_resembles_a_row_is_none(line: str) -> None:
    assert find(f"{line}\n").all == []


def test_a_row_of_letters_is_a_hint_and_words_are_none() -> None:
    gate = Gate([], always=False)
    assert gate.detectors("..FsE. [ 50%]") == RESULTS
    assert gate.detectors("..F") == RESULTS
    assert gate.detectors("progress [ 50%]") == 0
