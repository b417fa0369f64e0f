"""The study's claims, whether they hold (arithmetic on ratios), and why one does not hold."""

from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.claims.loads import LIMITED, Shape
from bench.claims.ways import NAIVE, OURS
from bench.peers.rounds import Cell, Results

LEVEL = 0.97
"""Fraction of the offered rate; a contestant that handles this much keeps up."""

FEW = 1.5
"""Up to this many times the threads of the bus counts as few more."""


@dataclass(frozen=True)
class Claim:
    """A claim of the study about the bus, compared with one thread per handler and event.

    Attributes:
        name: As printed.
        figure: The figure of a measurement that it refers to.
        change: The claimed change, as a fraction: -0.9 for nine tenths less.
    """

    name: str
    figure: str
    change: float

    @property
    def bound(self) -> float:
        """The ratio that just suffices."""
        return round(1 + self.change, 9)  # 1 - 0.9 is slightly less than 0.1

    def holds(self, ratio: float | None) -> bool:
        """Return whether a ratio, ours to theirs, suffices; a missing one does not."""
        if ratio is None:
            return False
        return ratio <= self.bound if self.change < 0 else ratio >= self.bound


CLAIMS = (
    Claim("memory -90 %", "memory_mb", -0.90),
    Claim("latency -50 %, p50", "p50", -0.50),
    Claim("latency -50 %, p99", "p99", -0.50),
    Claim("throughput +30 %", "rate", 0.30),
)


def change(ratio: float | None) -> str:
    """Return a ratio as a change: 0.1 is -90 %."""
    if ratio is None:
        return "?"
    percent = (ratio - 1) * 100
    return f"{percent:.2f} %" if percent < -99 else f"{round(percent):+,d} %"


@dataclass(frozen=True)
class Verdict:
    """A claim in a shape, by the median of the rounds; `rounds` says what each would have said."""

    claim: Claim
    shape: Shape
    ratio: float | None
    rounds: tuple[bool, ...]
    why: str

    @property
    def holds(self) -> bool:
        """Whether the claim holds there."""
        return self.claim.holds(self.ratio)

    @property
    def mark(self) -> str:
        """The verdict in a word or two; with how many rounds are of its mind, if not all are."""
        word, same = "yes" if self.holds else "no", self.rounds.count(self.holds)
        return word if same == len(self.rounds) else f"{word} ({same} of {len(self.rounds)})"

    def as_json(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "claim": self.claim.name,
            "shape": self.shape.name,
            "ratio": self.ratio,
            "holds": self.holds,
            "rounds": self.rounds,
            "why": self.why,
        }


def verdicts(results: Results, shapes: list[Shape], theirs: str = NAIVE) -> list[Verdict]:
    """Return all claims in all shapes, against one of the others."""
    found = []
    for claim in CLAIMS:
        for shape in shapes:
            ratio = results.ratio(shape.name, claim.figure, OURS, theirs)
            why = "" if claim.holds(ratio) else reason(results, claim, shape, theirs)
            rounds = round_by_round(results, claim, shape, theirs)
            found.append(Verdict(claim, shape, ratio, rounds, why))
    return found


def round_by_round(results: Results, claim: Claim, shape: Shape, theirs: str) -> tuple[bool, ...]:
    """Return for each round whether a claim holds in it alone."""
    ours, other = (results.cells.get((shape.name, label)) for label in (OURS, theirs))
    pairs = zip(ours.rounds, other.rounds, strict=False) if ours and other else ()
    name = claim.figure
    return tuple(claim.holds(a[name] / b[name]) for a, b in pairs if a.get(name) and b.get(name))


def reason(results: Results, claim: Claim, shape: Shape, theirs: str) -> str:
    """Return why a claim does not hold, according to the measurements."""
    ours, other = (results.cells.get((shape.name, label)) for label in (OURS, theirs))
    if ours is None or other is None or ours.median("rate") is None or other.median("rate") is None:
        return "not measured"
    both_keep_up = keeps_up(shape, ours) and keeps_up(shape, other)
    if claim.figure == "rate":
        return _why_rate(ours, other, both_keep_up=both_keep_up)
    if claim.figure == "memory_mb":
        return _why_memory(ours, other)
    return _why_latency(claim.figure, ours, other, both_keep_up=both_keep_up)


def keeps_up(shape: Shape, cell: Cell) -> bool:
    """Return whether a paced load was handled at its rate."""
    return shape.rate is not None and _figure(cell, "rate") >= LEVEL * shape.rate


def _why_rate(ours: Cell, other: Cell, *, both_keep_up: bool) -> str:
    if both_keep_up:
        return "both handle the whole load, so there is nothing to gain"
    cpu = f"CPU per run {_figure(ours, 'cpu_us'):.0f} us against {_figure(other, 'cpu_us'):.0f} us"
    return f"{cpu}; the handlers' own work, the same for both, determines the rate"


def _why_memory(ours: Cell, other: Cell) -> str:
    grown = f"{_figure(ours, 'memory_mb'):.1f} MB against {_figure(other, 'memory_mb'):.1f} MB"
    threads = [round(_figure(cell, "threads")) for cell in (ours, other)]
    if threads[1] <= FEW * threads[0]:
        numbers = f"{threads[0]} threads at most against {threads[1]}"
        return f"the difference is small, {grown}, {numbers}: each ends before many others start"
    return f"{grown}: the memory of its queue and workers is not negligible beside that"


def _why_latency(figure: str, ours: Cell, other: Cell, *, both_keep_up: bool) -> str:
    times = f"{_figure(ours, figure):.2f} ms against {_figure(other, figure):.2f} ms"
    late, handled = _figure(ours, "late_p99"), _figure(other, "handled") / _figure(other, "runs")
    if handled < LEVEL:
        return f"{times} at least: only {handled:.0%} was handled before the time limit"
    if both_keep_up and figure == "p99" and late > _figure(ours, figure) / 2:
        return f"{times}: the publishers themselves wake up late, the last 1 % by {late:.1f} ms"
    if both_keep_up and figure == "p99":
        return f"{times}: the tail is the HTTP request itself, and a wait for a free worker"
    if both_keep_up:
        return f"{times}: the queue is short, so most of both is the handlers' own time"
    return f"{times}: all wait for the same work, which takes nearly as long with either"


def _figure(cell: Cell, name: str) -> float:
    return cell.median(name) or 0.0


@dataclass(frozen=True)
class Exhaustion:
    """The result of a contestant that was allowed few threads only."""

    label: str
    limit: str
    lost: int
    runs: int
    reason: str
    threads: int

    @property
    def exhausted(self) -> bool:
        """Whether runs were lost."""
        return self.lost > 0


def exhaustions(results: Results, labels: list[str]) -> list[Exhaustion]:
    """Return the worst result of each contestant under the limit; empty if no limit works."""
    found = []
    for label in labels:
        cell = results.cells.get((LIMITED.name, label))
        rounds = [r for r in cell.rounds if r and r["limit"] != "nothing binds"] if cell else []
        if rounds:
            worst = max(rounds, key=lambda figures: figures["lost"] + figures["failed"])
            found.append(
                Exhaustion(
                    label,
                    worst["limit"],
                    worst["lost"] + worst["failed"] + worst["left"],
                    worst["runs"],
                    worst["reason"] or worst["failure"],
                    max(figures["threads"] for figures in rounds),
                )
            )
    return found


def no_exhaustion(found: list[Exhaustion]) -> bool | None:
    """Return whether the naive contestant is exhausted and the bus is not; None: not measured."""
    by_label = {one.label: one.exhausted for one in found}
    if NAIVE not in by_label or OURS not in by_label:
        return None
    return by_label[NAIVE] and not by_label[OURS]


def held(found: list[Verdict], claim: Claim, load: str | None = None) -> tuple[int, int]:
    """Return the number of shapes in which a claim holds, and of all, under one load or all."""
    some = [v.holds for v in found if v.claim is claim and load in {None, v.shape.load}]
    return sum(some), len(some)


def spread(found: list[Verdict], claim: Claim) -> list[float]:
    """Return minimum, median and maximum of a claim's ratios, if there are any."""
    ratios = sorted(v.ratio for v in found if v.claim is claim and v.ratio is not None)
    return [ratios[0], median(ratios), ratios[-1]] if ratios else []
