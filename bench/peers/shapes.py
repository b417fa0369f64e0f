"""What is measured, fixed before anything is run.

A shape is one way of using a bus. Every contestant runs every shape. The numbers of events are
chosen so that a round takes some tenths of a second: long enough for the clock, short enough to
alternate between contestants while the load of the machine is constant.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

QUEUE = 4096
"""Queue size of the bounded contestants, unless the shape has its own."""


@dataclass(frozen=True)
class Shape:
    """One row of the table.

    Attributes:
        name: As printed, and as matched by `--only`.
        kind: The function of measure.py that runs it.
        publishers, workers: Threads.
        handler: A name of handlers.py.
        events: Their number; slow contestants get their share of it (`Contestant.share`).
        queue: Queue size of the bounded contestants.
        quick: The number of events with `--quick`; 0: omitted.
        made: Whether events are created as they are published, as in programs; otherwise they
            exist already, and the bus alone is measured.
    """

    name: str
    kind: str
    publishers: int
    workers: int
    handler: str
    events: int
    queue: int = QUEUE
    quick: int = 0
    made: bool = False


GRID = ((1, 1), (1, 4), (4, 4), (16, 4))
"""Publishers and workers."""

MADE = ("made 1x1", "made 4x4")
"""Publishers and workers if publishers create each event as they publish it."""

NO_OP = tuple(f"no-op {p}x{w}" for p, w in GRID)

_THROUGHPUT = {
    # handler: events with 1 worker, with 4 workers
    "no-op": (300_000, 300_000),
    "compute": (30_000, 30_000),
    "wait": (2_000, 8_000),
    "mixed": (3_000, 12_000),
}
_QUICK = {"no-op 1x1": 100_000, "no-op 1x4": 100_000, "no-op 4x4": 100_000, "mixed 4x4": 4_000}


def _throughput() -> list[Shape]:
    shapes = []
    for handler, (one, four) in _THROUGHPUT.items():
        for publishers, workers in GRID:
            name = f"{handler} {publishers}x{workers}"
            events = one if workers == 1 else four
            quick = _QUICK.get(name, 0)
            shapes.append(
                Shape(name, "throughput", publishers, workers, handler, events, quick=quick)
            )
    return shapes


SHAPES = (
    *_throughput(),
    Shape("filling", "filling", 1, 1, "no-op", 4_000, quick=4_000),
    Shape(MADE[0], "throughput", 1, 1, "no-op", 200_000, quick=50_000, made=True),
    Shape(MADE[1], "throughput", 4, 4, "no-op", 200_000, made=True),
    Shape("burst over 50", "burst", 4, 4, "mixed", 50_000, queue=50),
    Shape("burst over 1,000", "burst", 4, 4, "mixed", 50_000, queue=1_000, quick=6_000),
    Shape("burst over 10,000", "burst", 4, 4, "mixed", 50_000, queue=10_000),
    Shape("full ring", "full", 4, 4, "mixed", 20_000, quick=10_000),
    Shape("ping-pong", "ping_pong", 1, 1, "no-op", 5_000, quick=1_500),
    Shape("idle dispatch", "idle", 1, 4, "no-op", 400, quick=150),
    Shape("beside computing", "beside", 1, 2, "no-op", 6_000, quick=1_000),
)


def chosen(patterns: list[str], names: list[str]) -> list[str]:
    """Return the names that match one of the patterns; all, if there is no match.

    A pattern is a glob, or a part of a name.
    """
    found = [n for n in names if any(p in n or fnmatchcase(n, p) for p in patterns)]
    return found or list(names)
