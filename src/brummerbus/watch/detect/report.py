"""What the reports of test runners have in common."""

from abc import ABC, abstractmethod

from brummerbus.watch.detect.closings import Tally
from brummerbus.watch.payloads import Found, LogLine


class Report(ABC):
    """One runner's report in one stream; feed it every line in order."""

    framework: str
    after = False
    """Whether the names stand behind the figures, which have then counted them already."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.open = False
        """Whether the lines that follow belong to the report."""
        self.claims = True
        """Whether the last line was the report's own; if not, it may be an error."""
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
