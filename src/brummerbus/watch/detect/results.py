"""Test results of one stream: the runners that name tests, and the closing lines of all.

A failing test is reported once, although a verbose run repeats it in its summary, and a closing
line adds the tests that were not named: the figures are those of the runner.
"""

import re

from brummerbus.watch.detect import closings, listed, pytest_rows, reportlog, reports, shapes
from brummerbus.watch.detect.closings import Tally
from brummerbus.watch.detect.documents import Documents
from brummerbus.watch.detect.jest import JestDetector
from brummerbus.watch.detect.listed import Listed
from brummerbus.watch.detect.pytest import PytestDetector
from brummerbus.watch.detect.reports import REPORTS
from brummerbus.watch.detect.runs import Held
from brummerbus.watch.detect.tap import Tap
from brummerbus.watch.detect.unit import UnitDetector
from brummerbus.watch.payloads import Found, LogLine

Results = tuple[list[Found], bool]
"""The results in a line, and whether the line is about tests and therefore not an error."""

HINTS = frozenset(
    ("::test", ".py::", "passed", "fail", "skipped", "deselected", "no tests", "error ", "=====",
     "-----", " ... ", "tap version", " (test", "___", "―――", "results (", "console.",
     "<testsuite", reportlog.HINT)
    ) | closings.HINTS | listed.HINTS | reports.HINTS | shapes.HINTS  # fmt: skip
EXPRESSIONS = (
    r"(?<![a-z])ok (?![a-z])", r"(?<![a-z])(?:ran|pass|tests?) ", pytest_rows.EXPRESSION
)  # fmt: skip
"""What would be hints, but for words that end in the same letters, and for `200 OK in 3 ms`."""

_NEXTEST = re.compile(
    r"\s+(?P<status>PASS|FAIL) \[ *[\d.]+s\] (?:\([ \d/]+\) )?(?P<name>\S.*?)\s*$"
)


class ResultDetector:
    """Finds the test results in one stream; feed it every line in order.

    Args:
        held: Where the results of documents are held.
    """

    def __init__(self, held: Held) -> None:
        self._tally = Tally(held.runs)
        self._documents = Documents(held)
        self._pytest = PytestDetector(self._tally)
        self._unit = UnitDetector(self._tally)
        self._jest = JestDetector(self._tally)
        self._listed = Listed(self._tally)
        self._reports = [report(self._tally) for report in REPORTS]
        self._tap = Tap(self._tally)

    @property
    def idle(self) -> bool:
        """Whether no further line is waited for, so that lines without a hint can be skipped."""
        return (
            self._tally.idle
            and not self._documents.open
            and self._listed.idle
            and self._pytest.idle
            and self._unit.idle
            and not self._jest.busy
            and self._tap.idle
            and not any(report.open for report in self._reports)
        )

    @property
    def waits(self) -> bool:
        """Whether a closing of several lines is complete unless the next line belongs to it."""
        return self._tally.waits

    def settle(self) -> list[Found]:
        """Return what a closing of several lines says to which no line is added."""
        return [*self._tally.settle()]

    def feed(self, line: LogLine, text: str, lowered: str) -> Results:
        """Return the results in this line, and whether the line is about tests."""
        text = reportlog.as_line(line, text)
        rows = self._pytest.rows.feed(line, text)
        found = self._documents.feed(line, text, lowered)
        if found is not None:
            return [*rows, *found], True
        ended = [*rows, *self._tap.end(text), *self._listed.end(text), *self._tally.end_parts(text)]
        results, claimed = self._feed(line, text, lowered)
        return [*ended, *results], claimed

    def _feed(self, line: LogLine, text: str, lowered: str) -> Results:
        found = self._pytest.feed(line, text)
        if found is not None:
            return found, True
        for report in self._reports:
            found = report.feed(line, text)
            if found is not None:
                return found, report.claims
        named = self._listed.feed(line, text, lowered)
        if named is not None:
            return [*named], True
        closed = self._tally.feed(line, text, lowered)
        if closed is not None:
            more = self._jest.feed(line, text) or []
            return [*more, *closed], True
        results = self._jest.feed(line, text)
        if results is not None:
            return results, True
        found = self._unit.feed(line, text)
        if found is not None:
            return found, True
        return self._others(line, text)

    def finish(self) -> list[Found]:
        """Return the results that were waiting for a further line."""
        found: list[Found] = [
            *self._pytest.finish(),
            *self._jest.finish(),
            *self._listed.finish(),
            *self._tap.finish(),
        ]
        for report in self._reports:
            found += report.finish()
        found += self._tally.settle()
        self._documents.finish()
        return found

    def leftover(self) -> list[Found]:
        """Return what closing lines have counted and no stream has named."""
        return [*self._tally.leftover()]

    def _others(self, line: LogLine, text: str) -> Results:
        if "s] " in text and (match := _NEXTEST.match(text)):
            passed = match["status"] == "PASS"
            return [self._tally.named(line, "cargo nextest", match["name"], passed=passed)], True
        found = self._tap.feed(line, text)
        return found or [], found is not None
