"""Test results: pytest, unittest, go test, cargo test, TAP and jest.

A failing test is reported once, although a verbose run repeats it in its summary.
"""

import re

from brummerbus.watch.detect.jest import JestDetector
from brummerbus.watch.payloads import LogLine, TestResult

Results = tuple[list[TestResult], bool]
"""The results in a line, and whether the line is about tests and therefore not an error."""

_PYTEST_STATUS = r"(?P<status>PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)"
_PYTEST_LINE = re.compile(
    rf"(?P<name>[^\s:]+\.\w+::.+?) {_PYTEST_STATUS}(?: \(.*\))?\s*(?:\[\s*\d+%\])?\s*$"
)
_PYTEST_WORKER = re.compile(
    rf"\[gw\d+\](?: \[\s*\d+%\])? {_PYTEST_STATUS} (?P<name>\S+?::.+?)(?P<detail>)\s*$"
)
_PYTEST_SUMMARY = re.compile(
    rf"{_PYTEST_STATUS} (?P<name>[^\s:]+\.\w+::.+?|\S+\.py)(?: - (?P<detail>.*))?$"
)
_PYTEST_END = re.compile(
    r"(?:=+ )?\d+ (?:passed|failed|error|skipped|xfailed|xpassed).* in [\d.]+s\b"
)
_PYTEST_HEADING = re.compile(
    r"_{3,} .*(?:ERROR|FAIL).* _{3,}$|=+ .*\b(?:error|failed|passed)\b.* =+$"
)
_UNITTEST_LINE = re.compile(
    r"(?P<name>\s*\w+ \([\w.<>]+\)(?: .*?)?) \.\.\. (?P<status>ok|FAIL|ERROR|skipped .*|"
    r"expected failure|unexpected success)\s*$"
)
_UNITTEST_NAME = re.compile(r"\s*(?P<name>\w+ \([\w.<>]+\)(?: [(\[].*[)\]])?)(?P<dots> \.\.\. )?")
_UNITTEST_STATUS = re.compile(r"(?:.* \.\.\. )?(?P<status>ok|FAIL|ERROR|unexpected success)$")
_UNITTEST_HEADING = re.compile(r"(?P<status>ERROR|FAIL): (?P<name>\w+ \([\w.<>]+\).*)")
_GO = re.compile(r"\s*--- (?P<status>PASS|FAIL|SKIP): (?P<name>\S+) \([\d.]+s\)")
_CARGO = re.compile(r"test (?P<name>\S+)(?: - should panic)? \.\.\. (?P<status>ok|FAILED)$")
_TAP = re.compile(r"\s*(?P<status>ok|not ok) (?P<number>\d+)(?P<name>.*)$")
_TAP_SHAPE = re.compile(r" - |\s*#|\s*$")
_TAP_START = re.compile(r"\s*(?:TAP version \d+|1\.\.\d+)\s*(?:#.*)?$")
_TAP_DIRECTIVE = re.compile(r"# ?(?:TODO|SKIP)\b", re.IGNORECASE)

_STATUSES = {
    "PASSED": True,
    "XPASS": True,
    "FAILED": False,
    "ERROR": False,
    "ok": True,
    "FAIL": False,
    "PASS": True,
    "not ok": False,
    "unexpected success": False,
}
"""Skipped tests and expected failures are neither passed nor failed, and are not reported."""


class ResultDetector:
    """Finds the test results in one stream; feed it every line in order."""

    def __init__(self) -> None:
        self._jest = JestDetector()
        self._reported: set[str] = set()
        self._unittest = ""
        self._after_rule = False
        self._in_tap = False

    def feed(self, line: LogLine, text: str) -> Results:
        """Return the results in this line, and whether the line is about tests."""
        results = self._jest.feed(line, text)
        if results is not None:
            return results, True
        return self._pytest(line, text) or self._unit(line, text) or self._others(line, text)

    def finish(self) -> list[TestResult]:
        """Return the results that were waiting for a further line."""
        return self._jest.finish()

    def _pytest(self, line: LogLine, text: str) -> Results | None:
        if "::" in text or text.startswith("ERROR "):
            match = _PYTEST_WORKER.match(text) or _PYTEST_LINE.match(text)
            if match is None and (match := _PYTEST_SUMMARY.match(text)) is not None:
                if match["name"] in self._reported:
                    return [], True
                return self._result(line, "pytest", match, detail=match["detail"] or "")
            if match is not None:
                return self._result(line, "pytest", match)
        if _PYTEST_END.match(text):
            self._reported.clear()
            return [], True
        return ([], True) if _PYTEST_HEADING.match(text) else None

    def _unit(self, line: LogLine, text: str) -> Results | None:
        """Unittest may print a test's name, its docstring and its status on three lines."""
        after_rule, self._after_rule = self._after_rule, text.startswith("=====")
        if after_rule and (match := _UNITTEST_HEADING.match(text)):
            if match["name"] in self._reported:
                return [], True
            return self._result(line, "unittest", match)
        if " ... " in text and (match := _UNITTEST_LINE.match(text)):
            self._unittest = ""
            return self._result(line, "unittest", match)
        if self._unittest and (match := _UNITTEST_STATUS.match(text)):
            name, self._unittest = self._unittest, ""
            return self._result(line, "unittest", match, name=name)
        if text.startswith("Ran "):
            self._reported.clear()
        if "(" in text and (match := _UNITTEST_NAME.match(text)):
            if match["dots"] or match.end() == len(text):
                self._unittest = match["name"]
        elif after_rule or text.startswith(("-----", "=====")):
            self._unittest = ""
        return None

    def _others(self, line: LogLine, text: str) -> Results:
        if "--- " in text and (match := _GO.match(text)):
            return self._result(line, "go test", match)
        if text.startswith("test ") and (match := _CARGO.match(text)):
            return self._result(line, "cargo test", match)
        if text.lstrip().startswith(("TAP version", "1..")) and _TAP_START.match(text):
            self._in_tap = True
            return [], True
        if "ok " in text and (match := _TAP.match(text)):
            if not (self._in_tap or _TAP_SHAPE.match(match["name"])):
                return [], False
            if _TAP_DIRECTIVE.search(match["name"]):
                return [], True
            name = match["name"].strip().removeprefix("- ").strip() or f"test {match['number']}"
            return self._result(line, "tap", match, name=name)
        return [], False

    def _result(
        self,
        line: LogLine,
        framework: str,
        match: re.Match[str],
        *,
        name: str = "",
        detail: str = "",
    ) -> Results:
        passed = _STATUSES.get(match["status"])
        if passed is None:
            return [], True
        name = name or match["name"].strip()
        if framework in ("pytest", "unittest"):  # they repeat a test in a summary
            self._reported.add(name)
        return [TestResult(line.process, framework, name, passed, detail, line.time)], True
