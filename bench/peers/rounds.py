"""Runs the rounds, each in its own process, alternating between the contestants."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench.peers.handlers import calibrate
from bench.peers.packages import ALL, BASELINE, takes_part
from bench.peers.shapes import Shape

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 120.0

Figures = dict[str, Any]


@dataclass
class Cell:
    """All rounds of one contestant in one shape."""

    shape: str
    contestant: str
    rounds: list[Figures] = field(default_factory=list)

    def median(self, figure: str) -> float | None:
        """Return the median over the rounds; None without such a figure."""
        values = [figures[figure] for figures in self.rounds if figure in figures]
        return median(values) if values else None

    def medians(self) -> dict[str, float]:
        """Return the medians of all figures."""
        names = dict.fromkeys(name for figures in self.rounds for name in figures)
        return {name: value for name in names if (value := self.median(name)) is not None}


class Results:
    """Everything that was measured."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, str], Cell] = {}
        self.problems: list[str] = []

    def add(self, shape: str, contestant: str, figures: Figures) -> None:
        """Add a round."""
        cell = self.cells.setdefault((shape, contestant), Cell(shape, contestant))
        cell.rounds.append(figures)

    def fail(self, shape: str, contestant: str, reason: str) -> None:
        """Record a round without figures; an empty one keeps the others aligned."""
        self.problems.append(f"{contestant} in {shape}: {reason}")
        self.add(shape, contestant, {})

    def of(self, shape: str) -> list[Cell]:
        """Return a shape's cells, in the order of the contestants."""
        return [cell for label in ALL if (cell := self.cells.get((shape, label))) is not None]

    def ratio(
        self, shape: str, figure: str, ours: str, theirs: str = BASELINE.label
    ) -> float | None:
        """Return ours / theirs: the median of the ratios of rounds that ran one after the other.

        The load of the machine changes more slowly than a round, so it cancels out in the ratio of
        neighbouring rounds, but not in a ratio of medians.
        """
        mine, other = self.cells.get((shape, ours)), self.cells.get((shape, theirs))
        if mine is None or other is None:
            return None
        pairs = zip(mine.rounds, other.rounds, strict=False)
        ratios = [a[figure] / b[figure] for a, b in pairs if a.get(figure) and b.get(figure)]
        return median(ratios) if ratios else None


def run(
    shapes: list[Shape],
    labels: list[str],
    rounds: int,
    *,
    quick: bool,
    say: Callable[[str], None],
) -> Results:
    """Run all rounds of all shapes."""
    results = Results()
    turns = calibrate()
    for number, shape in enumerate(shapes, start=1):
        names = [label for label in labels if takes_part(label, shape.kind)]
        for round_ in range(rounds):
            say(f"{shape.name} ({number} of {len(shapes)}), round {round_ + 1} of {rounds}")
            # In alternating order, so that the predecessor of each contestant varies.
            for label in names if round_ % 2 == 0 else reversed(names):
                one_round(results, shape, label, turns, quick=quick)
    return results


def one_round(results: Results, shape: Shape, label: str, turns: int, *, quick: bool) -> None:
    """Run one round in its own process, and add its figures."""
    events = shape.quick if quick and shape.quick else shape.events
    events = max(round(events * share_of(shape, label)), shape.publishers)
    order = {"shape": shape.name, "contestant": label, "turns": turns, "events": events}
    command = [sys.executable, "-m", "bench.peers.measure", json.dumps(order)]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        results.fail(shape.name, label, f"not finished after {TIMEOUT:.0f} s")
        return
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        results.fail(shape.name, label, reason)
        return
    results.add(shape.name, label, json.loads(done.stdout))


def share_of(shape: Shape, label: str) -> float:
    """Return the contestant's share of the events."""
    share = ALL[label].share
    if shape.kind in {"burst", "ping_pong", "idle"} or shape.handler == "wait":
        return 1.0  # the number is the point, or the contestants take the same time
    no_op = shape.kind in {"throughput", "filling"} and shape.handler == "no-op"
    return share if no_op else min(1.0, share * 10)
