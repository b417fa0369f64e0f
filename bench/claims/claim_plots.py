"""Two plots: the changes by the bus, with the bounds of the claims, and the number of threads.

Each contestant has its own line within the row of a shape, so that equal figures do not hide each
other. All panels of a figure have one scale; missing measurements are marked.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from bench.claims.loads import GUARD
from bench.claims.outcome import Outcome
from bench.claims.verdicts import CLAIMS, Claim
from bench.claims.ways import NAIVE, WAYS
from bench.claims.ways import OURS as BUS
from bench.peers.plots import GRID, OTHERS, OURS

HELD = "#eef6ee"
COLOURS = {NAIVE: "#24435c", "ThreadPoolExecutor": OTHERS, BUS: OURS}
MARKERS = {NAIVE: "s", "ThreadPoolExecutor": "D", BUS: "o"}
APART = 0.26
"""Fraction of a row between the lines of two contestants."""


def draw(outcome: Outcome, directory: Path) -> list[Path]:
    """Write the plots; return the files."""
    mpl.rcParams["svg.hashsalt"] = "brummerbus"
    mpl.rcParams["svg.fonttype"] = "none"
    files = []
    for name, figure in (("ratios", ratios(outcome)), ("threads", threads(outcome))):
        path = directory / f"claims-{name}.svg"
        figure.savefig(path, metadata={"Date": None})
        files.append(path)
    return files


def ratios(outcome: Outcome) -> Figure:
    """Draw a panel for each claim, with the bound from which on it holds."""
    figure = Figure(figsize=(13, 0.4 * len(outcome.shapes) + 1.9), layout="constrained")
    figure.suptitle(
        "brummerbus, as a ratio to the others (shaded: as much as the study claims)",
        fontsize=12,
        fontweight="bold",
        x=0.01,
        ha="left",
    )
    figure.supxlabel(_footer(outcome), fontsize=7, color="#667085")
    panels = figure.subplots(1, len(CLAIMS), sharey=True, squeeze=False)[0]
    limits = _limits(outcome)
    for panel, claim in zip(panels, CLAIMS, strict=True):
        _ratio_panel(panel, claim, outcome, limits)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, fontsize=8, frameon=False)
    return figure


def _limits(outcome: Outcome) -> tuple[float, float]:
    """Return the scale on which each ratio, and each bound, is visible."""
    found = [verdict.ratio for some in outcome.verdicts.values() for verdict in some]
    values = [ratio for ratio in found if ratio] + [claim.bound for claim in CLAIMS] + [1.0]
    return min(values) / 2, max(values) * 2


def _ratio_panel(panel: Axes, claim: Claim, outcome: Outcome, limits: tuple[float, float]) -> None:
    names = [shape.name for shape in outcome.shapes]
    for line, (label, found) in enumerate(outcome.verdicts.items()):
        about = {verdict.shape.name: verdict.ratio for verdict in found if verdict.claim is claim}
        _points(
            panel,
            [about.get(name) for name in names],
            shift=_shift(line, len(outcome.verdicts)),
            label=f"against {label}",
            colour=OURS if label == NAIVE else OTHERS,
            marker=MARKERS[label],
        )
    held = (limits[0], claim.bound) if claim.change < 0 else (claim.bound, limits[1])
    panel.axvspan(*held, color=HELD, zorder=0)
    panel.axvline(1.0, color=OTHERS, linewidth=0.8, zorder=1)
    panel.set_title(claim.name, fontsize=10, loc="left", fontweight="bold")
    panel.set_xlabel("brummerbus / the other, log scale", fontsize=8)
    _plain(panel, names)
    panel.set_xlim(*limits)


def threads(outcome: Outcome) -> Figure:
    """Draw the maximum number of threads of each contestant in each shape."""
    names = [shape.name for shape in outcome.shapes]
    figure = Figure(figsize=(7.5, 0.4 * len(names) + 1.7), layout="constrained")
    title = f"Maximum of threads, publishers included (limit: {GUARD:,} beside the publishers)"
    figure.supxlabel(_footer(outcome), fontsize=7, color="#667085")
    panel = figure.subplots()
    panel.set_title(title, fontsize=10, fontweight="bold")
    for line, label in enumerate(WAYS):
        cells = [outcome.results.cells.get((name, label)) for name in names]
        _points(
            panel,
            [cell.median("threads") if cell else None for cell in cells],
            shift=_shift(line, len(WAYS)),
            label=label,
            colour=COLOURS[label],
            marker=MARKERS[label],
        )
    panel.set_xlabel("threads, log scale", fontsize=8)
    figure.legend(loc="outside upper right", ncols=len(WAYS), fontsize=8, frameon=False)
    _plain(panel, names)
    return figure


def _shift(line: int, lines: int) -> float:
    """Return the distance of a contestant's line from the middle of its row."""
    return (line - (lines - 1) / 2) * APART


def _points(
    panel: Axes,
    values: Sequence[float | None],
    *,
    shift: float,
    label: str,
    colour: str,
    marker: str,
) -> None:
    """Draw a contestant's point in each row, or a note that there is none."""
    found = [(value, row + shift) for row, value in enumerate(values) if value]
    panel.scatter(
        [value for value, _ in found],
        [row for _, row in found],
        s=26,
        color=colour,
        marker=marker,
        label=label,
        zorder=3,
    )
    for row, value in enumerate(values):
        if not value:
            where = (0.02, row + shift)
            panel.annotate(
                f"{label}: no figure",
                where,
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=6,
                color=colour,
            )


def _plain(panel: Axes, names: Sequence[str]) -> None:
    panel.set_xscale("log")
    panel.set_yticks(range(len(names)), names)
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.grid(axis="x", which="major", color=GRID)
    for row in range(len(names) - 1):
        panel.axhline(row + 0.5, color=GRID, linewidth=0.6, zorder=1)
    panel.set_axisbelow(True)
    panel.tick_params(axis="both", which="both", length=0, labelsize=8)
    panel.spines[:].set_visible(False)


def _footer(outcome: Outcome) -> str:
    machine, rounds = outcome.context["machine"], outcome.context["rounds"]
    where = f"{machine['python']}, {machine['processor']}, {machine['cores']} cores"
    return f"{where}; commit {machine['commit']}; medians of {rounds} rounds"
