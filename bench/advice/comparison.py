"""What was predicted beside what was measured, and the verdicts."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from bench.advice.measure import Waits

FACTOR = 1.5
"""How far a prediction may be off, up or down."""

FLOOR = 1e-3
"""Seconds below which waits count as this much: the system's, to wake a thread, not the queue's."""


@dataclass(frozen=True)
class Row:
    """One number of workers: what the probe's advice expects of it, and what came."""

    workers: int
    predicted: Waits
    rounds: tuple[Waits, ...]

    @property
    def measured(self) -> Waits:
        """Medians of the rounds."""
        return Waits(*(median(values) for values in zip(*self.rounds, strict=True)))

    @property
    def saturated(self) -> bool:
        """Whether the queue is expected to grow without an end."""
        return math.isinf(self.predicted.p99)

    def ratios(self) -> tuple[float, float]:
        """Return measured over predicted, of p50 and p99."""
        pairs = zip(self.measured, self.predicted, strict=True)
        p50, p99 = (max(measured, FLOOR) / max(predicted, FLOOR) for measured, predicted in pairs)
        return p50, p99

    def predicted_well(self, target: float) -> bool:
        """Return whether both are within the factor; if no end is expected, that p99 missed."""
        if self.saturated:
            return self.measured.p99 > target
        return all(1 / FACTOR <= ratio <= FACTOR for ratio in self.ratios())


@dataclass(frozen=True)
class Comparison:
    """One workload."""

    name: str
    what: str
    target: float
    probed_with: int
    advised: int | None
    reason: str
    rows: Sequence[Row] = field(default=())

    def row(self, workers: int) -> Row | None:
        """Return the row of a number of workers, if it was run."""
        return next((row for row in self.rows if row.workers == workers), None)

    def meets(self) -> bool:
        """Return whether the advised number meets the target."""
        row = self.advised and self.row(self.advised)
        return bool(row) and row.measured.p99 <= self.target

    def fewest(self) -> bool:
        """Return whether one worker fewer misses the target; one worker alone is the fewest."""
        if self.advised is None:
            return False
        row = self.row(self.advised - 1)
        return self.advised == 1 or (row is not None and row.measured.p99 > self.target)

    def as_json(self) -> dict[str, Any]:
        """Return it with its verdicts; infinite times are None."""
        plain = asdict(self)
        for row, there in zip(self.rows, plain["rows"], strict=True):
            there["predicted"] = None if row.saturated else list(row.predicted)
            there["measured"] = list(row.measured)
            there["predicted_well"] = row.predicted_well(self.target)
        return {**plain, "meets": self.meets(), "fewest": self.fewest()}


def sizes(advised: int) -> list[int]:
    """Return the numbers of workers to run: half, one fewer, the advised one, and double."""
    return sorted({max(1, advised // 2), max(1, advised - 1), advised, 2 * advised})
