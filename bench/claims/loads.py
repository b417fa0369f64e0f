"""What is measured, as a table: the study's load cases, each under three loads."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from random import Random

PEAK = 1_325.0
"""Handler runs per second at the peak of the study's development session."""

MIX = {"log.line": 40, "mcp.activity": 10, "process.started": 3}
"""The study's peak second, 200 log lines, 50 mcp events and 15 others, divided by 5."""

HANDLERS = {
    "log.line": ("store", "parse"),
    "mcp.activity": ("store", "fetch"),
    "process.started": ("store",),
}
URGENT = "process.started"

ROUND = sum(MIX.values())
RUNS_A_ROUND = sum(number * len(HANDLERS[type_]) for type_, number in MIX.items())
THINK = 0.0005
"""Seconds per answer of the server; short, so that ten times the peak fits two cores."""

GUARD = 8_000
"""Max threads of a contestant, so that the machine survives the measurement."""

PACED_SECONDS, QUICK_PACED_SECONDS = 2.0, 0.5
QUICK_EVENTS = 1_000


@dataclass(frozen=True)
class Case:
    """One of the study's load cases; `limit` is its time limit in seconds, all at once."""

    name: str
    workers: int
    queue: int
    events: int
    publishers: int
    limit: float


@dataclass(frozen=True)
class Shape:
    """A case under a load.

    Attributes:
        case: Workers, queue and publishers; all at once, the number of events too.
        load: The name of the load.
        rate: Offered handler runs per second; None for all events at once.
        think: Seconds per answer of the server.
        threads: Max threads in addition to the publishers.
    """

    case: Case
    load: str
    rate: float | None
    think: float = THINK
    threads: int = GUARD

    @property
    def name(self) -> str:
        """As printed."""
        return f"{self.case.name}, {self.load}"

    def events(self, *, quick: bool) -> int:
        """Return the number of events; whole rounds of the mix if it is paced."""
        if self.rate is None:
            return min(self.case.events, QUICK_EVENTS) if quick else self.case.events
        seconds = QUICK_PACED_SECONDS if quick else PACED_SECONDS
        return max(1, round(self.rate * seconds / RUNS_A_ROUND)) * ROUND

    @property
    def limit(self) -> float:
        """The time limit in seconds."""
        return self.case.limit if self.rate is None else 3 * PACED_SECONDS

    def interval(self) -> float:
        """Return the seconds from one event to the next."""
        return 0.0 if self.rate is None else RUNS_A_ROUND / ROUND / self.rate


CASES = (
    Case("small", 2, 20, 1_000, 10, 1.0),
    Case("medium", 4, 40, 10_000, 50, 5.0),
    Case("heavy", 8, 80, 100_000, 100, 30.0),
    Case("burst", 4, 200, 50_000, 500, 10.0),
)
LOADS = {"peak": PEAK, "10 x peak": 10 * PEAK, "all at once": None}
SHAPES = tuple(Shape(case, load, rate) for load, rate in LOADS.items() for case in CASES)

LIMITED = Shape(
    Case("stalled server", 8, 80, 600, 4, 30.0), "32 threads to spare", None, think=0.1, threads=32
)
"""The server takes 0.1 s for an answer, and the system refuses threads beyond the limit."""

BY_NAME = {shape.name: shape for shape in (*SHAPES, LIMITED)}


def types(events: int) -> Iterator[str]:
    """Return the types of `events` events: the mix, shuffled, the same at each call."""
    one_round = [type_ for type_, number in MIX.items() for _ in range(number)]
    Random(1).shuffle(one_round)
    return islice(cycle(one_round), events)


def runs(events: int) -> int:
    """Return the number of handler runs for `events` events."""
    return sum(len(HANDLERS[type_]) for type_ in types(events))
