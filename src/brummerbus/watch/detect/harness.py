"""The reports of phpunit, Robot Framework, prove and Catch2."""

import re

from brummerbus.watch.detect.closings import Tally
from brummerbus.watch.detect.report import Report
from brummerbus.watch.payloads import Found, LogLine

_MOST_ITEMS = 5000
"""What pabot names, as long as it is not known whether they are tests."""


class Phpunit(Report):
    """`There were 2 failures:`, a numbered list, up to the figures; JUnit 4 has it, too."""

    framework = "phpunit"
    _START = re.compile(
        r"There (?:was|were) \d+ (?:\w+ )?(?P<what>failures?|errors?|skipped|incomplete|risky|"
        r"warnings?|deprecations?|notices?)(?: tests?)?:\s*$"
    )
    _ITEM = re.compile(r"\d+\) (?P<name>[\w\\]+::\S.*?)\s*$")
    _JUNIT = re.compile(r"\d+\) (?P<name>\w+\([\w.$]+\))\s*$")
    _END = re.compile(r"Tests: \d+, Assertions: \d+|OK \(|OK, but|Tests run: \d+,  Failures: ")
    _bad = False

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Take the lists up to the figures."""
        if match := self._START.match(text):
            self.open, self._bad = True, match["what"].startswith(("failure", "error"))
            return []
        if not self.open:
            return None
        if self._END.match(text):
            self.open = False
            return self._named("") or None
        if self._bad and (match := self._ITEM.match(text) or self._JUNIT.match(text)):
            before = self._expect(line, match["name"])
            self.framework = "junit" if match.re is self._JUNIT else "phpunit"
            return before
        return self._named(text) if self._line is not None and text.strip() else []


class Robot(Report):
    """`name | FAIL |` and its message; a suite's is followed by figures; the last ones count.

    pabot runs suites in parallel and passes on what they print, or names them, and at the end
    prints figures in which all of that is counted.
    """

    framework = "robot"
    _STATUS = re.compile(r"(?P<name>\S.*?)\s+\| (?P<status>PASS|FAIL|SKIP) \|\s*$")
    _FIGURES = re.compile(
        r"(?P<total>\d+) (?:critical )?tests?, (?P<passed>\d+) passed, (?P<failed>\d+) failed"
    )
    _RULE = re.compile(r"[-=]{40,}\s*$")
    _END = re.compile(r"(?:Output|Log|Report):  +\S")
    _DOTTED = re.compile(r"FAIL: (?P<name>\S.*?)\s*$")
    _ITEM = re.compile(
        r"\[PID:\d+\] \[\d+\] \[ID:\d+\] (?P<status>PASSED|FAILED) (?P<name>\S.*?)"
        r"(?: in [\d.]+ seconds)?\s*$"
    )
    _TOTAL = re.compile(
        r"(?P<total>\d+) tests?, (?P<passed>\d+) passed, (?P<failed>\d+) failed, \d+ skipped\.\s*$"
    )

    def __init__(self, tally: Tally) -> None:
        super().__init__(tally)
        self._passed = False
        self._after_rule = False
        self._figures: tuple[LogLine, int, int] | None = None
        self._why = ""
        self._parts = [0, 0]
        """Passed and failed tests of pabot's suites so far."""
        self._items: list[tuple[LogLine, str, bool]] = []
        """What pabot names, tests or suites."""

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Hold a status until the rule below it: then it is known whether it is a suite's."""
        after_rule, self._after_rule = self._after_rule, text.startswith("-" * 78)
        if after_rule and (match := self._DOTTED.match(text)):
            self._line, self._name, self._passed, self._why = line, match["name"], False, ""
            self.open = True
            return []
        if "| " in text and (match := self._STATUS.match(text)):
            self._line = None if match["status"] == "SKIP" else line
            self._name, self._passed, self._why = match["name"], match["status"] == "PASS", ""
            self.open = True
            return []
        if text.startswith("[PID:") and (match := self._ITEM.match(text)):
            self._items.append((line, match["name"], match["status"] == "PASSED"))
            del self._items[:-_MOST_ITEMS]
            return []
        if match := self._TOTAL.match(text):
            return self._end_of_pabot(line, *map(int, match.group("total", "passed", "failed")))
        if match := self._FIGURES.match(text):
            self._line = None
            self._figures = line, int(match["passed"]), int(match["failed"])
            return []
        if self.open and self._RULE.match(text):
            self.open = False
            return self._result()
        if self._figures is not None and self._END.match(text):
            if "pabot_results" in text:
                self._parts[0] += self._figures[1]
                self._parts[1] += self._figures[2]
            return self.finish()
        if self.open and text.strip():
            self._why = self._why or text.strip()
        return [] if self.open else None

    def _end_of_pabot(self, line: LogLine, total: int, passed: int, failed: int) -> list[Found]:
        """Return what pabot's figures add to those of its suites."""
        parts, self._parts = self._parts, [0, 0]
        items, self._items = self._items, []
        self.open = False
        found: list[Found] = []
        if len(items) == total:  # so they are tests
            for first, name, good in items:
                found.append(self._tally.named(first, self.framework, name, passed=good))
        return [*found, *self._tally.close(line, self.framework, passed=passed - parts[0],
                                           failed=failed - parts[1])]  # fmt: skip

    def _result(self) -> list[Found]:
        line, self._line = self._line, None
        if line is None:
            return []
        return [
            self._tally.named(line, self.framework, self._name, passed=self._passed,
                              detail=self._why)
        ]  # fmt: skip

    def finish(self) -> list[Found]:
        """Return what the last figures add."""
        figures, self._figures = self._figures, None
        if figures is None:
            return []
        line, passed, failed = figures
        return [*self._tally.close(line, self.framework, passed=passed, failed=failed)]


class Prove(Report):
    """Figures from `Files=..., Tests=...`; names from what failed tests print, in the same order.

    Tests print that to the other stream, so it names a test only where the harness's own line
    about a file with failures follows. A verbose run has named them already, as TAP.
    """

    framework = "prove"
    _FAILED = re.compile(
        r"#\s+Failed (?P<todo>\(TODO\) )?test (?:'(?P<name>.+)'|(?P<plain>\d+|at .*))\s*$"
    )
    _SHORT = re.compile(r"(?P<file>\S.*?) +\(Wstat: .*Tests: \d+ Failed: (?P<failed>\d+)\)")
    _END = re.compile(r"Files=\d+, Tests=(?P<total>\d+), ")

    def __init__(self, tally: Tally) -> None:
        super().__init__(tally)
        self._count = 0
        self._names: list[str] = []

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Take what the harness prints."""
        if "Failed" in text:
            if match := self._FAILED.match(text):
                if not match["todo"]:
                    self._names.append(match["name"] or match["plain"])
                return []
            if match := self._SHORT.match(text):
                return self._file(line, match["file"], int(match["failed"]))
        if text.startswith("Files=") and (match := self._END.match(text)):
            failed, self._count = self._count, 0
            passed = int(match["total"]) - failed
            self._names.clear()
            self._tally.rename("tap", self.framework)
            return [*self._tally.close(line, self.framework, passed=passed, failed=failed)]
        return None

    def _file(self, line: LogLine, file: str, failed: int) -> list[Found]:
        self._count += failed
        if self._tally.count("tap", passed=False):
            return []
        names, self._names = self._names[:failed], self._names[failed:]
        return [
            self._tally.named(line, self.framework, n, passed=False, detail=file) for n in names
        ]


class Catch2(Report):
    """The name of a test between rules, its place, a dotted rule; `place: FAILED:`, and why."""

    framework = "catch2"
    _RULE = re.compile(r"-{70,}$")
    _PLACE = re.compile(r"\S.*[:(]\d+\)?$")
    _DOTS = re.compile(r"\.{70,}$")
    _FAILED = re.compile(r"(?P<place>\S.*?(?::\d+|\(\d+\))): FAILED:$")
    _END = re.compile(r"={70,}$")
    _LONGEST = 12

    def __init__(self, tally: Tally) -> None:
        super().__init__(tally)
        self._lines: list[str] | None = None
        """What stands between two rules."""
        self._title = self._case = self._why = ""
        self._failed: set[str] = set()

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Take what stands below a title, to the next rule."""
        found = self._feed(line, text)
        self.open = self._lines is not None or bool(self._title or self._case)
        return found

    def finish(self) -> list[Found]:
        """Return the failed test that the end has cut off."""
        return self._named(self._why)

    def _feed(self, line: LogLine, text: str) -> list[Found] | None:
        if self._lines is not None or (text.startswith("-----") and self._RULE.match(text)):
            return self._heading(text)
        if self._title:
            return self._below(text)
        if not self._case:
            return None
        if self._END.match(text):
            self._case = ""
            self._failed.clear()
            return self._named(self._why) or None
        return self._inside(line, text)

    def _heading(self, text: str) -> list[Found] | None:
        """Take a title, several lines of it if it is long, and indented names of sections."""
        found = self._named(self._why) if self._case else []
        lines, self._lines = self._lines, None
        self._case = ""
        if lines is None:
            self._lines = []
        elif not self._RULE.match(text):
            self._lines = [*lines, text] if len(lines) < self._LONGEST else None
        else:
            self._title = " ".join(name for name in lines if not name.startswith("  "))
        return found or None

    def _below(self, text: str) -> list[Found] | None:
        """Take the place below a title's rule, and the dots below that."""
        if self._DOTS.match(text):
            self._case, self._title = self._title, ""
            return []
        if not self._PLACE.match(text):
            self._title = ""
        return None

    def _inside(self, line: LogLine, text: str) -> list[Found]:
        """Take the first assertion of a test that failed."""
        if match := self._FAILED.match(text):
            found = self._named(self._why)
            if self._case not in self._failed:
                self._failed.add(self._case)
                self._expect(line, self._case)
                self._why = f"{match['place']}:"
            return found
        if self._line is not None and self._why.endswith(":") and text.strip():
            self._why += f" {text.strip()}"
        return []
