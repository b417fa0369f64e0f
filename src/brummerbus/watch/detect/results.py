"""Test results of one stream: the runners that name tests, and the closing lines of all.

A failing test is reported once, although a verbose run repeats it in its summary, and a closing
line adds the tests that were not named: the figures are those of the runner.
"""

import re

from brummerbus.watch.detect import closings, reports
from brummerbus.watch.detect.closings import Tally
from brummerbus.watch.detect.jest import JestDetector
from brummerbus.watch.detect.pytest import PytestDetector
from brummerbus.watch.detect.reports import REPORTS
from brummerbus.watch.detect.unit import UnitDetector
from brummerbus.watch.payloads import Found, LogLine

Results = tuple[list[Found], bool]
"""The results in a line, and whether the line is about tests and therefore not an error."""

HINTS = frozenset(
    ("::test", ".py::", "passed", "fail", "skipped", "deselected", "no tests", "error ", "=====",
     "-----", " ... ", "tap version", " (test", "___", "―――", "results (", "console.")
    ) | closings.HINTS | reports.HINTS  # fmt: skip
EXPRESSIONS = (r"(?<![a-z])ok (?![a-z])", r"(?<![a-z])(?:ran|pass|tests?) ")
"""What would be hints, but for words that end in the same letters, and for `200 OK in 3 ms`."""

_CARGO = re.compile(r"test (?P<name>\S.*?)(?: - should panic)? \.\.\. (?P<status>ok|FAILED)$")
_CARGO_QUIET = re.compile(r"(?P<name>[\w:]+) --- (?P<status>FAILED)$")
_NEXTEST = re.compile(
    r"\s+(?P<status>PASS|FAIL) \[ *[\d.]+s\] (?:\([ \d/]+\) )?(?P<name>\S.*?)\s*$"
)
_TAP = re.compile(r"\s*(?P<status>ok|not ok) (?P<number>\d+)(?P<name>.*)$")
_TAP_SHAPE = re.compile(r" - |\s*#|\s*$")
_TAP_START = re.compile(r"\s*(?:TAP version \d+|1\.\.\d+)\s*(?:#.*)?$")
_TAP_DIRECTIVE = re.compile(r"# ?(?:TODO|SKIP)\b", re.IGNORECASE)
_TAP_TIME = re.compile(r"\s# time=[\d.]+m?s\s*$")
_TAP_DETAIL = re.compile(r"\s+\S|\s*$|#")
_STATUSES = {"ok": True, "PASS": True, "FAIL": False, "FAILED": False, "not ok": False}


class ResultDetector:
    """Finds the test results in one stream; feed it every line in order."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._pytest = PytestDetector(self._tally)
        self._unit = UnitDetector(self._tally)
        self._jest = JestDetector(self._tally)
        self._reports = [report(self._tally) for report in REPORTS]
        self._in_tap = False
        self._after_not_ok = False

    @property
    def idle(self) -> bool:
        """Whether no further line is waited for, so that lines without a hint can be skipped."""
        return (
            self._tally.idle
            and self._pytest.idle
            and self._unit.idle
            and not self._jest.busy
            and not self._after_not_ok
            and not any(report.open for report in self._reports)
        )

    def feed(self, line: LogLine, text: str, lowered: str) -> Results:
        """Return the results in this line, and whether the line is about tests."""
        ended = self._tally.end_parts(text)
        found, claimed = self._feed(line, text, lowered)
        return [*ended, *found], claimed

    def _feed(self, line: LogLine, text: str, lowered: str) -> Results:
        found = self._pytest.feed(line, text)
        if found is not None:
            return found, True
        for report in self._reports:
            found = report.feed(line, text)
            if found is not None:
                return found, report.claims
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
        found: list[Found] = [*self._pytest.finish(), *self._jest.finish()]
        for report in self._reports:
            found += report.finish()
        return found + self._tally.finish()

    def _others(self, line: LogLine, text: str) -> Results:
        after, self._after_not_ok = self._after_not_ok, False
        if text.startswith("test ") and (match := _CARGO.match(text)):
            return self._result(line, "cargo test", match)
        if text.endswith(" --- FAILED") and (match := _CARGO_QUIET.match(text)):
            return self._result(line, "cargo test", match)
        if "s] " in text and (match := _NEXTEST.match(text)):
            return self._result(line, "cargo nextest", match)
        if text.lstrip().startswith(("TAP version", "1..")) and _TAP_START.match(text):
            self._in_tap = True
            return [], True
        if "ok " in text and (match := _TAP.match(text)):
            return self._tap(line, match)
        # What a failed test of TAP has below it is its detail.
        self._after_not_ok = after and _TAP_DETAIL.match(text) is not None
        return [], self._after_not_ok

    def _tap(self, line: LogLine, match: re.Match[str]) -> Results:
        if not (self._in_tap or _TAP_SHAPE.match(match["name"]) or match["status"] == "not ok"):
            return [], False
        self._after_not_ok = match["status"] == "not ok"
        if _TAP_DIRECTIVE.search(match["name"]) or match["name"].endswith("{"):
            return [], True  # with a brace: a suite, whose tests follow
        name = (
            _TAP_TIME.sub("", match["name"]).strip().removeprefix("- ").strip()
            or f"test {match['number']}"
        )
        return self._result(line, "tap", match, name)

    def _result(
        self, line: LogLine, framework: str, match: re.Match[str], name: str = ""
    ) -> Results:
        passed = _STATUSES.get(match["status"])
        if passed is None:
            return [], True
        return [
            self._tally.named(line, framework, name or match["name"].strip(), passed=passed)
        ], True
