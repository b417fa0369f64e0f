"""Runners that name failed tests in a report: vitest, mocha, node, minitest, rspec, phpunit, robot.

What such a report prints, exceptions and captured output, is the detail of a failed test, and no
error beside it.
"""

import re
from abc import ABC, abstractmethod

from brummerbus.watch.detect.closings import Tally
from brummerbus.watch.payloads import ErrorFound, Found, LogLine


class Report(ABC):
    """One runner's report in one stream; feed it every line in order."""

    framework: str
    after = False
    """Whether the names stand behind the figures, which have then counted them already."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.open = False
        """Whether the lines that follow belong to the report."""
        self._name = ""
        self._line: LogLine | None = None

    @abstractmethod
    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Return what this line reports, or None if it is not the report's."""

    def finish(self) -> list[Found]:
        """Return the failed test whose reason was waited for."""
        return self._named("")

    def _expect(self, line: LogLine, name: str) -> list[Found]:
        """Wait for the reason of a failed test."""
        before = self._named("")
        self._line, self._name = line, name
        return before

    def _named(self, detail: str) -> list[Found]:
        """Return the failed test that was waiting for its reason."""
        line, self._line = self._line, None
        if line is None or (self.after and not self._tally.owes(self.framework)):
            return []
        return [
            self._tally.named(line, self.framework, self._name, passed=False, detail=detail.strip())
        ]


class Vitest(Report):
    """` FAIL  file > suite > test`, then the reason; and what tests print."""

    framework = "vitest"
    _START = re.compile(r"\s*⎯+ Failed (?P<what>Tests|Suites) \d+ ⎯+\s*$")
    _FAIL = re.compile(r"\s*FAIL  (?P<name>(?:\|\S+\| )?\S.*?)\s*$")
    _PRINTED = re.compile(r"\s*(?:stdout|stderr) \| \S+\.\w+(?: > .*)?\s*$")
    _TALLY = re.compile(r"\s*(?:Test Files|Tests|Snapshots|Type Errors|Errors|Start at)  +\S")
    _RUNS = re.compile(r"\s*(?:RUN|DEV)  +v\d")

    def __init__(self, tally: Tally) -> None:
        super().__init__(tally)
        self._suites = False
        self._printed = False
        self._seen = False

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Take the report, up to the figures."""
        if self._RUNS.match(text):
            self._seen = True
            self.open = False
            return []
        if not self._seen:
            return None
        if self._PRINTED.match(text):
            self.open = self._printed = True
            return []
        if match := self._START.match(text):
            self.open, self._suites, self._printed = True, match["what"] == "Suites", False
            return []
        if self._TALLY.match(text):
            self.open = False
            return self._named("") or (None if text.lstrip().startswith("Tests ") else [])
        if self._printed:
            self.open = self._printed = bool(text.strip())
            return []
        if not self.open:
            return None
        if match := self._FAIL.match(text):
            return self._expect(line, match["name"])
        if self._line is not None and text.strip():
            return self._suite(line, text) if self._suites else self._named(text)
        return []

    def _suite(self, line: LogLine, text: str) -> list[Found]:
        """Return a file that cannot be run: an error, as the figures do not count it as a test."""
        first, self._line = self._line, None
        assert first is not None
        place = self._name.split(" ", 1)[0]
        return [
            ErrorFound(first.process, first.stream, first.number, line.number, first.time,
                       self.framework, text.strip(), place, f"FAIL {self._name}\n{text}")
        ]  # fmt: skip


class Mocha(Report):
    """A numbered list behind the figures: the title on several lines, a colon, the reason."""

    framework = "mocha"
    after = True
    _FAILING = re.compile(r"\s+\d+ failing\s*$")
    _ITEM = re.compile(r"\s{2,}\d+\) (?P<title>.+?)\s*$")

    def __init__(self, tally: Tally) -> None:
        super().__init__(tally)
        self._titles: list[str] = []

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Take indented and blank lines; the closing lines are left to the tally."""
        if self._FAILING.match(text):
            self.open = True
            return None
        if not self.open:
            return None
        if text.strip() and not text[0].isspace():
            self.open = False
            return self._named("") or None
        if match := self._ITEM.match(text):
            self._titles = []
            return self._expect(line, "") + self._title(match["title"])
        if not text.strip():
            return []
        if self._line is None or self._name:
            return self._named(text)
        return self._title(text.strip())

    def _title(self, title: str) -> list[Found]:
        self._titles.append(title.removesuffix(":"))
        if title.endswith(":"):
            self._name = " › ".join(self._titles)  # noqa: RUF001 - as jest writes it
        return []


class NodeTest(Report):
    """`✖ failing tests:` behind the figures, then each test with its place and its reason."""

    framework = "node:test"
    after = True
    _RESULT = re.compile(r"\s*(?:✖|✔|▶|﹣) (?P<name>.+?)(?: \([\d.]+m?s\))?(?: #.*)?\s*$")
    _START = re.compile(r"✖ failing tests:\s*$")

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Take all lines of the report."""
        if self._START.match(text):
            self.open = True
            return []
        if not self.open:
            return None
        if text.startswith("✖") and (match := self._RESULT.match(text)):
            return self._expect(line, match["name"])
        if text.strip() and not text[0].isspace() and not text.startswith("test at "):
            self.open = False
            return self._named("") or None
        return self._named(text) if text.strip() and text[0].isspace() else []


class Minitest(Report):
    """`Failure:` or `Error:`, the name, the reason, up to the figures."""

    framework = "minitest"
    _START = re.compile(r"(?:\s+\d+\) )?(?:Failure|Error):\s*$")
    _NAME = re.compile(r"(?P<name>[\w:]+#\S.*?)(?: \[(?P<place>[^\]]+)\])?:\s*$")
    _END = re.compile(r"\d+ (?:runs|tests), \d+ assertions")

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Take all lines from the first failure to the figures."""
        if self._START.match(text):
            self.open, self._wants_name = True, True
            return self._named("")
        if not self.open:
            return None
        if self._END.match(text):
            self.open = False
            return self._named("") or None
        if self._wants_name:
            self._wants_name = False
            match = self._NAME.match(text)
            if match is None:
                self.open = False
                return None
            return self._expect(line, match["name"])
        if self._line is not None and text.strip():
            return self._named(text)
        return []

    _wants_name = False


class Rspec(Report):
    """The list of failures is taken; the names come behind the figures, one on a line."""

    framework = "rspec"
    after = True
    _START = re.compile(r"(?:Failures|Pending): ?(?:\(.*\))?\s*$")
    _END = re.compile(r"\d+ examples?, \d+ failures?")
    _NAME = re.compile(r"rspec (?P<place>\S+) # (?P<name>.+?)\s*$")

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Take the list; return each of the names behind it."""
        if text.startswith("rspec ") and (match := self._NAME.match(text)):
            self._expect(line, match["name"])
            return self._named(match["place"])
        if self._START.match(text):
            self.open = True
            return []
        if self.open and self._END.match(text):
            self.open = False
            return None
        return [] if self.open else None


class Phpunit(Report):
    """`There were 2 failures:`, a numbered list, up to the figures."""

    framework = "phpunit"
    _START = re.compile(
        r"There (?:was|were) \d+ (?:\w+ )?(?P<what>failures?|errors?|skipped|incomplete|risky|"
        r"warnings?|deprecations?|notices?)(?: tests?)?:\s*$"
    )
    _ITEM = re.compile(r"\d+\) (?P<name>[\w\\]+::\S.*?)\s*$")
    _END = re.compile(r"Tests: \d+, Assertions: \d+|OK \(|OK, but")
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
        if self._bad and (match := self._ITEM.match(text)):
            return self._expect(line, match["name"])
        return self._named(text) if self._line is not None and text.strip() else []


class Robot(Report):
    """`name | FAIL |` and its message; a suite's is followed by figures; the last ones count."""

    framework = "robot"
    _STATUS = re.compile(r"(?P<name>\S.*?)\s+\| (?P<status>PASS|FAIL|SKIP) \|\s*$")
    _FIGURES = re.compile(
        r"(?P<total>\d+) (?:critical )?tests?, (?P<passed>\d+) passed, (?P<failed>\d+) failed"
    )
    _RULE = re.compile(r"[-=]{40,}\s*$")
    _END = re.compile(r"(?:Output|Log|Report):  +\S")

    def __init__(self, tally: Tally) -> None:
        super().__init__(tally)
        self._passed = False
        self._figures: tuple[LogLine, int, int] | None = None
        self._why = ""

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Hold a status until the rule below it: then it is known whether it is a suite's."""
        if "| " in text and (match := self._STATUS.match(text)):
            self._line = None if match["status"] == "SKIP" else line
            self._name, self._passed, self._why = match["name"], match["status"] == "PASS", ""
            self.open = True
            return []
        if match := self._FIGURES.match(text):
            self._line = None
            self._figures = line, int(match["passed"]), int(match["failed"])
            return []
        if self.open and self._RULE.match(text):
            self.open = False
            return self._result()
        if self._figures is not None and self._END.match(text):
            return self.finish()
        if self.open and text.strip():
            self._why = self._why or text.strip()
        return [] if self.open else None

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
    """Names from what failed tests print; the figures from `Files=..., Tests=...`."""

    framework = "prove"
    _FAILED = re.compile(
        r"\s*#\s+Failed (?:\(TODO\) )?test (?:'(?P<name>.+)'|(?P<plain>\d+|at .*))\s*$"
    )
    _SHORT = re.compile(r"(?P<file>\S.*?) +\(Wstat: .*Tests: \d+ Failed: (?P<failed>\d+)\)")
    _END = re.compile(r"Files=\d+, Tests=(?P<total>\d+), ")

    def __init__(self, tally: Tally) -> None:
        super().__init__(tally)
        self._count = 0

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Take what the harness prints."""
        if "Failed" in text:
            if match := self._FAILED.match(text):
                name = match["name"] or match["plain"]
                self._expect(line, name)
                return self._named("")
            if match := self._SHORT.match(text):
                self._count += int(match["failed"])
                return []
        if text.startswith("Files=") and (match := self._END.match(text)):
            failed, self._count = self._count, 0
            passed = int(match["total"]) - failed
            self._tally.rename("tap", self.framework)  # a verbose run prints the tests' own TAP
            return [*self._tally.close(line, self.framework, passed=passed, failed=failed)]
        return None


REPORTS: tuple[type[Report], ...] = (
    Vitest, Mocha, NodeTest, Minitest, Rspec, Phpunit, Robot, Prove,
)  # fmt: skip
HINTS = frozenset(
    ("⎯ failed", "run  v", "dev  v", "failing", "failure", "error:", "rspec ", "pending:",
     "failures:", "there was", "there were", "| pass |", "| fail |", "tests,", "failed", "files=",
     "stderr |", "stdout |")
)  # fmt: skip
