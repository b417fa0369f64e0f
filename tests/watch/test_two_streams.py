# ruff: noqa: RUF001
"""A run of which one stream of the process has the figures and the other the failed tests."""

import pytest

from brummerbus.watch.detect import StreamDetector
from brummerbus.watch.detect.runs import Runs
from brummerbus.watch.payloads import Found

from .helpers import Findings, find, make_lines

OUT = """
 RUN  v4.1.12 /app

 ❯ a.test.js (3 tests | 1 failed | 1 skipped) 8ms
     ✓ adds 2ms
     × fails 4ms

 Test Files  1 failed (1)
      Tests  1 failed | 1 passed | 1 skipped (3)
   Start at  06:11:13

"""

ERR = """
stderr | a.test.js > sums > fails
ERROR what the test has printed

⎯⎯⎯⎯⎯⎯⎯ Failed Tests 1 ⎯⎯⎯⎯⎯⎯⎯

 FAIL  a.test.js > sums > fails
AssertionError: expected 3 to be 4 // Object.is equality

- Expected
+ Received

 ❯ a.test.js:4:37

⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯⎯[1/1]⎯

"""

NAME = ("a.test.js > sums > fails", "AssertionError: expected 3 to be 4 // Object.is equality")


def both(first: str, second: str) -> Findings:
    """Return what is found in two streams of one process, the first before the second."""
    runs = Runs()
    detectors = StreamDetector(runs=runs), StreamDetector(runs=runs)
    found: list[Found] = []
    for detector, text in zip(detectors, (first, second), strict=True):
        for line in make_lines(text):
            found += detector.feed(line)
    for detector in detectors:
        found += detector.finish(release=False)
    for detector in detectors:
        found += detector.end()
    return Findings(found)


@pytest.mark.parametrize("texts", [(OUT, ERR), (ERR, OUT)], ids=["figures first", "names first"])
def test_the_failed_tests_of_the_other_stream_are_those_of_the_figures(
    texts: tuple[str, str],
) -> None:
    found = both(*texts)
    assert found.figures == (1, 1)
    failed = [(item.name, item.detail) for item in found.results if not item.passed]
    assert failed == [NAME]
    assert found.errors == []


def test_figures_whose_tests_no_stream_names_are_counted() -> None:
    assert both(OUT, "working\n").figures == (1, 1)
    assert find(OUT).figures == (1, 1)


def test_a_second_run_in_both_streams_counts_again() -> None:
    assert both(OUT * 2, ERR * 2).figures == (2, 2)


def test_an_error_behind_the_last_failed_test_is_found() -> None:
    (error,) = find(f"{ERR}ERROR after the tests\n").errors
    assert error.message == "after the tests"
