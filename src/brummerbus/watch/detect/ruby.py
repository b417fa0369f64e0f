"""The reports of minitest, test-unit and rspec."""

import re

from brummerbus.watch.detect.closings import Tally
from brummerbus.watch.detect.report import Report
from brummerbus.watch.payloads import Found, LogLine


class Minitest(Report):
    """`Failure:` or `Error:`, the name, the reason, up to the figures."""

    framework = "minitest"
    _START = re.compile(r"(?:\s+\d+\) )?(?:Failure|Error):\s*$")
    _NAME = re.compile(r"(?P<name>[\w:]+#\S.*?)(?: \[(?P<place>[^\]]+)\]:?|:)\s*$")
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
    """The list of failures has reasons; the names come behind the figures, one on a line.

    That of Haskell's hspec looks the same, with a line in it for each test that failed.
    """

    framework = "rspec"
    after = True
    _START = re.compile(r"(?:Failures|Pending): ?(?:\(.*\))?\s*$")
    _LIST = re.compile(r"\s|$|Failures:|Pending:|Finished in |Randomized with |Top \d+ slowest ")
    _NAME = re.compile(r"rspec (?P<place>\S+) # (?P<name>.+?)\s*$")
    _ITEM = re.compile(r"\s+\d+\) (?P<name>\S.*?)\s*$")
    _SOURCE = re.compile(r"\s+Failure/Error:")
    _HSPEC_PLACE = re.compile(r"\s+(?P<place>\S+:\d+:\d+):\s*$")
    _HSPEC = re.compile(r"\s+To rerun use: --match ")
    _UNFINISHED = re.compile(r".*:$|uncaught exception: \w+$")

    def __init__(self, tally: Tally) -> None:
        super().__init__(tally)
        self._why: dict[str, str] = {}
        self._item = self._last = self._place = ""
        self._in_source = False

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Take the list; return each of the names behind it."""
        if self.open and self._HSPEC.match(text):
            why = self._place + self._why.pop(self._last, "")
            return [self._tally.named(line, "hspec", self._last, passed=False, detail=why)]
        if text.startswith("rspec ") and (match := self._NAME.match(text)):
            self._expect(line, match["name"])
            why = self._why.pop(match["name"], "")
            return self._named(f"{match['place']}: {why}" if why else match["place"])
        if self._START.match(text):
            self.open = True
            self._why.clear()
            return []
        if self.open:
            self._take(text)
        if self.open and not self._LIST.match(text):
            self.open = False  # the figures, or not rspec's report
        return [] if self.open else None

    def _take(self, text: str) -> None:
        """Note the first line below the source of an item: the reason, or the exception's name."""
        if match := self._HSPEC_PLACE.match(text):
            self._place = f"{match['place']}: "
        elif match := self._ITEM.match(text):
            self._item, self._in_source = match["name"], False
            self._last = self._item
        elif self._SOURCE.match(text):
            self._in_source = True
        elif self._in_source:
            self._in_source = bool(text.strip())
        elif self._item and text.strip():
            why = f"{self._why.get(self._item, '')} {text.strip()}".strip()
            self._why[self._item] = why
            if not self._UNFINISHED.match(why):
                self._item = ""


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
