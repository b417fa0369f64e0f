"""The reports of vitest, mocha, node:test and jasmine."""

import re

from brummerbus.watch.detect.closings import Tally
from brummerbus.watch.detect.report import Report
from brummerbus.watch.payloads import ErrorFound, Found, LogLine

_LONGEST = 300
"""Lines of a failed test in mocha's list after which its end is no longer waited for."""


class Vitest(Report):
    """` FAIL  file > suite > test`, then the reason; and what tests print."""

    framework = "vitest"
    _START = re.compile(r"\s*⎯+ Failed (?P<what>Tests|Suites) \d+ ⎯+\s*$")
    _FAIL = re.compile(r"\s*FAIL  (?P<name>(?:\|\S+\| )?\S.*?)\s*$")
    _PRINTED = re.compile(r"\s*(?:stdout|stderr) \| \S+\.\w+(?: > .*)?\s*$")
    _PRINTED_IN = re.compile(r"\s*(?:stdout|stderr) \| \S+\.\w+ > .*\s*$")
    _LAST = re.compile(r"\s*⎯+\[(?P<number>\d+)/(?P=number)\]⎯+\s*$")
    _TALLY = re.compile(r"\s*(?:Test Files|Tests|Snapshots|Type Errors|Errors|Start at)  +\S")
    _RUNS = re.compile(r"\s*(?:RUN|DEV)  +v\d")
    _UNHANDLED = re.compile(r"\s*⎯+ (?:Unhandled|Uncaught) (?:Rejection|Exception|Error) ⎯+\s*$")
    _AT = re.compile(r"\s*❯ (?:\S+ )?(?P<place>\S+:\d+:\d+)\s*$")  # noqa: RUF001

    def __init__(self, tally: Tally) -> None:
        super().__init__(tally)
        self._suites = False
        self._printed = False
        self._seen = self._unhandled = False
        self._first: tuple[LogLine, str] | None = None
        """The first line of an error outside of tests, until its place has come."""

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Take the report, up to the figures."""
        if self._RUNS.match(text):
            self._seen = True
            self.open = False
            return []
        if not self._seen and not self._is_proof(text):
            return None
        self._seen = True
        found = self._section(text)
        if found is not None:
            return found
        if self._TALLY.match(text):
            self.open = False
            return self._named("") or (None if text.lstrip().startswith("Tests ") else [])
        if self._printed:
            self.open = self._printed = bool(text.strip())
            return []
        if self.open and self._LAST.match(text):
            self.open = False
            return self._named("")
        return self._inside(line, text) if self.open else None

    def _is_proof(self, text: str) -> bool:
        """Whether a line is vitest's own; its heading may be in the other stream."""
        return any(
            pattern.match(text) for pattern in (self._START, self._UNHANDLED, self._PRINTED_IN)
        )

    def _section(self, text: str) -> list[Found] | None:
        """Take the heading of what tests print, of failed tests, or of other errors."""
        if self._PRINTED.match(text):
            self.open = self._printed = True
            return []
        if match := self._START.match(text):
            self.open, self._suites, self._printed = True, match["what"] == "Suites", False
            return []
        if self._UNHANDLED.match(text):
            self.open = self._unhandled = True
            return self._named("")
        return None

    def _inside(self, line: LogLine, text: str) -> list[Found]:
        """Take a line of the report. A test that was retried has a heading for each time."""
        if match := self._FAIL.match(text):
            if self._line is not None and match["name"] == self._name:
                return []
            return self._expect(line, match["name"])
        if self._unhandled and text.strip():
            return self._error(line, text)
        if self._line is not None and text.strip():
            return self._suite(line, text) if self._suites else self._named(text)
        return []

    def _error(self, line: LogLine, text: str) -> list[Found]:
        """Return an error outside of tests, which the figures count, too."""
        if self._first is None:
            self._first = line, text.strip()
            return []
        match = self._AT.match(text)
        if match is None and text.startswith(" "):
            return []
        (first, message), self._first, self._unhandled = self._first, None, False
        return [
            ErrorFound(first.process, first.stream, first.number, line.number, first.time,
                       self.framework, message, match["place"] if match else "", message)
        ]  # fmt: skip

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
    _FAILING = re.compile(r"\s+(?P<count>\d+) failing\s*$")
    _ITEM = re.compile(r"\s{2,}\d+\) (?P<title>.+?)\s*$")

    def __init__(self, tally: Tally) -> None:
        super().__init__(tally)
        self._titles: list[str] = []
        self._left = 0
        """Failed tests that have not been listed yet."""
        self._since = _LONGEST
        """Lines since the last one that was."""

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Take indented and blank lines; the closing lines are left to the tally.

        Before the last test also a line that is not indented belongs to the list, as those of a
        message of several lines.
        """
        if match := self._FAILING.match(text):
            self.open, self._left, self._since = True, int(match["count"]), _LONGEST
            return None
        if not self.open:
            return None
        self._since += 1
        if text.strip() and not text[0].isspace():
            self.open = self._left > 0 and self._since < _LONGEST
            return self._named("") or ([] if self.open else None)
        if match := self._ITEM.match(text):
            self._titles = []
            self._left -= 1
            self._since = 0
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
    _START = re.compile(r"(?:✖ failing tests|(?P<dots>Failed tests)):\s*$")

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Take all lines of the report."""
        if match := self._START.match(text):
            self.open = True
            self.after = match["dots"] is None  # which are followed by no figures
            return []
        if not self.open:
            return None
        if text.startswith("✖") and (match := self._RESULT.match(text)):
            return self._expect(line, match["name"])
        if text.strip() and not text[0].isspace() and not text.startswith("test at "):
            self.open = False
            return self._named("") or None
        return self._named(text) if text.strip() and text[0].isspace() else []


class Jasmine(Report):
    """`Failures:`, a numbered list with messages and stacks, up to the figures."""

    framework = "jasmine"
    _START = re.compile(r"Failures: ?\s*$")
    _ITEM = re.compile(r"\d+\) (?P<name>(?!Scenario: )\S.*?)\s*$")
    _PENDING = re.compile(r"Pending: ?\s*$")
    _MESSAGE = re.compile(r"\s{2,}Message:\s*$")
    _END = re.compile(r"\d+ specs?, \d+ failures?")

    def __init__(self, tally: Tally) -> None:
        super().__init__(tally)
        self._pending = False
        self._started = False
        """The first item below the heading decides: rspec has the same, and its items indented."""

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Take the list, up to the figures."""
        if self._START.match(text):
            self._started = True
            return None
        item = self._ITEM.match(text)
        if self._started and text.strip():
            self._started = self._pending = False
            self.open = item is not None
        if not self.open:
            return None
        if self._END.match(text):
            self.open = False
            return self._named("") or None
        if self._PENDING.match(text):
            self._pending = True
            return self._named("")
        if item is not None:
            return [] if self._pending else self._expect(line, item["name"])
        if self._line is not None and text.strip() and not self._MESSAGE.match(text):
            return self._named(text)
        return []
