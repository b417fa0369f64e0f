"""The target ratios, fixed before the second core was built, from a prototype of it."""

from dataclasses import dataclass, replace

from bench.peers.contestants import (
    Barest,
    Bounded,
    Bus,
    BusInBatches,
    BusUnmonitored,
    Executor,
    Simple,
    ThreadPerEvent,
)
from bench.peers.rounds import Results
from bench.peers.shapes import MADE, NO_OP
from bench.peers.tables import aligned

ALL_SHAPES = NO_OP


@dataclass(frozen=True)
class Target:
    """One row: `ours` / `theirs` of a figure, in each of some shapes.

    Attributes:
        against: As printed.
        figure: A figure of measure.py.
        shapes: The shapes, each with its limit.
        at_least: Whether the limit is a minimum.
    """

    against: str
    ours: str
    theirs: str
    figure: str
    shapes: tuple[tuple[str, float], ...]
    at_least: bool = True

    def ratios(self, results: Results) -> list[float | None]:
        """Return the measured ratio in each shape."""
        return [results.ratio(name, self.figure, self.ours, self.theirs) for name, _ in self.shapes]

    def target(self) -> str:
        """Return the target in words."""
        limits: dict[float, list[str]] = {}
        for name, limit in self.shapes:
            limits.setdefault(limit, []).append(name.removeprefix("no-op "))
        word = "at least" if self.at_least else "at most"
        parts = [f"{limit:g} ({', '.join(names)})" for limit, names in limits.items()]
        return f"{word} {'; '.join(parts) if len(parts) > 1 else f'{next(iter(limits)):g}'}"

    def measured(self, ratios: list[float | None]) -> str:
        """Return the measured ratios as text, with the names of the shapes if there are several."""
        words = ["?" if ratio is None else f"{ratio:.2f}" for ratio in ratios]
        if len(words) == 1:
            return words[0]
        names = [name.removeprefix("no-op ") for name, _ in self.shapes]
        return ", ".join(f"{name} {word}" for name, word in zip(names, words, strict=True))

    def met(self, ratios: list[float | None]) -> bool:
        """Return whether the target is reached in every shape."""
        for ratio, (_, limit) in zip(ratios, self.shapes, strict=True):
            if ratio is None or (ratio < limit if self.at_least else ratio > limit):
                return False
        return True


def _each(limit: float, shapes: tuple[str, ...] = ALL_SHAPES) -> tuple[tuple[str, float], ...]:
    return tuple((shape, limit) for shape in shapes)


_ONE, _MANY = Bus.label, BusInBatches.label

_ONE_WORKER, _BOTH, _FOUR = "no-op 1x1", "no-op 1x4", "no-op 4x4"

TARGETS = (
    Target("ThreadPoolExecutor, each shape", _ONE, Executor.label, "rate", _each(45)),
    Target("Queue(4096) + threads, each shape", _ONE, Bounded.label, "rate", _each(6)),
    Target("a thread per event", _ONE, ThreadPerEvent.label, "rate", _each(350)),
    Target(
        "SimpleQueue + threads, single publish",
        _ONE,
        Simple.label,
        "rate",
        ((_ONE_WORKER, 1.1), (_BOTH, 1.1), (_FOUR, 1.0)),
    ),
    Target(
        "SimpleQueue + threads, publish_many of 64",
        _MANY,
        Simple.label,
        "rate",
        ((_ONE_WORKER, 1.7), (_BOTH, 1.6), (_FOUR, 1.4)),
    ),
    Target(
        "the same, each event created when published", _ONE, Simple.label, "rate", _each(1.1, MADE)
    ),
    Target("the same in batches of 64", _MANY, Simple.label, "rate", _each(1.1, MADE)),
    Target("SimpleQueue alone, single publish", _ONE, Barest.label, "rate", _each(0.5)),
    Target(
        "p99 of publish beside a computing handler, against SimpleQueue.put",
        _ONE,
        Simple.label,
        "p99",
        _each(1.5, ("beside computing",)),
        at_least=False,
    ),
    Target(
        "idle dispatch p50, against SimpleQueue",
        _ONE,
        Simple.label,
        "p50",
        _each(1.0, ("idle dispatch",)),
        at_least=False,
    ),
    Target(
        "monitoring on against off, cost",
        _ONE,
        BusUnmonitored.label,
        "both_ns",
        _each(1.5, ("filling",)),
        at_least=False,
    ),
    Target(
        "full ring, 70/30 handlers, 4 publishers: Queue's throughput",
        _ONE,
        Bounded.label,
        "rate",
        _each(1.0, ("full ring",)),
    ),
    Target(
        "full ring, 70/30 handlers, 4 publishers: p99 of publish, against Queue.put",
        _ONE,
        Bounded.label,
        "p99",
        _each(0.6, ("full ring",)),
        at_least=False,
    ),
)

SHAPE_NAMES = tuple(dict.fromkeys(name for target in TARGETS for name, _ in target.shapes))


def contestants_in(shape: str) -> list[str]:
    """Return the contestants needed in a shape."""
    labels: dict[str, None] = {}
    for target in TARGETS:
        if shape in dict(target.shapes):
            labels |= {target.ours: None, target.theirs: None}
    if shape == "filling":
        labels |= {_MANY: None, Simple.label: None}
    return list(labels)


def by_cpu_time(results: Results) -> str:
    """Return the ratios of events per second again, as ratios of events per CPU second."""
    rows = []
    for target in TARGETS:
        if target.figure == "rate":
            inverse = replace(target, figure="cpu_us", ours=target.theirs, theirs=target.ours)
            rows.append([target.against, inverse.measured(inverse.ratios(results))])
    for label in (_ONE, _MANY):
        ratio = results.ratio("filling", "both_ns", Simple.label, label)
        rows.append([f"SimpleQueue, filling, {label}", "?" if ratio is None else f"{ratio:.2f}"])
    return aligned(rows)


def report(results: Results) -> tuple[str, list[dict[str, object]]]:
    """Return the table, and the same for JSON."""
    rows = [["against", "target", "measured", ""]]
    data: list[dict[str, object]] = []
    for target in TARGETS:
        ratios = target.ratios(results)
        met = target.met(ratios)
        verdict = "met" if met else "not met"
        measured = target.measured(ratios)
        rows.append([target.against, target.target(), measured, verdict])
        data.append(
            {
                "against": target.against,
                "target": target.target(),
                "measured": dict(zip(dict(target.shapes), ratios, strict=True)),
                "met": met,
            }
        )
    return aligned(rows), data
