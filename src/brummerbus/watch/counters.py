"""Counts events and keeps the state of each process for the live view and the report."""

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from threading import Lock

from brummerbus import Event, EventType
from brummerbus.watch.payloads import (
    BuildEvent,
    ErrorFound,
    LogLines,
    ProcessExited,
    ProcessStarted,
    TestResult,
)
from brummerbus.watch.text import repeated

_KEPT = 1000
"""Errors, and failed tests, kept for the report; all are counted, and all errors stored."""
_RECENT = 200
"""Errors kept for the view, in the order of their last occurrence."""
_NUMBER = re.compile(r"0x[0-9a-fA-F]+|\d+")
"""What differs where the same error occurs again: process ids, counters, addresses."""
_Same = tuple[str, str, str, str]


@dataclass
class ProcessState:
    """The known state of one process."""

    name: str
    command: str = ""
    pid: int = 0
    started: float = 0.0
    starts: int = 0
    exited: float = 0.0
    exit_code: int | None = None
    run_time: float | None = None
    stopped: bool = False
    """Whether the watcher had sent it a signal before its exit."""
    lines: int = 0
    errors: int = 0


@dataclass
class Counts:
    """All counts so far; `Counters.snapshot` returns copies."""

    processes: dict[str, ProcessState] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)
    tests: Counter[str] = field(default_factory=Counter)
    """`passed` and `failed`."""
    builds: Counter[str] = field(default_factory=Counter)
    """By tool and status, such as `cargo failed`."""
    errors: int = 0


class Counters:
    """A handler of all events. Thread-safe."""

    def __init__(self, names: list[str]) -> None:
        self._lock = Lock()  # guards all fields below; held for a few additions only
        self._counts = Counts({name: ProcessState(name) for name in names})
        self._errors: dict[_Same, tuple[ErrorFound, int]] = {}
        """The first occurrence of each error, and how often it has occurred."""
        self._recent_errors: dict[_Same, ErrorFound] = {}
        self._failed: list[TestResult] = []

    def on_lines(self, events: list[Event]) -> None:
        """Count a batch of `log.line`."""
        with self._lock:
            for event in events:
                self._note_lines(event.data)

    def __call__(self, event: Event) -> None:
        """Count an event."""
        data = event.data
        with self._lock:
            if isinstance(data, LogLines):
                self._note_lines(data)
                return
            self._counts.events[event.type] += 1
            if isinstance(data, ProcessStarted | ProcessExited):
                self._note_process(data)
            elif isinstance(data, ErrorFound):
                self._note_error(data)
            elif isinstance(data, TestResult):
                self._counts.tests["passed" if data.passed else "failed"] += data.count
                if not data.passed:
                    self._note_failed(data)
            elif isinstance(data, BuildEvent):
                self._counts.builds[f"{data.tool} {data.status}"] += 1

    def snapshot(self) -> Counts:
        """Return a copy of the counts, taken in one step."""
        with self._lock:
            counts = self._counts
            return Counts(
                {name: replace(state) for name, state in counts.processes.items()},
                counts.events.copy(),
                counts.tests.copy(),
                counts.builds.copy(),
                counts.errors,
            )

    def errors(self) -> list[tuple[ErrorFound, int]]:
        """Return different errors in order of time, at most 1,000, and how often each occurred."""
        with self._lock:
            errors = list(self._errors.values())
        return sorted(errors, key=lambda each: (each[0].time, each[0].process, each[0].first))

    def failed_tests(self) -> list[TestResult]:
        """Return the failed tests, at most 1,000."""
        with self._lock:
            return list(self._failed)

    def latest(self, process: str = "") -> list[ErrorFound]:
        """Return the last errors, the newest first; their messages say how often they occurred.

        Args:
            process: Only those of this process, if not empty.
        """
        with self._lock:
            return [
                replace(
                    found, message=repeated(found.message, self._errors.get(same, (found, 1))[1])
                )
                for same, found in reversed(self._recent_errors.items())
                if process in ("", found.process)
            ]

    def _state(self, name: str) -> ProcessState:
        return self._counts.processes.setdefault(name, ProcessState(name))

    def _note_lines(self, lines: LogLines) -> None:
        self._counts.events[EventType.LOG_LINE] += 1
        self._state(lines.process).lines += lines.count

    def _note_process(self, data: ProcessStarted | ProcessExited) -> None:
        # Start and exit may be handled in either order, and a restart after both: the later in time
        # says whether it runs.
        state = self._state(data.process)
        if isinstance(data, ProcessStarted):
            state.command = data.command
            state.starts += 1
            state.pid = data.pid
            state.started = data.time
            if data.time > state.exited:
                state.exit_code = state.run_time = None
        else:
            state.exited = data.time
            if data.time >= state.started:
                state.pid = data.pid
                state.exit_code = data.exit_code
                state.run_time = data.run_time
                state.stopped = data.stopped

    def _note_failed(self, result: TestResult) -> None:
        if result.count > 0 and len(self._failed) < _KEPT:
            self._failed.append(result)
        elif result.count == 0:
            same = (result.process, result.framework, result.name)
            for number, known in enumerate(self._failed):
                if same == (known.process, known.framework, known.name) and not known.detail:
                    self._failed[number] = replace(known, detail=result.detail)

    def _note_error(self, found: ErrorFound) -> None:
        self._counts.errors += 1
        self._state(found.process).errors += 1
        same = found.process, found.kind, _NUMBER.sub("#", found.message), found.location
        self._recent_errors.pop(same, None)
        self._recent_errors[same] = found
        if len(self._recent_errors) > _RECENT:
            del self._recent_errors[next(iter(self._recent_errors))]
        first, count = self._errors.get(same, (found, 0))
        if count or len(self._errors) < _KEPT:
            self._errors[same] = first, count + 1
