"""The reports of minitest, test-unit and rspec."""

import re

from brummerbus.watch.detect.report import Report
from brummerbus.watch.payloads import Found, LogLine


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
    _LIST = re.compile(r"\s|$|Failures:|Pending:|Finished in |Randomized with |Top \d+ slowest ")
    _NAME = re.compile(r"rspec (?P<place>\S+) # (?P<name>.+?)\s*$")

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Take the list; return each of the names behind it."""
        if text.startswith("rspec ") and (match := self._NAME.match(text)):
            self._expect(line, match["name"])
            return self._named(match["place"])
        if self._START.match(text):
            self.open = True
            return []
        if self.open and not self._LIST.match(text):
            self.open = False  # the figures, or not rspec's report
        return [] if self.open else None


class TestUnit(Report):
    """`Failure: name` or `Error: name: reason`, up to a rule; the figures are minitest's."""

    framework = "minitest"
    _START = re.compile(r"(?:Failure|Error): (?P<name>\w+\([A-Z][\w:]*\))(?:: (?P<why>.+))?\s*$")
    _RULE = re.compile(r"=====+\s*$")
    _WHY = re.compile(r"(?:<.*> |[A-Z]).*")

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Take all lines from the name to the rule."""
        if match := self._START.match(text):
            self.open = True
            before = self._expect(line, match["name"])
            return before + self._named(match["why"]) if match["why"] else before
        if not self.open:
            return None
        if self._RULE.match(text):
            self.open = False
            return self._named("")
        return self._named(text) if self._line is not None and self._WHY.match(text) else []
