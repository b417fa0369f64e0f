"""The report: figures, ready for JSON, from which its other forms are made."""

import json
from dataclasses import replace
from typing import Any

import pytest

from brummerbus import Event
from brummerbus.watch.bus_figures import sparkline
from brummerbus.watch.counters import Counters
from brummerbus.watch.payloads import TestResult
from brummerbus.watch.summary import as_text

from .figures import GOOD, small_report
from .helpers import lines_event, make_lines


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return small_report()


def test_the_report_is_ready_for_json(report: dict[str, Any]) -> None:
    assert json.loads(json.dumps(report)) == report


def test_deliveries_are_told_by_type_and_by_priority(report: dict[str, Any]) -> None:
    line = {"published": 5, "processed": 5, "failed": 0, "dropped": 0}
    assert report["by_type"]["log.line"] == line
    assert report["by_priority"]["1"] == line
    assert report["by_priority"]["3"]["processed"] == 4
    assert list(report["by_priority"]) == ["3", "2", "1"]


def test_what_was_found_is_told(report: dict[str, Any]) -> None:
    assert report["errors"]["count"] == 1
    assert report["errors"]["found"][0]["message"] == "KeyError: '<x>'"
    assert (report["tests"]["passed"], report["tests"]["failed"]) == (1, 1)
    assert report["builds"] == {"make failed": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"lines_read": 6},
        {"rows_stored": 4},
        {"deliveries": {"store": 5, "find": 4}},
        {"processed": 5},
        {"events": 4},
        {"dropped": 1},
        {"failed": 1},
    ],
)
def test_any_number_that_differs_does_not_add_up(
    change: dict[str, Any], report: dict[str, Any]
) -> None:
    balance = replace(GOOD, **change)
    assert not balance.adds_up
    text = as_text({**report, "balance": {**report["balance"], "adds_up": False}})
    assert "THE COUNTS DO NOT AGREE" in text
    assert "handled by store 5, find 5" in text


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([], ""),
        ([(0.0, 0)], "▁"),
        ([(0.1, 0), (0.2, 0)], "▁▁"),
        ([(0.0, 0), (1.0, 7), (2.0, 14)], "▁▅█"),
    ],
)
def test_the_depth_is_drawn_as_bars(samples: list[tuple[float, int]], expected: str) -> None:
    assert sparkline(samples) == expected


def test_bars_show_the_highest_of_each_stretch() -> None:
    """A short peak in a long run is not averaged away."""
    samples = [(moment / 10, 100 if moment == 777 else 0) for moment in range(2000)]
    bars = sparkline(samples, 20)
    assert len(bars) == 20
    assert bars.count("█") == 1


def test_the_tally_gives_out_copies() -> None:
    counters = Counters(["api"])
    before = counters.snapshot()
    counters(lines_event(*make_lines("one")))
    assert before.processes["api"].lines == 0
    assert counters.snapshot().processes["api"].lines == 1


def test_a_correction_of_the_figures_is_no_failed_test() -> None:
    """A runner's closing line may say that fewer tests failed than were named."""
    counters = Counters(["api"])
    for count in (1, -1):
        result = TestResult("api", "pytest", "t::a" if count > 0 else "", False, "", 1.0, count)
        counters(Event("test.failed", result))
    assert counters.snapshot().tests["failed"] == 0
    assert [result.name for result in counters.failed_tests()] == ["t::a"]
