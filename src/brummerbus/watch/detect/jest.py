"""jest's results, which depend on the preceding file line and on the verbosity of the run.

A verbose run lists each test with a tick or a cross under its file. Otherwise only failing tests
are listed, as headings with a dot, and the closing line has the passed ones. A file that cannot be
run is an error, since the closing line does not count it as a test.
"""

import re

from brummerbus.watch.detect.closings import Tally
from brummerbus.watch.detect.report import Report
from brummerbus.watch.payloads import ErrorFound, Found, LogLine, TestResult

_FILE = re.compile(
    r"\s?(?P<status>PASS|FAIL) {1,2}(?:\S+ )?"
    r"(?P<name>\S+\.(?:test|spec)\.\w+|\S*__tests__/\S+|\S+\.[cm]?[jt]sx?)(?: \([\d.]+ m?s\))?\s*$"
)
_TEST = re.compile(r"\s+(?P<mark>[✓✔√✕✖✗\u00d7]) (?P<name>.+?)(?: \([\d.]+ m?s\))?\s*$")
_DOT = re.compile(r"\s+● (?P<name>.+?)\s*$")
_GROUP = re.compile(r"(?P<indent>\s{2,})(?P<name>[^\s●○✓✔√✕✖✗\u00d7].*?)\s*$")
_END = re.compile(r"Test Suites: |Summary of all failing tests")
_CONSOLE = re.compile(r"\s+console\.\w+\s*$")
_ARROW = " › "  # noqa: RUF001 - as jest writes it
_PASSED_MARKS = "✓✔√"
_SUITE_FAILED = "Test suite failed to run"


class JestDetector(Report):
    """Finds jest's results in one stream; feed it every line in order."""

    framework = "jest"

    def __init__(self, tally: Tally) -> None:
        super().__init__(tally)
        self._file = ""
        self._suite = self._dotted = self._console = False
        self._groups: list[tuple[int, str]] = []
        self._failed: set[str] = set()
        self._unexplained: set[str] = set()
        """Failed tests that a verbose run has listed; their reasons come under headings."""
        self._again = False
        """Whether the test whose reason is waited for has been reported."""

    @property
    def busy(self) -> bool:
        """Whether the next line may belong to a report, or to what a test prints."""
        return self.open or self._console

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Return the results in this line, or None if it is not jest's."""
        if self._is_printed(text):
            return []
        if text.startswith(("PASS ", "FAIL ", " PASS", " FAIL")) and (match := _FILE.match(text)):
            before = self._named("")
            self._file, self.open, self._dotted = match["name"], True, False
            self._groups.clear()
            return before
        return self._in_report(line, text) if self.open else None

    def _in_report(self, line: LogLine, text: str) -> list[Found] | None:
        if text.startswith("Tests: "):
            return self._leave(closing=True)
        if _END.match(text):
            return self._named("")
        if text[:1].strip() and not self._dotted and not text.startswith(("Snap", "Time:")):
            return self._leave()
        return self._inside(line, text)

    def _inside(self, line: LogLine, text: str) -> list[Found] | None:
        """Take a line below that of a file."""
        if match := _DOT.match(text):
            return self._heading(line, match["name"])
        if self._dotted:
            return self._reason(line, text) if text.strip() else []
        if match := _TEST.match(text):
            return self._listed(line, text, match)
        if match := _GROUP.match(text):
            indent = len(match["indent"])
            self._groups = [group for group in self._groups if group[0] < indent]
            self._groups.append((indent, match["name"]))
        return None

    def _is_printed(self, text: str) -> bool:
        """Whether a test has printed the line: it is indented below `console.error`."""
        if self._console or _CONSOLE.match(text):
            indented = not text.strip() or text[0].isspace()
            self._console = indented and _DOT.match(text) is None
        return self._console

    def _leave(self, *, closing: bool = False) -> list[Found] | None:
        """End at the closing line, or at a line that is not jest's."""
        found = self._named("")
        self.open = self._dotted = False
        if closing:
            self._failed.clear()
            self._unexplained.clear()
        return found or None

    def _listed(self, line: LogLine, text: str, match: re.Match[str]) -> list[Found]:
        """Return a test of a verbose run."""
        indent = len(text) - len(text.lstrip())
        parts = [name for group_indent, name in self._groups if group_indent < indent]
        name = _ARROW.join([self._file, *parts, match["name"]])
        passed = match["mark"] in _PASSED_MARKS
        if not passed:
            self._failed.add(name)
            self._unexplained.add(name)
        return [self._tally.named(line, self.framework, name, passed=passed)]

    def _heading(self, line: LogLine, name: str) -> list[Found]:
        """Wait for the reason below a dot; a summary repeats them."""
        before = self._named("")
        self._dotted = True
        self._suite = name == _SUITE_FAILED
        full = self._file if self._suite else f"{self._file}{_ARROW}{name}"
        again = full in self._failed
        if name == "Console" or (again and full not in self._unexplained):
            return before
        self._failed.add(full)
        self._unexplained.discard(full)
        self._line, self._name, self._again = line, full, again
        return before

    def _named(self, detail: str) -> list[Found]:
        if not self._again:
            return super()._named(detail)
        line, self._line = self._line, None
        self._again = False
        if line is None or not detail:
            return []
        return [
            TestResult(line.process, self.framework, self._name, False, detail.strip(), line.time,
                       count=0)
        ]  # fmt: skip

    def _reason(self, line: LogLine, text: str) -> list[Found]:
        first = self._line
        if first is None or not self._suite:
            return self._named(text)
        self._line = None
        return [
            ErrorFound(first.process, first.stream, first.number, line.number, first.time,
                       self.framework, text.strip(), self._file, f"● {_SUITE_FAILED}\n{text}")
        ]  # fmt: skip
