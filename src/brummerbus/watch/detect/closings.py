"""The closing lines of test runners, and what they say beside the tests that were named before."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from brummerbus.watch.detect.hints import Hinted
from brummerbus.watch.detect.runs import Runs
from brummerbus.watch.detect.table import groups
from brummerbus.watch.patterns import example_of, table
from brummerbus.watch.patterns.lazy import Lazy
from brummerbus.watch.payloads import LogLine, TestResult
from brummerbus.watch.text import counted

_FAILED = ("failed", "errors", "undefined", "ambiguous")
_NEITHER = ("skipped", "ignored", "expected")


@dataclass(frozen=True, slots=True)
class Runner:
    """One section of `runners.ini`."""

    framework: str
    hints: tuple[str, ...]
    line: Lazy | None
    part: Lazy | None
    after: bool
    """Whether the failed tests are named behind the closing line."""
    either: bool
    """Whether some are named before it, too, or in the other stream."""
    once: bool
    """Whether a test is named a second time in a list at the end."""
    named: tuple[str, ...]
    """Hints of the lines that name tests."""
    bad: Lazy | None
    good: Lazy | None
    heading: Lazy | None
    before: Lazy | None
    below: Lazy | None
    why: Lazy | None
    sure: Lazy | None
    """What must stand below a failed test, which otherwise is none."""
    example: str
    finds: tuple[int, int]
    """Passed and failed tests in the example."""
    fails: tuple[tuple[str, str], ...]
    """The failed tests that are named in the example, and their reasons."""


@cache
def runners() -> tuple[Runner, ...]:
    """Return the table of runners."""
    parser = table("runners.ini")
    found = []
    for name in parser.sections():
        section = parser[name]
        passed, failed = section["finds"].split()
        found.append(
            Runner(
                section.get("framework", name),
                _hints(section["hint"]),
                _regex(section, "line"),
                _regex(section, "part"),
                "after" in section,
                section.get("after") == "either",
                section.getboolean("once", False),
                _hints(section.get("named", "")),
                _regex(section, "bad"),
                _regex(section, "good"),
                _regex(section, "heading"),
                _regex(section, "before"),
                _regex(section, "below"),
                _regex(section, "why"),
                _regex(section, "sure"),
                example_of(section["example"]),
                (int(passed), int(failed)),
                tuple(_fail(text) for text in section.get("fails", "").strip().split("\n") if text),
            )
        )
    return tuple(found)


def _hints(text: str) -> tuple[str, ...]:
    return tuple(hint for hint in text.split("|") if hint)


def _regex(section: Mapping[str, str], key: str) -> Lazy | None:
    return Lazy(section[key]) if key in section else None


def _fail(text: str) -> tuple[str, str]:
    name, _, reason = text.partition(" = ")
    return name, reason


@cache
def _hinted() -> Hinted[Runner]:
    return Hinted((runner, runner.hints) for runner in runners())


HINTS = frozenset(hint for runner in runners() for hint in runner.hints)


class Tally:
    """The tests of one stream: named ones, and those that only a closing line counts.

    Args:
        runs: Where the figures are noted.
    """

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._named = runs.named
        self._owed = runs.owed
        self._here: set[str] = set()
        """Frameworks of which the closing lines are in this stream."""
        self._parts: dict[str, int] = {}
        self._runner: Runner | None = None
        self._part_line: LogLine | None = None

    @property
    def idle(self) -> bool:
        """Whether no further line is waited for."""
        return self._runner is None and self._here.isdisjoint(self._owed)

    @property
    def waits(self) -> bool:
        """Whether the next line may be a further part of a closing."""
        return self._runner is not None

    def named(
        self, line: LogLine, framework: str, name: str, *, passed: bool, detail: str = ""
    ) -> TestResult:
        """Return the result of a named test, and count it."""
        owed, closing = self._owed.get(framework, (0, line))
        if not passed and owed:
            del self._owed[framework]
            if owed > 1:
                self._owed[framework] = owed - 1, closing
        else:
            key = framework, passed
            self._named[key] = self._named.get(key, 0) + 1
        return TestResult(line.process, framework, name, passed, detail, line.time)

    def owes(self, framework: str) -> bool:
        """Whether a closing line has counted failed tests that have not been named yet."""
        return framework in self._owed

    def count(self, framework: str, *, passed: bool) -> int:
        """Return how many tests were named since the last closing line."""
        return self._named.get((framework, passed), 0)

    def rename(self, before: str, framework: str) -> None:
        """Count the tests that one framework has named as those of another."""
        for passed in (True, False):
            count = self._named.pop((before, passed), 0)
            key = framework, passed
            self._named[key] = self._named.get(key, 0) + count

    def feed(self, line: LogLine, text: str, lowered: str) -> list[TestResult] | None:
        """Return the results that a closing line adds, or None if the line is none."""
        if self._runner is not None and self._runner.part is not None:
            # `end_parts` has seen that the line is one of them.
            if match := self._runner.part.match(text):
                self._collect(self._runner, line, match)
                return []
            if not text.strip():
                return []
        closed: tuple[Runner, re.Match[str]] | None = None
        for runner in _hinted().of(lowered):
            if runner.line is not None and (match := runner.line.match(text)):
                # Some runners close with the same words; it is the one that has named tests.
                known = any(name == runner.framework for name, _ in self._named)
                if closed is None or known:
                    closed = runner, match
                if known:
                    break
            elif closed is None and runner.part is not None and (match := runner.part.match(text)):
                self._collect(runner, line, match)
                return []
        return None if closed is None else self._close(closed[0], line, _numbers(closed[1]))

    def end_parts(self, text: str) -> list[TestResult]:
        """Return what the parts of a closing add up to, if this line is none of them."""
        runner = self._runner
        if runner is None or runner.part is None or not text.strip() or runner.part.match(text):
            return []
        return self.settle()

    def note(self, line: LogLine, framework: str, passed: int, failed: int) -> None:
        """Note the figures of a run before its closing line, as a document may repeat them."""
        self._runs.close(line, framework, passed, failed)

    def close(
        self, line: LogLine, framework: str, *, passed: int, failed: int, noted: bool = False
    ) -> list[TestResult]:
        """Return what a closing line adds to the tests that were named since the last one."""
        if not noted:
            self.note(line, framework, passed, failed)
        return [
            *self._unnamed(line, framework, passed, passed=True),
            *self._unnamed(line, framework, failed, passed=False),
        ]

    def leftover(self) -> list[TestResult]:
        """Return the failed tests that no stream has named."""
        results = [
            _without_name(line, framework, owed, passed=False)
            for framework, (owed, line) in self._owed.items()
        ]
        self._owed.clear()
        return results

    def _collect(self, runner: Runner, line: LogLine, match: re.Match[str]) -> None:
        self._runner, self._part_line = runner, line
        for key, number in _numbers(match).items():
            self._parts[key] = number

    def settle(self) -> list[TestResult]:
        """Return what the parts of a closing add up to."""
        runner, self._runner = self._runner, None
        parts, self._parts = self._parts, {}
        if runner is None or self._part_line is None or not parts:
            return []
        if not any(key in parts for key in _FAILED):
            # googletest lists no failed tests at its end if it was asked to be brief.
            parts["failed"] = self.count(runner.framework, passed=False)
        return self._close(runner, self._part_line, parts)

    def _close(self, runner: Runner, line: LogLine, numbers: dict[str, int]) -> list[TestResult]:
        failed = sum(numbers.get(key, 0) for key in _FAILED)
        passed = numbers.get("passed")
        if passed is None:
            neither = sum(numbers.get(key, 0) for key in _NEITHER)
            passed = max(numbers.get("total", 0) - failed - neither, 0)
        if not runner.after:
            return self.close(line, runner.framework, passed=passed, failed=failed)
        self.note(line, runner.framework, passed, failed)
        results = self._unnamed(line, runner.framework, passed, passed=True)
        failed -= self._named.pop((runner.framework, False), 0)
        if runner.framework in self._owed:
            owed, before = self._owed.pop(runner.framework)
            if runner.either:
                failed += owed  # the other stream may be behind
            else:
                results.append(_without_name(before, runner.framework, owed, passed=False))
        if failed > 0:
            self._owed[runner.framework] = failed, line
            self._here.add(runner.framework)
        elif failed and runner.either:
            results.append(_without_name(line, runner.framework, failed, passed=False))
        return results

    def _unnamed(
        self, line: LogLine, framework: str, count: int, *, passed: bool
    ) -> list[TestResult]:
        count -= self._named.pop((framework, passed), 0)
        return [_without_name(line, framework, count, passed=passed)] if count else []


def _without_name(line: LogLine, framework: str, count: int, *, passed: bool) -> TestResult:
    detail = "" if passed else f"{counted(count, 'test')} that the output does not name"
    return TestResult(line.process, framework, "", passed, detail, line.time, count)


def _numbers(match: re.Match[str]) -> dict[str, int]:
    return {key: int(value) for key, value in groups(match).items() if value.isdecimal()}
