"""jest's results, which depend on the preceding file line and on the verbosity of the run.

A verbose run lists each test with a tick or a cross under its file. Otherwise only failing tests
are listed, as headings with a dot, and a passing file is reported itself, at its end.
"""

import re

from brummerbus.watch.payloads import LogLine, TestResult

_FILE = re.compile(
    r"\s?(?P<status>PASS|FAIL) (?:\S+ )?"
    r"(?P<name>\S+\.(?:test|spec)\.\w+|\S*__tests__/\S+|\S+\.[cm]?[jt]sx?)(?: \([\d.]+ m?s\))?\s*$"
)
_TEST = re.compile(r"\s+(?P<mark>[✓✔√✕✖✗\u00d7]) (?P<name>.+?)(?: \([\d.]+ m?s\))?\s*$")
_DOT = re.compile(r"\s+● (?P<name>.+?)\s*$")
_GROUP = re.compile(r"(?P<indent>\s{2,})(?P<name>[^\s●○✓✔√✕✖✗\u00d7].*?)\s*$")
_END = re.compile(r"(?:Test Suites|Summary of all failing tests)\b")
_ARROW = " › "  # noqa: RUF001 - as jest writes it
_PASSED_MARKS = "✓✔√"
_SUITE_FAILED = "Test suite failed to run"


class JestDetector:
    """Finds jest's results in one stream; feed it every line in order."""

    def __init__(self) -> None:
        self._file = ""
        self._file_passed = False
        self._file_time = 0.0
        self._process = ""
        self._named = False
        self._dotted = False
        self._groups: list[tuple[int, str]] = []
        self._failed: set[str] = set()

    def feed(self, line: LogLine, text: str) -> list[TestResult] | None:
        """Return the results in this line, or None if it is not jest's."""
        if text.startswith(("PASS ", "FAIL ", " PASS", " FAIL")) and (match := _FILE.match(text)):
            results = self.finish()
            self._file = match["name"]
            self._file_passed = match["status"] == "PASS"
            self._file_time = line.time
            self._process = line.process
            return results
        if not self._file:
            return None
        if _END.match(text):
            return self.finish()
        if match := _TEST.match(text):
            return [self._named_test(line, text, match)]
        if match := _DOT.match(text):
            return self._dotted_test(line, match["name"])
        if not self._dotted and (match := _GROUP.match(text)):
            indent = len(match["indent"])
            self._groups = [group for group in self._groups if group[0] < indent]
            self._groups.append((indent, match["name"]))
        return None

    def finish(self) -> list[TestResult]:
        """Return the result of the file that has ended, if none of its tests was listed."""
        file, self._file = self._file, ""
        named, self._named = self._named, False
        self._dotted = False
        self._groups.clear()
        if not file or named or file in self._failed:
            return []
        return [self._make(file, self._file_passed, self._file_time)]

    def _named_test(self, line: LogLine, text: str, match: re.Match[str]) -> TestResult:
        self._named = True
        indent = len(text) - len(text.lstrip())
        parts = [name for group_indent, name in self._groups if group_indent < indent]
        name = _ARROW.join([*parts, match["name"]])
        passed = match["mark"] in _PASSED_MARKS
        if not passed:
            self._failed.add(f"{self._file}{_ARROW}{name}")
        return self._make(f"{self._file}{_ARROW}{name}", passed, line.time)

    def _dotted_test(self, line: LogLine, name: str) -> list[TestResult]:
        self._dotted = True
        if self._file_passed or name == "Console":
            return []
        self._named = True
        full = self._file if name == _SUITE_FAILED else f"{self._file}{_ARROW}{name}"
        if full in self._failed:
            return []
        self._failed.add(full)
        return [self._make(full, False, line.time, name if name == _SUITE_FAILED else "")]

    def _make(
        self,
        name: str,
        passed: bool,  # noqa: FBT001
        time: float,
        detail: str = "",
    ) -> TestResult:
        return TestResult(self._process, "jest", name, passed, detail, time)
