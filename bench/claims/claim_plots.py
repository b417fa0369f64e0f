"""Two plots: what the bus changes, with the claims' bounds drawn in, and how many threads run."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from loads import GUARD
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from outcome import Outcome
from plots import GRID, OTHERS, OURS
from verdicts import CLAIMS, Claim
from ways import NAIVE, WAYS
from ways import OURS as BUS

HELD = "#eef6ee"
COLOURS = {NAIVE: "#24435c", "ThreadPoolExecutor": OTHERS, BUS: OURS}


def draw(outcome: Outcome, directory: Path) -> list[Path]:
    """Write the plots; return the files."""
    mpl.rcParams["svg.hashsalt"] = "brummerbus"
    mpl.rcParams["svg.fonttype"] = "none"
    files = []
    for name, figure in (("ratios", _ratios(outcome)), ("threads", _threads(outcome))):
        path = directory / f"claims-{name}.svg"
        figure.savefig(path, metadata={"Date": None})
        files.append(path)
    return files


def _ratios(outcome: Outcome) -> Figure:
    figure = Figure(figsize=(13, 0.32 * len(outcome.shapes) + 1.7), layout="constrained")
    figure.suptitle(
        "brummerbus, as a ratio to the others (shaded: as much as the study claims)",
        fontsize=12,
        fontweight="bold",
        x=0.01,
        ha="left",
    )
    figure.supxlabel(_footer(outcome), fontsize=7, color="#667085")
    panels = figure.subplots(1, len(CLAIMS), sharey=True, squeeze=False)[0]
    for panel, claim in zip(panels, CLAIMS, strict=True):
        _ratio_panel(panel, claim, outcome)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, fontsize=8, frameon=False)
    return figure


def _ratio_panel(panel: Axes, claim: Claim, outcome: Outcome) -> None:
    names = [shape.name for shape in outcome.shapes]
    for label, found in outcome.verdicts.items():
        points = [
            (verdict.ratio, names.index(verdict.shape.name))
            for verdict in found
            if verdict.claim is claim and verdict.ratio is not None
        ]
        ours = label == NAIVE
        panel.scatter(
            [ratio for ratio, _ in points],
            [row for _, row in points],
            s=42 if ours else 20,
            color=OURS if ours else OTHERS,
            zorder=3 if ours else 2,
            label=f"against {label}",
        )
    panel.set_xscale("log")
    least, most = panel.get_xlim()
    least, most = min(least, claim.bound / 2, 0.5), max(most, claim.bound * 2, 2.0)
    held = (least, claim.bound) if claim.change < 0 else (claim.bound, most)
    panel.axvspan(*held, color=HELD, zorder=0)
    panel.axvline(1.0, color=OTHERS, linewidth=0.8, zorder=1)
    panel.set_xlim(least, most)
    panel.set_title(claim.name, fontsize=10, loc="left", fontweight="bold")
    _plain(panel, names)


def _threads(outcome: Outcome) -> Figure:
    names = [shape.name for shape in outcome.shapes]
    figure = Figure(figsize=(7.5, 0.32 * len(names) + 1.5), layout="constrained")
    title = f"Most threads at once, publishers included ({GUARD:,} more is all that any may have)"
    figure.suptitle(title, fontsize=11, fontweight="bold")
    figure.supxlabel(_footer(outcome), fontsize=7, color="#667085")
    panel = figure.subplots()
    for label in WAYS:
        cells = [outcome.results.cells.get((name, label)) for name in names]
        counts = [cell.median("threads") if cell else None for cell in cells]
        points = [(count, row) for row, count in enumerate(counts) if count]
        panel.scatter(
            [count for count, _ in points],
            [row for _, row in points],
            s=42 if label == BUS else 30,
            color=COLOURS[label],
            label=label,
            zorder=3,
        )
    panel.set_xscale("log")
    panel.legend(fontsize=8, frameon=False, loc="best")
    _plain(panel, names)
    return figure


def _plain(panel: Axes, names: Sequence[str]) -> None:
    panel.set_yticks(range(len(names)), names)
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    panel.grid(axis="x", which="major", color=GRID)
    panel.set_axisbelow(True)
    panel.tick_params(axis="both", which="both", length=0, labelsize=8)
    panel.spines[:].set_visible(False)


def _footer(outcome: Outcome) -> str:
    machine, rounds = outcome.context["machine"], outcome.context["rounds"]
    where = f"{machine['python']}, {machine['processor']}, {machine['cores']} cores"
    return f"{where}; commit {machine['commit']}; medians of {rounds} rounds"
