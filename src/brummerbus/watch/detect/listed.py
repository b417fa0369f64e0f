"""Runners whose table says which lines name a test, and which lines below it are its reason.

What stands there, exceptions and captured output, is the detail of a failed test, and no error
beside it.
"""

from functools import cache

from brummerbus.watch.detect.closings import Runner, Tally, runners
from brummerbus.watch.detect.hints import Hinted
from brummerbus.watch.detect.table import groups
from brummerbus.watch.payloads import LogLine, TestResult

_LONGEST = 200
"""Lines below a failed test after which its end is no longer waited for."""


@cache
def _hinted() -> Hinted[Runner]:
    return Hinted((runner, runner.named) for runner in runners() if runner.named)


HINTS = frozenset(hint for runner in runners() for hint in runner.named)


class Listed:
    """The tests that lines name, in one stream; feed it every line in order."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._runner: Runner | None = None
        """Whose failed test is open: the lines below it are its own."""
        self._waits: tuple[LogLine, str] | None = None
        """A failed test without its reason yet."""
        self._heading = ""
        """A failed test that a later list names; what stands below it is its reason."""
        self._why: dict[str, str] = {}
        """Reasons of such tests."""
        self._before = ""
        """A reason that stands in front of its test."""
        self._reported: set[str] = set()
        """Failed tests of a runner that lists them twice."""
        self._seen = 0
        self._unsure = ""
        """The reason of a failed test, until a line has come that makes sure that it is one."""

    @property
    def idle(self) -> bool:
        """Whether no further line is waited for."""
        return self._runner is None

    def end(self, text: str) -> list[TestResult]:
        """Return the failed test that ends before this line, if its reason has not come."""
        runner = self._runner
        if runner is None or runner.below is None:
            return []
        self._seen += 1
        if self._seen <= _LONGEST and runner.below.match(text):
            return []
        return self.finish()

    def feed(self, line: LogLine, text: str, lowered: str) -> list[TestResult] | None:
        """Return what this line reports, or None if it names no test and is below none."""
        for runner in _hinted().of(lowered):
            results = self._named(runner, line, text)
            if results is not None:
                return results
        return None if self._runner is None else self._reason(self._runner, text)

    def finish(self) -> list[TestResult]:
        """Return the failed test whose reason was waited for."""
        runner, self._runner = self._runner, None
        waits, self._waits = self._waits, None
        self._heading = ""
        self._unsure = ""
        if runner is None or waits is None or runner.why is not None or runner.sure is not None:
            return []  # without its reason it only resembles a failed test
        return [self._result(runner, *waits)]

    def _named(self, runner: Runner, line: LogLine, text: str) -> list[TestResult] | None:
        if runner.before is not None and (match := runner.before.match(text)):
            self._note(groups(match)["why"])
            return self.finish()
        if runner.heading is not None and (match := runner.heading.match(text)):
            found = self.finish()
            self._runner, self._seen, self._heading = runner, 0, match["name"]
            return found
        if runner.bad is not None and (match := runner.bad.match(text)):
            return [*self.finish(), *self._failed(runner, line, groups(match))]
        if runner.good is not None and (match := runner.good.match(text)):
            self._before = ""
            name = groups(match)["name"]
            return [*self.finish(), self._result(runner, line, name, passed=True)]
        return None

    def _note(self, why: str) -> None:
        """Note a reason in front of its test: the first two lines, as of a place and a message."""
        if not self._before:
            self._before = why
        elif ": " not in self._before or self._before.endswith(": Failure"):
            self._before += f": {why}"

    def _failed(self, runner: Runner, line: LogLine, parts: dict[str, str]) -> list[TestResult]:
        if self._is_repeated(runner, parts["name"]):
            return []
        detail = parts.get("why") or self._before or self._why.pop(parts["name"], "")
        self._before = ""
        if runner.below is not None and runner.heading is None:
            self._runner, self._seen = runner, 0
            if not detail:
                self._waits = line, parts["name"]
                return []
        return [self._result(runner, line, parts["name"], detail=detail)]

    def _is_repeated(self, runner: Runner, name: str) -> bool:
        """Whether a list names the test again, or names one that did not fail in the end."""
        if runner.after:
            return not self._tally.owes(runner.framework)
        if not runner.once:
            return False
        if not self._tally.count(runner.framework, passed=False):
            self._reported.clear()  # another run
        repeated = name in self._reported
        self._reported.add(name)
        return repeated

    def _reason(self, runner: Runner, text: str) -> list[TestResult] | None:
        """Take a line below a failed test; one of them is the reason.

        Until it is sure that it is a failed test, the line may be an error as well.
        """
        if not text.strip() or (self._waits is None and not self._heading):
            return []
        if runner.sure is not None:
            if runner.sure.match(text) is None:
                if not self._unsure or self._unsure.endswith(":"):
                    self._unsure = f"{self._unsure} {text.strip()}".strip()
                return None
            text, self._unsure = self._unsure, ""
        if runner.why is not None:
            match = runner.why.match(text)
            if match is None:
                return []
            text = groups(match)["why"]
        if self._heading:
            self._why[self._heading] = text
            self._heading = ""
        waits, self._waits = self._waits, None
        return [self._result(runner, *waits, detail=text)] if waits else []

    def _result(
        self, runner: Runner, line: LogLine, name: str, *, detail: str = "", passed: bool = False
    ) -> TestResult:
        return self._tally.named(
            line, runner.framework, name.strip(), passed=passed, detail=detail.strip()
        )
