"""The results of `go test`: its lines, and its events as JSON."""

import json
import re

from brummerbus.watch.detect.closings import Tally
from brummerbus.watch.detect.report import Report
from brummerbus.watch.payloads import Found, LogLine


class GoTest(Report):
    """`--- FAIL: name`, and the reason on the next line; a verbose run has printed it before."""

    framework = "go test"
    _RESULT = re.compile(r"\s*--- (?P<status>PASS|FAIL|SKIP): (?P<name>\S+) \([\d.]+s\)")
    _WHY = re.compile(r"\s+(?P<why>[\w./-]+\.go:\d+: .+)")
    _RUNS = re.compile(r"=== (?:RUN|CONT|NAME) +(?P<name>\S+)")
    _EVENT = re.compile(r'\{"(?:Time|ImportPath|Action)":"')

    def __init__(self, tally: Tally) -> None:
        super().__init__(tally)
        self._runs = ""
        """The test that a verbose run has said to be running."""
        self._why: dict[str, str] = {}
        """What running tests have said first; until they end it is no failure."""

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Take a result, and the line below a failed one."""
        self.claims = True
        if text.startswith("=== ") and (match := self._RUNS.match(text)):
            self._runs = match["name"]
            return self._named("")
        if self._runs and not self.open and (match := self._WHY.match(text)):
            self._why.setdefault(self._runs, match["why"])
            return []
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
        why = self._why.pop(match["name"], "")
        self.open = match["status"] == "FAIL" and not why
        if match["status"] == "FAIL":
            before += self._expect(line, match["name"])
            return before + self._named(why) if why else before
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
        if not isinstance(name, str):
            return []
        output = event.get("Output")
        if isinstance(output, str) and (match := self._WHY.match(output)):
            self._why.setdefault(name, match["why"].strip())
        if action in ("pass", "fail", "skip"):
            why = self._why.pop(name, "")
        if action not in ("pass", "fail"):
            return []
        passed = action == "pass"
        detail = "" if passed else why
        return [self._tally.named(line, self.framework, name, passed=passed, detail=detail)]
