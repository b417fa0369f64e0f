"""The payloads (`Event.data`) of the watcher's events; `source` is the name of the process.

Times are seconds since the epoch. `number` counts the lines of one stream of one process from 0:
lines that were read at the same moment have the same time, and travel in one event.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, repeat
from typing import Any, NamedTuple


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
    stopped: bool = False
    """Whether the watcher had sent it a signal before."""


class LogLine(NamedTuple):
    """One line and its ending, without loss.

    A tuple, as it is made for many lines: a frozen dataclass takes four times as long to make.
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
    """`"\\n"`, `"\\r\\n"`, or empty at the end of the stream or of a piece of a split line.
    In UTF-16 each of its characters has a NUL."""
    raw: bytes | None = None
    """The line's own bytes if they are not UTF-8, else None."""

    def as_bytes(self) -> bytes:
        """Return exactly what the process wrote."""
        body = self.text.encode() if self.raw is None else self.raw
        return body + self.ending.encode()


@dataclass(slots=True)  # frozen, it would take three times as long to make
class LogLines:
    """The payload of `log.line`: the lines of one stream that were read at once, one or many.

    A flood is read in blocks of 64 KB, several hundred lines. They stay one string, so that what
    handlers do with all lines alike costs one call for all of them. A line that comes alone is
    published alone.
    """

    process: str
    stream: str
    """`stdout` or `stderr`."""
    first: int
    """The number of the first line."""
    time: float
    """When the watcher read them."""
    text: str
    """The lines, with a newline between each two of them; none contains one."""
    count: int
    """How many lines it is, at least one."""
    endings: Sequence[str] = ()
    """The ending of each line, if not all are a newline."""
    raws: Mapping[int, bytes] = field(default_factory=dict)
    """The own bytes of lines that are not UTF-8, by their place among these lines, from 0."""

    @classmethod
    def of(cls, lines: Sequence[LogLine]) -> "LogLines":
        """Return lines that follow each other in one stream, with the time of the first."""
        first = lines[0]
        return cls(
            first.process,
            first.stream,
            first.number,
            first.time,
            "\n".join(line.text for line in lines),
            len(lines),
            [line.ending for line in lines],
            {place: line.raw for place, line in enumerate(lines) if line.raw is not None},
        )

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[LogLine]:
        return map(LogLine._make, self.rows())

    def last(self, most: int) -> list[LogLine]:
        """Return the last lines, at most that many."""
        texts = self.text.rsplit("\n", most)[-min(most, self.count) :]
        first = self.count - len(texts)
        return [self.line(first + place, text) for place, text in enumerate(texts)]

    def texts(self) -> list[str]:
        """Return the text of each line."""
        return self.text.split("\n")

    def line(self, place: int, text: str) -> LogLine:
        """Return one line.

        Args:
            place: Its place among these, from 0.
            text: Its text, which is the same item of `texts()`.
        """
        ending = self.endings[place] if self.endings else "\n"
        raw = self.raws.get(place)
        return LogLine(self.process, self.stream, self.first + place, text, self.time, ending, raw)

    def rows(self, *before: object) -> Iterator[tuple[Any, ...]]:
        """Return the fields of each `LogLine` in order, behind these values."""
        raws: Iterable[bytes | None] = repeat(None)
        if self.raws:
            raws = map(self.raws.get, range(self.count))
        return zip(
            *map(repeat, before),
            repeat(self.process),
            repeat(self.stream),
            count(self.first),
            self.texts(),
            repeat(self.time),
            self.endings or repeat("\n"),
            raws,
        )


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
    not named, negative where it has fewer than were; 0: the reason of a failed test that was
    reported before."""


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
