"""The runs of one process: what lines say of one, and what a document says, may be the same run.

`jest --json` prints its figures to standard error and a document with them to standard output;
`pytest --junitxml=/dev/stdout` prints the document first. So a document's results are held until
the lines beside it have said the same, and then dropped, or until a pause shows that they do not.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from brummerbus.watch.payloads import ErrorFound, Found, LogLine, TestResult
from brummerbus.watch.text import counted

_NAMED = 2000
"""Tests of a document that are kept by name; of further ones only the number."""
_TOGETHER = 3
"""Lines between two documents of one run, as of one for each file."""
_LATEST = 16
"""Runs among which the one is looked for that a document repeats."""
_SOON = 60.0
"""Seconds behind a closing line within which a document of the run must begin."""


@dataclass(slots=True)
class Report:
    """What documents say of one run."""

    framework: str
    line: LogLine
    """Where the first one begins."""
    certain: bool = True
    """Whether the framework is known, not only the form of the document."""
    end: int = 0
    """The number of the last line."""
    passed: int = 0
    failed: int = 0
    results: list[TestResult] = field(default_factory=list)
    errors: list[ErrorFound] = field(default_factory=list)
    repeated: bool = False
    """Whether lines have said the same."""

    def add(self, line: LogLine, name: str, *, passed: bool, detail: str = "") -> None:
        """Add a test."""
        if passed:
            self.passed += 1
        else:
            self.failed += 1
        if len(self.results) < _NAMED:
            self.results.append(
                TestResult(line.process, self.framework, name, passed, detail, line.time)
            )

    def error(self, found: ErrorFound) -> None:
        """Add an error."""
        if len(self.errors) < _NAMED:
            self.errors.append(found)

    def join(self, other: "Report") -> None:
        """Add what the next document of the same run says."""
        self.end = other.end
        self.passed += other.passed
        self.failed += other.failed
        self.results += other.results[: _NAMED - len(self.results)]
        self.errors += other.errors[: _NAMED - len(self.errors)]

    def found(self) -> list[Found]:
        """Return the results, further ones without their names."""
        found: list[Found] = [*self.results, *self.errors]
        for passed, total in ((True, self.passed), (False, self.failed)):
            count = total - sum(1 for result in self.results if result.passed is passed)
            if count:
                detail = "" if passed else f"{counted(count, 'test')} beyond the first {_NAMED:,}"
                found.append(
                    TestResult(self.line.process, self.framework, "", passed, detail,
                               self.line.time, count)
                )  # fmt: skip
        return found


class _Run(NamedTuple):
    """A run of which a closing line has said the figures."""

    framework: str
    passed: int
    failed: int
    time: float


class Runs:
    """The runs of one process, which its streams share. Not thread-safe."""

    def __init__(self) -> None:
        self._closed: deque[_Run] = deque(maxlen=_LATEST)
        """Runs that no document has repeated."""
        self._held: list[Report] = []
        self._others: dict[str, Runs] = {}
        self.named: dict[tuple[str, bool], int] = {}
        """How many tests of a framework were named since its last closing line."""
        self.owed: dict[str, tuple[int, LogLine]] = {}
        """Failed tests that a closing line has counted and that may be named behind it."""

    def of(self, prefix: str) -> "Runs":
        """Return the runs of lines with a prefix, such as a package's; without one, these."""
        return self._others.setdefault(prefix, Runs()) if prefix else self

    def close(self, line: LogLine, framework: str, passed: int, failed: int) -> None:
        """Note the figures of a closing line; they may be those of a document before it."""
        run = _Run(framework, passed, failed, line.time)
        for report in self._held:
            if _is_same(report, run):
                self._held.remove(report)
                report.repeated = True
                return
        self._closed.append(run)

    def hold(self, report: Report) -> None:
        """Note a document, unless a closing line before it has said the same."""
        for run in self._closed:
            if report.line.time - run.time <= _SOON and _is_same(report, run):
                self._closed.remove(run)
                report.repeated = True
                return
        self._held.append(report)

    def release(self, report: Report) -> None:
        """Forget a document of which the lines do not say the same."""
        if report in self._held:
            self._held.remove(report)


class Held:
    """The documents of one stream whose results are held.

    Args:
        runs: Those of the process.
    """

    def __init__(self, runs: Runs) -> None:
        self.runs = runs
        self._reports: list[Report] = []

    def __bool__(self) -> bool:
        return bool(self._reports)

    def hold(self, report: Report) -> None:
        """Hold what a document says; one directly behind another belongs to the same run."""
        last = self._reports[-1] if self._reports else None
        if (
            last is not None
            and not last.repeated
            and last.framework == report.framework
            and report.line.number - last.end <= _TOGETHER
        ):
            self.runs.release(last)
            last.join(report)
            report = last
        else:
            self._reports.append(report)
        self.runs.hold(report)

    def release(self) -> list[Found]:
        """Return what is held, without what lines have said as well."""
        found: list[Found] = []
        for report in self._reports:
            if not report.repeated:
                self.runs.release(report)
                found += report.found()
        self._reports.clear()
        return found

    def first(self) -> int:
        """Return the number of the line where the first one ends."""
        return self._reports[0].end


def _is_same(report: Report, run: _Run) -> bool:
    """Whether a document and a closing line report the same run.

    Where the framework is the same, one of the figures suffices: some count a file that cannot be
    loaded, or a test whose teardown fails, as a test in one of them only.
    """
    same = (report.passed, report.failed) == (run.passed, run.failed)
    if report.framework == run.framework:
        return same or report.passed == run.passed > 0 or report.failed == run.failed > 0
    return not report.certain and same and run.passed + run.failed > 0
