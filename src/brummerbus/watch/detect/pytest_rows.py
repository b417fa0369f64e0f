"""pytest's rows of letters, one for each test, in which a very quiet run has all its figures.

`pytest -qq` prints no closing line. A run that prints one is counted by that alone.
"""

import re

from brummerbus.watch.detect.closings import Tally
from brummerbus.watch.payloads import LogLine, TestResult

EXPRESSION = r"^[.fesxrup]{1,250}(?: *\[ *(?:%|/ *)\](?: *$|[<{])|$)"
"""Finds a row in a sentence in lower case, without digits."""

_ROW = re.compile(
    r"(?P<letters>[.FEsxXRup]+) *\[ *(?:(?P<percent>\d+)%|(?P<done>\d+)/(?P<all>\d+) *)\]"
)
_PART = re.compile(r"(?=.*[FE])[.FEsxXRup]+\s*$")
"""The last row of a run that ends with its first failure, or that captures no output."""
_SECTION = re.compile(r"=+ (?:FAILURES|ERRORS|short test summary info) =+\s*$")


class Rows:
    """Counts the letters of one stream."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._passed = self._failed = 0
        self._complete = False
        """Whether no further row of the run follows."""
        self._line: LogLine | None = None
        self._part: LogLine | None = None

    def feed(self, line: LogLine, text: str) -> list[TestResult]:
        """Count a row; return what an earlier run has had that ended without a closing line."""
        part, self._part = self._part, None
        if text.startswith("=") and _SECTION.match(text):
            if part is not None and part.number == line.number - 1:
                self._count(part, part.text.strip(), complete=True)
            return []
        match = _ROW.match(text)
        if match is None:
            self._part = line if _PART.match(text) else None
            return []
        found = self.end() if self._complete else []
        complete = match["percent"] == "100" or (match["done"] or "") == match["all"]
        self._count(line, match["letters"], complete=complete)
        return found

    def close(self) -> bool:
        """Forget the rows: a closing line has the figures. Return whether they were complete."""
        complete, self._complete = self._complete, False
        self._line = None
        self._passed = self._failed = 0
        return complete

    def end(self) -> list[TestResult]:
        """Return what the rows add to the tests that were named."""
        line, passed, failed = self._line, self._passed, self._failed
        noted = self.close()
        if line is None:
            return []
        return self._tally.close(line, "pytest", passed=passed, failed=failed, noted=noted)

    def _count(self, line: LogLine, letters: str, *, complete: bool) -> None:
        self._line = line
        self._passed += letters.count(".")
        self._failed += letters.count("F") + letters.count("E")
        self._complete = complete
        if complete:
            self._tally.note(line, "pytest", self._passed, self._failed)
