"""unittest's results: names of a verbose run and of the report, and the two closing lines."""

import re

from brummerbus.watch.detect.closings import Tally
from brummerbus.watch.payloads import Found, LogLine, TestResult

_LINE = re.compile(
    r"(?P<name>\s*\w+ \([\w.<>]+\)(?: .*?)?) \.\.\. (?P<status>ok|FAIL|ERROR|skipped .*|"
    r"expected failure|unexpected success)\s*$"
)
_NAME = re.compile(r"\s*(?P<name>\w+ \([\w.<>]+\)(?: [(\[].*[)\]])?)(?P<dots> \.\.\. )?")
_STATUS = re.compile(r"(?:.* \.\.\. )?(?P<status>ok|FAIL|ERROR|unexpected success)$")
_HEADING = re.compile(
    r"(?P<status>ERROR|FAIL): (?P<name>(?P<test>\w+ \([\w.<>]+\)|[\w.]+)(?P<sub> [(\[].*)?.*)"
)
_WHY = re.compile(r"(?:  \| )?(?P<why>[A-Za-z_][\w.]*(?:: .*)?)\s*$")
_RAN = re.compile(r"Ran (?P<count>\d+) tests? in [\d.]+s\s*$")
_END = re.compile(r"(?:OK|FAILED|PASSED|NO TESTS RAN)(?: \((?P<counts>[\w=, ]+)\))?\s*$")
_COUNT = re.compile(r"([A-Za-z ]+)=(\d+)")
_FIXTURES = (
    "setUpClass ", "tearDownClass ", "setUpModule ", "tearDownModule ", "_ErrorHolder")  # fmt: skip
_PASSED = {"ok": True, "FAIL": False, "ERROR": False}
"""The others are neither, as in the closing line."""
_RUNNER = "unittest"


class UnitDetector:
    """Finds unittest's results in one stream; feed it every line in order."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._reported: set[str] = set()
        self._failed: set[str] = set()
        """Tests that failed, one for all its subtests."""
        self._open = ""
        self._after_rule = False
        self._in_trace = False
        self._unexplained = ""
        """A failed test of the report, until its exception has come."""
        self._ran: int | None = None

    @property
    def idle(self) -> bool:
        """Whether no further line is waited for."""
        return not (self._open or self._after_rule or self._unexplained) and self._ran is None

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Return what this line reports, or None if it is not unittest's.

        A test's name, its docstring and its status may stand on three lines.
        """
        after_rule, self._after_rule = self._after_rule, text.startswith("=====")
        if after_rule and (match := _HEADING.match(text)):
            return self._heading(line, match)
        if self._unexplained and (found := self._reason(line, text)) is not None:
            return found
        if " ... " in text and (match := _LINE.match(text)):
            self._open = ""
            return self._result(line, match)
        if self._open and (match := _STATUS.match(text)):
            name, self._open = self._open, ""
            return self._result(line, match, name)
        closed = self._closing(line, text)
        if closed is not None:
            return closed
        if "(" in text and (match := _NAME.match(text)):
            if match["dots"] or match.end() == len(text):
                self._open = match["name"]
        elif after_rule or text.startswith(("-----", "=====")):
            self._open = ""
        return None

    def _heading(self, line: LogLine, match: re.Match[str]) -> list[Found]:
        """Take a failed test of the report; a verbose run may have named it when it failed."""
        self._unexplained, self._in_trace = match["name"], False
        if not match["name"].startswith(_FIXTURES):
            self._failed.add(match["test"])
        if match["name"] in self._reported:
            return []
        if match["sub"] and match["test"] in self._reported:
            self._reported.discard(match["test"])  # nose2 names the test, not its first subtest
            self._unexplained = match["test"]
            return []
        return self._result(line, match)

    def _reason(self, line: LogLine, text: str) -> list[Found] | None:
        """Return why a test failed that has been reported: the exception below its traceback."""
        if "Traceback (" in text:
            self._in_trace = True
        elif text.startswith(("-----", "=====")) and self._in_trace:
            self._unexplained = ""
        elif self._in_trace and (match := _WHY.match(text)):
            name, self._unexplained = self._unexplained, ""
            why = match["why"]
            return [TestResult(line.process, _RUNNER, name, False, why, line.time, count=0)]
        return None

    def _closing(self, line: LogLine, text: str) -> list[Found] | None:
        """Take `Ran 3 tests`, and the line behind it that says how they ended."""
        if text.startswith("Ran ") and (match := _RAN.match(text)):
            self._ran = int(match["count"])
            return []
        if self._ran is None or not text.strip():
            return None
        ran, self._ran = self._ran, None
        ended = _END.match(text)
        return None if ended is None else self._end(line, ran, ended["counts"] or "")

    def _result(self, line: LogLine, match: re.Match[str], name: str = "") -> list[Found]:
        passed = _PASSED.get(match["status"])
        if passed is None:
            return []
        name = name or match["name"].strip()
        self._reported.add(name)
        return [self._tally.named(line, _RUNNER, name, passed=passed)]

    def _end(self, line: LogLine, ran: int, counts: str) -> list[Found]:
        numbers = {word.strip(): int(number) for word, number in _COUNT.findall(counts)}
        if "successes" in numbers:  # of trial, which counts in the same words
            return self._close(line, numbers["successes"], numbers)
        neither = sum(
            numbers.get(word, 0)
            for word in ("skipped", "expected failures", "unexpected successes")
        )
        return self._close(line, max(ran - neither - len(self._failed), 0), numbers)

    def _close(self, line: LogLine, passed: int, numbers: dict[str, int]) -> list[Found]:
        failed = numbers.get("failures", 0) + numbers.get("errors", 0)
        self._reported.clear()
        self._failed.clear()
        self._unexplained = ""
        return [*self._tally.close(line, _RUNNER, passed=passed, failed=failed)]
