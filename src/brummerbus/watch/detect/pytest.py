"""pytest's results: names where a run prints them, the closing line for all others."""

import re

from brummerbus.watch.detect.closings import Tally
from brummerbus.watch.detect.pytest_rows import Rows
from brummerbus.watch.payloads import ErrorFound, Found, LogLine, TestResult

_STATUS = r"(?P<status>PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)"
_LINE = re.compile(rf"(?P<name>[^\s:]+\.\w+::.+?) {_STATUS}(?: \(.*\))?\s*(?:\[\s*\d+%\])?\s*$")
_WORKER = re.compile(rf"\[gw\d+\](?: \[\s*\d+%\])? {_STATUS} (?P<name>\S+?::.+?)(?P<detail>)\s*$")
_SUMMARY = re.compile(
    rf"{_STATUS} (?P<name>[^\s:]+\.\w+::.+?|\S+\.(?:py|txt|rst|md)|\S+/)(?: - (?P<detail>.*))?$"
)
_SUB_LINE = re.compile(
    r"(?P<name>[^\s:]+\.\w+::\S.*?) (?P<status>SUBFAILED|SUBFAIL)(?P<sub>[ \[(].*?)?"
    r"\s*(?:\[\s*\d+%\])?\s*$"
)
_SUB_SUMMARY = re.compile(
    r"(?P<status>SUBFAILED|SUBFAIL)(?P<sub>[ \[(].*?)? (?P<name>[^\s:]+\.\w+::.+?)"
    r"(?: - (?P<detail>.*))?$"
)
_END = re.compile(
    r"(?:=+ )?(?P<counts>\d+ (?:passed|failed|errors?|skipped|xfailed|xpassed|deselected|warnings?|"
    r"rerun|subtests passed)\b.*?|no tests ran|no tests collected.*) in [\d.]+s"
    r"(?: \([\d:]+\))?(?: =+)?\s*$"
)
_COUNT = re.compile(r"(\d+) (passed|failed|errors?)\b")
_SECTION = re.compile(
    r"=+ (?P<what>ERRORS|FAILURES|PASSES|XPASSES|XFAILURES|RERUNS|short test summary info|"
    r"warnings summary.*|slowest .*durations.*) =+\s*$"
)
_SUGAR_SECTION = re.compile(r"\s*―{3,} .+ ―{3,}\s*$")
_SUGAR_END = re.compile(r"Results \([\d.]+s\):\s*$")
_SESSION = re.compile(r"=+ test session starts .*=+\s*$")
_TEST_HEADING = re.compile(r"_{5,} (?:ERROR at \w+ of )?[\w.]*[Tt]est\S* _{5,}\s*$")
_HEADING = re.compile(r"_{2,} (?P<name>.+) _{2,}\s*$|=+ .+ =+\s*$")
_COLLECTING = re.compile(r"ERROR collecting (?P<file>.+)")
_AT = re.compile(r"ERROR at (?:setup|teardown) of ")
_REASON = re.compile(r"E {2,}(?P<reason>\S.*?)\s*$")
_E_LINE = re.compile(r"E\s{1,3}(?P<message>[A-Za-z_][\w.]*(?:: .*)?)\s*$")
_E_FILE = re.compile(r'E\s+File "(?P<file>[^"]+)", line (?P<line>\d+)')
_FRAME = re.compile(r"(?P<place>[^\s:<][^:]*:\d+): (?:in |[A-Z]\w*)")
_PASSED = {"PASSED": True, "FAILED": False, "ERROR": False, "SUBFAILED": False, "SUBFAIL": False}
"""Skipped tests and expected failures are neither, as in the closing line."""


class PytestDetector:
    """Finds pytest's results in one stream; feed it every line in order."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.rows = Rows(tally)
        self._reported: set[tuple[str, bool]] = set()
        self._in_report = False
        self._collecting: _Collecting | None = None
        self._why: dict[str, str] = {}
        self._headings: list[tuple[LogLine, str]] = []
        """The failed tests of a report, which are named nowhere else if the run is very quiet."""
        self._bad_section = False
        self._in_session = False
        self._test = ""
        """The test whose failure is reported, without its file, until its reason has come."""
        self._reasons: dict[str, list[str]] = {}
        """By such a name; tests of several files may have it, and the summary has their order."""

    @property
    def idle(self) -> bool:
        """Whether no further line is waited for."""
        return not self._in_report

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Return what this line reports, or None if it is not pytest's."""
        found: list[Found] = []
        if self._in_session and not self._in_report and _TEST_HEADING.match(text):
            self._in_report = True  # of pytest-instafail, while tests run
        found += self._report(line, text)
        if match := _END.match(text):
            return found + self._end(line, match["counts"])
        if (match := _SECTION.match(text)) or _SUGAR_SECTION.match(text):
            self._in_report = True
            self._bad_section = match is not None and match["what"] in ("ERRORS", "FAILURES")
            return found
        if _SUGAR_END.match(text):  # the figures follow, one on a line
            self._in_report = False
            return found
        if _SESSION.match(text):
            found += self.rows.end()
            self._in_report = False
            self._in_session = True
            self._reported.clear()
            self._headings.clear()
            return found
        results = self._named(line, text)
        if results is not None:
            return found + results
        return found if self._in_report else None

    def _report(self, line: LogLine, text: str) -> list[Found]:
        """Take a heading of the report, or a line below it, which may be a reason."""
        found: list[Found] = []
        if self._in_report and text.startswith(("_", "=")) and (heading := _HEADING.match(text)):
            found += self._end_collecting()
            name = heading["name"] or ""
            self._test = _AT.sub("", name)
            if match := _COLLECTING.match(name):
                self._collecting = _Collecting(line, text, match["file"])
            elif self._test and self._bad_section:
                self._headings.append((line, self._test))
        elif self._collecting is not None:
            self._collecting.take(line, text)
        elif self._test and text.startswith("E ") and (match := _REASON.match(text)):
            self._reasons.setdefault(self._test, []).append(match["reason"])
            self._test = ""
        return found

    def finish(self) -> list[Found]:
        """Return what is still open at the end of the stream."""
        found = self._end_collecting()
        if not any(not passed for _, passed in self._reported):
            for line, name in self._headings:
                reasons = self._reasons.get(name)
                detail = reasons.pop(0) if reasons else ""
                found.append(self._tally.named(line, "pytest", name, passed=False, detail=detail))
        return [*found, *self.rows.end()]

    def _named(self, line: LogLine, text: str) -> list[Found] | None:
        if "::" not in text and not text.startswith(("ERROR ", "FAILED ")):
            return None
        match = _WORKER.match(text) or _LINE.match(text) or _SUB_LINE.match(text)
        detail = ""
        if match is None:
            match = _SUMMARY.match(text) or _SUB_SUMMARY.match(text)
            if match is None:
                return None
            detail = self._detail(match["name"], match["detail"] or "")
        name, passed = match["name"].strip(), _PASSED.get(match["status"])
        if sub := match.groupdict().get("sub"):
            name += f" {sub.strip()}"
        if passed is None:
            return []
        if (name, passed) in self._reported:
            return [] if passed or not detail else [_reason(line, name, detail)]
        self._reported.add((name, passed))
        return [self._tally.named(line, "pytest", name, passed=passed, detail=detail)]

    def _detail(self, name: str, summary: str) -> str:
        """Return why a test failed; the summary has no space for it if the name is long."""
        reasons = self._reasons.get(name.partition("::")[2].replace("::", "."))
        reason = reasons.pop(0) if reasons else self._why.get(name, "")
        return reason if reason and (not summary or summary.endswith("...")) else summary

    def _end(self, line: LogLine, counts: str) -> list[Found]:
        numbers = {word.rstrip("s"): int(number) for number, word in _COUNT.findall(counts)}
        self._in_report = self._in_session = False
        self._reported.clear()
        self._headings.clear()
        self._why.clear()
        self._reasons.clear()
        return [
            *self._tally.close(
                line,
                "pytest",
                passed=numbers.get("passed", 0),
                failed=numbers.get("failed", 0) + numbers.get("error", 0),
                noted=self.rows.close(),
            )
        ]

    def _end_collecting(self) -> list[Found]:
        collecting, self._collecting = self._collecting, None
        if collecting is None:
            return []
        self._why[collecting.file] = collecting.message
        return [collecting.found()]


def _reason(line: LogLine, name: str, detail: str) -> TestResult:
    """Return why a test failed that was reported when it failed; the summary says it later."""
    return TestResult(line.process, "pytest", name, False, detail, line.time, count=0)


class _Collecting:
    """A file that cannot be collected: an error, since none of its tests has run."""

    def __init__(self, line: LogLine, text: str, file: str) -> None:
        self.file = file
        self.message = f"cannot collect {file}"
        self._first = self._last = line
        self._place = self._raised = ""
        self._lines = [text]

    def take(self, line: LogLine, text: str) -> None:
        self._last = line
        if len(self._lines) < 100:
            self._lines.append(text[:500])
        if match := _E_FILE.match(text):
            self._raised = f"{match['file']}:{match['line']}"
        elif match := _E_LINE.match(text):
            self.message = match["message"]
        elif match := _FRAME.match(text):
            self._place = match["place"]

    def found(self) -> ErrorFound:
        first = self._first
        return ErrorFound(
            first.process, first.stream, first.number, self._last.number, first.time, "pytest",
            self.message, self._raised or self._place, "\n".join(self._lines),
        )  # fmt: skip
