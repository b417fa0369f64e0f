"""The results of `go test`: its lines, and its events as JSON."""

import json
import re

from brummerbus.watch.detect.report import Report
from brummerbus.watch.payloads import Found, LogLine


class GoTest(Report):
    """`--- FAIL: name`, and the reason on the next line, unless a verbose run printed it before."""

    framework = "go test"
    _RESULT = re.compile(r"\s*--- (?P<status>PASS|FAIL|SKIP): (?P<name>\S+) \([\d.]+s\)")
    _WHY = re.compile(r"\s+(?P<why>[\w./-]+\.go:\d+: .+)")
    _EVENT = re.compile(r'\{"(?:Time|ImportPath|Action)":"')

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Take a result, and the line below a failed one."""
        self.claims = True
        if "--- " in text and (match := self._RESULT.match(text)):
            return self._result(line, match)
        if text.startswith('{"') and self._EVENT.match(text):
            return self._event(line, text)
        if not self.open:
            return None
        self.open = False
        match = self._WHY.match(text)
        self.claims = match is not None
        return self._named(match["why"] if match else "")

    def _result(self, line: LogLine, match: re.Match[str]) -> list[Found]:
        before = self._named("")
        self.open = match["status"] == "FAIL"
        if self.open:
            return before + self._expect(line, match["name"])
        if match["status"] == "SKIP":
            return before
        return [*before, self._tally.named(line, self.framework, match["name"], passed=True)]

    def _event(self, line: LogLine, text: str) -> list[Found] | None:
        """Read an event of `go test -json`; its output is a test's, and no error."""
        try:
            event = json.loads(text)
        except ValueError:
            return None
        action, name = event.get("Action"), event.get("Test")
        if not isinstance(action, str):
            return None
        if not isinstance(name, str) or action not in ("pass", "fail"):
            return []
        return [self._tally.named(line, self.framework, name, passed=action == "pass")]
