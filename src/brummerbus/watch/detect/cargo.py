"""The results of `cargo test`: a line for each test, and behind them why some failed."""

import re

from brummerbus.watch.detect.closings import Tally
from brummerbus.watch.detect.report import Report
from brummerbus.watch.payloads import Found, LogLine, TestResult


class Cargo(Report):
    """What failed tests have printed follows their names, so it tells a reason, and no error."""

    framework = "cargo test"
    _RESULT = re.compile(
        r"test (?P<name>\S.*?)(?: - should panic)? \.\.\. (?P<status>ok|FAILED)(?: <[\d.]+s>)?$"
    )
    _QUIET = re.compile(r"(?P<name>[\w:]+) --- (?P<status>FAILED)$")
    _HEADING = re.compile(r"---- (?P<name>\S.*?) (?:stdout|stderr) ----\s*$")
    _END = re.compile(r"(?:failures|successes):\s*$|test result: ")
    _PANIC = re.compile(r"thread '.*?' (?:\(\d+\) )?panicked at (?P<rest>.+)")
    _OLD = re.compile(r"'(?P<message>.*)', (?P<place>\S+:\d+:\d+)$")
    _NO_REASON = re.compile(r"\s*$|note: run with |Test executable failed|std(?:out|err):\s*$")

    def __init__(self, tally: Tally) -> None:
        super().__init__(tally)
        self._failed: set[str] = set()
        self._place = self._why = ""
        self._panicked = False

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Take results, and what stands below the heading of a test."""
        for start, pattern in (("test ", self._RESULT), ("", self._QUIET)):
            if text.startswith(start) and (match := pattern.match(text)):
                passed = match["status"] == "ok"
                name = match["name"].strip()
                if not passed:
                    self._failed.add(name)
                return [self._tally.named(line, self.framework, name, passed=passed)]
        if text.startswith("---- ") and (match := self._HEADING.match(text)):
            before = self._reason()
            self.open, self._line, self._name = True, line, match["name"]
            return before
        if not self.open:
            return None
        if self._END.match(text):
            self.open = False
            return self._reason() or None
        self._take(text)
        return []

    def finish(self) -> list[Found]:
        """Return the reason that was waited for."""
        return self._reason()

    def _take(self, text: str) -> None:
        """Note the reason: a panic's message with its place, or else the first line."""
        if not self._panicked and (match := self._PANIC.match(text)):
            self._panicked = True
            old = self._OLD.match(match["rest"])
            self._place = old["place"] if old else match["rest"].rstrip(":")
            self._why = old["message"] if old else ""
        elif not self._why and not self._NO_REASON.match(text):
            self._why = text.strip()

    def _reason(self) -> list[Found]:
        """Return why a test failed that has been reported before."""
        line, self._line = self._line, None
        why = f"{self._place}: {self._why}" if self._place else self._why
        self._place = self._why = ""
        self._panicked = False
        if line is None or not why or self._name not in self._failed:
            return []
        self._failed.discard(self._name)
        return [
            TestResult(line.process, self.framework, self._name, False, why, line.time, count=0)
        ]
