"""The results of TAP, which many runners print: a line for each test, and the reason below it."""

import re

from brummerbus.watch.detect.closings import Tally
from brummerbus.watch.payloads import Found, LogLine, TestResult

_RESULT = re.compile(r"(?P<indent>\s*)(?P<status>ok|not ok) (?P<number>\d+)(?P<name>.*)$")
_SHAPE = re.compile(r" - |\s*#|\s*$")
_START = re.compile(r"\s*(?:TAP version \d+|1\.\.\d+)\s*(?:#.*)?$")
_DIRECTIVE = re.compile(r"# ?(?:TODO|SKIP)\b", re.IGNORECASE)
_TIME = re.compile(r"\s# time=[\d.]+m?s\s*$")
_DETAIL = re.compile(r"\s+\S|\s*$|#")
_YAML = re.compile(r"\s*---\s*$")
_YAML_END = re.compile(r"\s*\.\.\.\s*$")
_SUITE = re.compile(r"\s+type: ['\"]?suite['\"]?\s*$")
_KEY = re.compile(r"\s+(?:message|error): *(?P<why>.*?)\s*$")
_BLOCK = re.compile(r"[|>][-+]?$")
"""What stands behind a key whose text begins on the next line."""
_COMMENT = re.compile(
    r"(?:#|\s)\s*(?!Failed (?:\(TODO\) )?test |at \S+ line |Subtest: |Looks like )"
    r"(?P<why>\S.*?)\s*$"
)


class Tap:
    """Finds the results in one stream; feed it every line in order."""

    framework = "tap"

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._started = False
        self._nested_count = False
        """Whether tests in tests count: not in Perl, which names no version of TAP."""
        self._failed = ""
        """The failed test whose reason is waited for."""
        self._in_detail = self._in_yaml = self._in_block = False
        self._held: tuple[LogLine, str, bool] | None = None
        """A result that may be a suite's, which its detail says, and what it counts."""

    @property
    def idle(self) -> bool:
        """Whether no further line is waited for."""
        return not self._in_detail and self._held is None

    def end(self, text: str) -> list[Found]:
        """Return the result that was held, if this line is no detail of it."""
        if self._held is None or (_DETAIL.match(text) and not _RESULT.match(text)):
            return []
        return self.finish()

    def finish(self) -> list[Found]:
        """Return the result that was held."""
        held, self._held = self._held, None
        if held is None:
            return []
        line, name, passed = held
        return [self._tally.named(line, self.framework, name, passed=passed)]

    def feed(self, line: LogLine, text: str) -> list[Found] | None:
        """Return the results in this line, or None if it is not TAP."""
        if text.lstrip().startswith(("TAP version", "1..")) and _START.match(text):
            self._started = True
            self._nested_count |= "version" in text
            return []
        if "ok " in text and (match := _RESULT.match(text)):
            self._in_detail = False
            return self._result(line, match)
        # What a failed test has below it is its detail.
        self._in_detail = self._in_detail and _DETAIL.match(text) is not None
        return self._detail(line, text) if self._in_detail else None

    def _result(self, line: LogLine, match: re.Match[str]) -> list[Found] | None:
        bad = match["status"] == "not ok"
        if not (self._started or bad or _SHAPE.match(match["name"])):
            return None
        self._in_detail, self._failed = bad, ""
        self._in_yaml = self._in_block = False
        if _DIRECTIVE.search(match["name"]) or match["name"].endswith("{"):
            return []  # with a brace: a suite, whose tests follow
        if match["indent"] and not self._nested_count:
            return []
        name = _TIME.sub("", match["name"]).strip().removeprefix("- ").strip()
        name = name or f"test {match['number']}"
        if bad:
            self._failed = name
        if self._nested_count:
            self._held, self._in_detail = (line, name, not bad), True
            return []
        return [self._tally.named(line, self.framework, name, passed=not bad)]

    def _detail(self, line: LogLine, text: str) -> list[Found]:
        """Return why the last test failed, if this line says it."""
        if _SUITE.match(text):
            self._held, self._failed = None, ""
        why = self._reason(text) if self._failed else ""
        if not why:
            return self.finish() if _YAML_END.match(text) else []
        name, self._failed = self._failed, ""
        reason = TestResult(line.process, self.framework, name, False, why, line.time, count=0)
        return [*self.finish(), reason]

    def _reason(self, text: str) -> str:
        if self._in_block:
            return text.strip()
        if _YAML.match(text):
            self._in_yaml = True
            return ""
        match = (_KEY if self._in_yaml else _COMMENT).match(text)
        why = match["why"] if match else ""
        self._in_block = self._in_yaml and _BLOCK.match(why) is not None
        return "" if self._in_block else why.strip("\"'") if self._in_yaml else why
