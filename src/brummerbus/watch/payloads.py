"""The payloads (`Event.data`) of the watcher's events; `source` is the name of the process.

Times are seconds since the epoch. `number` counts the lines of one stream of one process from 0:
lines that were read at the same moment have the same time.
"""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class ProcessStarted:
    """The payload of `process.started`."""

    process: str
    pid: int
    command: str
    time: float


@dataclass(frozen=True, slots=True)
class ProcessExited:
    """The payload of `process.exited`."""

    process: str
    pid: int
    exit_code: int
    """As a shell shows it: 128 + n after signal n."""
    run_time: float
    """Seconds from start to exit."""
    time: float


class LogLine(NamedTuple):
    """The payload of `log.line`: one line and its ending, without loss.

    A tuple, as it is made for each line: a frozen dataclass takes four times as long to make.
    """

    process: str
    stream: str
    """`stdout` or `stderr`."""
    number: int
    text: str
    """The line; bytes that are not UTF-8 are written as `\\xNN`."""
    time: float
    """When the watcher read it."""
    ending: str = "\n"
    """`"\\n"`, `"\\r\\n"`, or empty at the end of the stream or of a piece of a split line."""
    raw: bytes | None = None
    """The line's own bytes if they are not UTF-8, else None."""

    def as_bytes(self) -> bytes:
        """Return exactly what the process wrote."""
        body = self.text.encode() if self.raw is None else self.raw
        return body + self.ending.encode()


@dataclass(frozen=True, slots=True)
class ErrorFound:
    """The payload of `error.detected`: one error, of one or several lines."""

    process: str
    stream: str
    first: int
    """The number of its first line."""
    last: int
    """The number of its last line."""
    time: float
    """When its first line was read."""
    kind: str
    """Such as `python`, `gcc`, `rust panic`, `log`."""
    message: str
    """The error message, one line."""
    location: str
    """`file:line` or `file:line:column` if the error gives one, else empty."""
    text: str
    """Its lines, long ones shortened; the store has them whole."""


@dataclass(frozen=True, slots=True)
class TestResult:
    """The payload of `test.passed` and `test.failed`."""

    __test__ = False  # pytest must not collect the class as a test

    process: str
    framework: str
    name: str
    """Empty for passed tests that the output does not name."""
    passed: bool
    detail: str
    """Why it failed, if the output says so."""
    time: float
    count: int = 1
    """How many tests this is: more than 1 where the closing line of a runner has tests that were
    not named, negative where it has fewer than were."""


@dataclass(frozen=True, slots=True)
class BuildEvent:
    """The payload of `build.event`."""

    process: str
    tool: str
    status: str
    """`started`, `progress`, `finished` or `failed`."""
    message: str
    time: float


Found = ErrorFound | TestResult | BuildEvent
"""The results of the detectors."""
