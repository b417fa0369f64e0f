"""The report: the same figures as data, as text, as a page, and as the live view."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, BusStats, Event, EventBus
from brummerbus.watch import live, page
from brummerbus.watch.counters import Counters
from brummerbus.watch.payloads import (
    BuildEvent,
    ErrorFound,
    LogLine,
    ProcessExited,
    ProcessStarted,
    TestResult,
)
from brummerbus.watch.report import Balance, Run, as_text, collect, sparkline

from .helpers import lines_event, make_lines

EVENTS = [
    Event("process.started", ProcessStarted("api", 7, "serve", 100.0)),
    *[lines_event(LogLine("api", "stdout", n, f"line {n} [b]&", 101.0)) for n in range(5)],
    Event("error.detected", ErrorFound("api", "stderr", 1, 2, 102.0, "python", "KeyError: '<x>'",
                                       "a.py:3", "Traceback\nKeyError: '<x>'")),
    Event("test.passed", TestResult("api", "pytest", "t::good", True, "", 103.0)),
    Event("test.failed", TestResult("api", "pytest", "t::bad", False, "1 != 2", 103.0)),
    Event("build.event", BuildEvent("api", "make", "failed", "make: *** Error 1", 103.0)),
    Event("process.exited", ProcessExited("api", 7, 1, 3.5, 103.5)),
]  # fmt: skip
GOOD = Balance(5, 5, 3, {"store": 5, "find": 5}, 6, 0, 0)


@pytest.fixture(scope="module")
def received() -> Iterator[tuple[Counters, BusStats]]:
    """Counters that have received all events over a bus, and the bus's statistics."""
    counters = Counters(["api", "web"])
    with EventBus(policy=BackpressurePolicy.BLOCK) as bus:
        bus.subscribe("*", counters)
        bus.publish_many(EVENTS)
        assert bus.flush(30)
        yield counters, bus.stats()


@pytest.fixture
def report(received: tuple[Counters, BusStats]) -> dict[str, Any]:
    counters, stats = received
    depth = [(0.1 * moment, moment % 7) for moment in range(1, 50)]
    with EventBus(workers=1) as bus:
        advice = bus.advise()
    run = Run("Proc<file>", "log.db", 100.0, 4.9, 1, 64, [], depth, GOOD, [], advice)
    return collect(run, stats, counters)


def test_the_report_ends_with_advice(report: dict[str, Any]) -> None:
    assert report["advice"]["reason"].startswith("too little data")
    assert report["advice"]["text"] in as_text(report)


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
    "part",
    [
        "Watched Proc<file> for 4.9 s, exit 1",
        "log.line",
        "Utilisation of",
        "maximum 6 of 64",
        "Tests: 1 passed, 1 failed\n  api: t::bad - 1 != 2",
        "Builds: make failed 1",
        "api: python: KeyError: '<x>' at a.py:3",
        "5 lines read, 5 rows stored, handled by store 5, find 5; 0 dropped, 0 failed: all counts",
    ],
)
def test_the_text_says_it_all(part: str, report: dict[str, Any]) -> None:
    assert part in as_text(report)


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


@pytest.mark.slow
@pytest.mark.xdist_group("matplotlib")  # imported once, in one process
class TestPage:
    """The report as one HTML page."""

    @pytest.fixture
    def html(self, report: dict[str, Any]) -> str:
        """The page."""
        pytest.importorskip("matplotlib")
        return page.as_html(report)

    def test_it_needs_no_other_file(self, html: str) -> None:
        """No script, style sheet or image other than inline ones."""
        assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!#)|url\((?!#)|@import|<script", html)

    def test_it_is_well_formed(self, html: str) -> None:
        """Every element that is opened is closed, in order."""
        empty = {"meta"}
        opened: list[str] = []

        class Checker(HTMLParser):
            def handle_starttag(self, tag: str, attrs: Any) -> None:
                if tag not in empty:
                    opened.append(tag)

            def handle_endtag(self, tag: str) -> None:
                assert opened.pop() == tag

        Checker(convert_charrefs=True).feed(html)
        assert opened == []

    def test_it_has_a_plot_of_each_kind(self, html: str) -> None:
        """Depth, deliveries, times and utilisation."""
        assert html.count("<svg") == html.count("</svg>") == 4

    def test_what_processes_print_is_no_markup_in_it(self, html: str) -> None:
        """Names, messages and tracebacks are escaped."""
        assert "<x>" not in html
        assert "KeyError: &#x27;&lt;x&gt;&#x27;" in html
        assert "Proc&lt;file&gt;" in html

    def test_the_same_report_makes_the_same_page(self, html: str, report: dict[str, Any]) -> None:
        """No date, no random identifiers."""
        assert page.as_html(report) == html


@pytest.mark.parametrize(
    "part",
    ["api", "failed 1", "web", "waiting", "log.line", "line 4 [b]&", "KeyError: '<x>' at a.py:3"],
)
def test_the_live_view_shows_processes_events_and_errors(
    part: str, received: tuple[Counters, BusStats]
) -> None:
    """As text: the output of a process is not markup."""
    console = pytest.importorskip("rich.console")
    counters, stats = received
    out = StringIO()
    terminal = console.Console(file=out, force_terminal=True, width=120, color_system=None)
    view = live.draw(counters, stats, 64, [(0.1, 3), (0.2, 5)])
    terminal.print(view)
    assert part in out.getvalue()


def test_the_live_view_is_drawn_and_taken_away(received: tuple[Counters, BusStats]) -> None:
    console = pytest.importorskip("rich.console")
    counters, stats = received
    out = StringIO()
    terminal = console.Console(file=out, force_terminal=True, width=120, height=50)
    with live.LiveView(counters, terminal) as view:
        view.update(stats, 64, [], 0.0)
        first = out.getvalue()
        view.update(stats, 64, [], 0.01)  # too soon to draw again
        assert out.getvalue() == first
    assert "log.line" in first


def test_the_tally_gives_out_copies() -> None:
    counters = Counters(["api"])
    before = counters.snapshot()
    counters(lines_event(*make_lines("one")))
    assert before.processes["api"].lines == 0
    assert counters.snapshot().processes["api"].lines == 1
