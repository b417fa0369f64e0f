"""The result of a run: the figures, the verdicts, machine and versions."""

from typing import Any

from bench.claims.loads import BY_NAME, LIMITED, Shape
from bench.claims.verdicts import exhaustions, no_exhaustion, verdicts
from bench.claims.ways import OURS, WAYS
from bench.peers.rounds import Results

OTHERS = [label for label in WAYS if label != OURS]
CONTEXT = ("machine", "rounds", "quick", "work", "seconds")


class Outcome:
    """A run.

    Attributes:
        shapes: The measured shapes, except the one with the limit of threads.
        verdicts: By contestant, the verdicts on the claims against it.
        exhaustions: The results of all contestants under the limit of threads.
        no_exhaustion: The verdict on that; None if it was not measured.
    """

    def __init__(self, results: Results, shapes: list[Shape], context: dict[str, Any]) -> None:
        self.results = results
        self.context = context
        self.shapes = [shape for shape in shapes if shape is not LIMITED]
        self.verdicts = {label: verdicts(results, self.shapes, label) for label in OTHERS}
        self.exhaustions = exhaustions(results, list(WAYS))
        self.no_exhaustion = no_exhaustion(self.exhaustions)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Outcome":
        """Return the outcome of an earlier run."""
        results = Results()
        for shape, ways in data["shapes"].items():
            for label, rounds in ways.items():
                for figures in rounds:
                    results.add(shape, label, figures)
        results.problems = data["problems"]
        context = {name: data[name] for name in CONTEXT}
        return cls(results, [BY_NAME[name] for name in data["shapes"]], context)

    def as_json(self) -> dict[str, Any]:
        """Return everything, each round included."""
        shapes: dict[str, dict[str, Any]] = {}
        for (shape, label), cell in self.results.cells.items():
            shapes.setdefault(shape, {})[label] = cell.rounds
        return {
            **self.context,
            "problems": self.results.problems,
            "verdicts": {
                label: [verdict.as_json() for verdict in found]
                for label, found in self.verdicts.items()
            },
            "no_exhaustion": self.no_exhaustion,
            "exhaustion": [one.__dict__ for one in self.exhaustions],
            "shapes": shapes,
        }
