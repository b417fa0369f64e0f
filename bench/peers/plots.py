"""The plots: one panel for each shape, the best on top, ours in colour.

All panels of a figure have one scale, with its unit, so that they can be compared. Data that spans
orders of magnitude is drawn as dots on a logarithmic scale, as the length of a bar means nothing
there; memory as bars from zero. A contestant without a figure keeps its row, with a note.
"""

from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from bench.peers.packages import BASELINE
from bench.peers.rounds import Cell, Results
from bench.peers.shapes import Shape
from bench.peers.tables import LATENCY_KINDS, decisive

OURS, OTHERS, GRID = "#c8501e", "#7b8794", "#e4e8ec"
COLUMNS = 4
ROOM = 14
"""Position of a label on a logarithmic scale, as a multiple of the largest value."""


class Chart(NamedTuple):
    """A figure.

    Attributes:
        title: Above it.
        unit: At the axis of each panel.
        shapes: The kinds of shapes with a panel.
        start: The measured figure at which a line or bar begins: the dot, if there is one.
        end: The measured figure at which it ends.
        log: Whether the scale is logarithmic; otherwise it begins at zero.
    """

    title: str
    unit: str
    shapes: tuple[str, ...]
    start: str
    end: str
    log: bool = True


FILES = {
    "throughput": Chart(
        "Events per second, published to handled (further right is better)",
        "events per second, log scale",
        ("throughput",),
        "rate",
        "rate",
    ),
    "latency": Chart(
        "Latency, from p50 (dot) to p99 (end of the line); further left is better",
        "microseconds, log scale",
        LATENCY_KINDS,
        "p50",
        "p99",
    ),
    "full": Chart(
        "A full queue: events per second (further right is better)",
        "events per second, log scale",
        ("full",),
        "rate",
        "rate",
    ),
    "burst": Chart(
        "Memory that a burst takes (shorter is better)",
        "MB",
        ("burst",),
        "memory_mb",
        "memory_mb",
        log=False,
    ),
}


def draw(results: Results, shapes: list[Shape], context: dict[str, Any], build: Path) -> list[Path]:
    """Write an SVG for each figure with measurements; return the files."""
    mpl.rcParams["svg.hashsalt"] = "brummerbus"
    mpl.rcParams["svg.fonttype"] = "none"
    files = []
    for name, chart in FILES.items():
        some = [shape for shape in shapes if shape.kind in chart.shapes and results.of(shape.name)]
        if some:
            path = build / f"peers-{name}.svg"
            figure_of(results, some, chart, _footer(context)).savefig(path, metadata={"Date": None})
            files.append(path)
    return files


def figure_of(results: Results, shapes: list[Shape], chart: Chart, footer: str) -> Figure:
    """Draw the panels of a chart, all with the same scale."""
    columns = min(COLUMNS, len(shapes))
    lines = -(-len(shapes) // columns)
    most = max(len(results.of(shape.name)) for shape in shapes)
    height = 0.21 * most + 0.85
    figure = Figure(figsize=(max(6.5, 3.9 * columns), lines * height + 0.8), layout="constrained")
    figure.suptitle(chart.title, fontsize=12, fontweight="bold")
    figure.supxlabel(footer, fontsize=7, color="#667085")
    panels = list(figure.subplots(lines, columns, squeeze=False).flat)
    limits = _limits(results, shapes, chart)
    for panel, shape in zip(panels, shapes, strict=False):
        _panel(panel, results, shape, chart)
        _scale(panel, chart, limits)
    for panel in panels[len(shapes) :]:
        panel.set_visible(False)
    return figure


def _limits(results: Results, shapes: list[Shape], chart: Chart) -> tuple[float, float]:
    """Return the scale on which all measurements are visible, with space for labels."""
    cells = [cell for shape in shapes for cell in results.of(shape.name)]
    found = [cell.median(figure) for cell in cells for figure in (chart.start, chart.end)]
    values = [value for value in found if value is not None] or [1.0]
    if chart.log:
        return min(values) / 2, max(values) * ROOM
    return min(0.0, *values), max(values) * 1.45


def _panel(panel: Axes, results: Results, shape: Shape, chart: Chart) -> None:
    more_is_better = chart.log and decisive(shape)[1]
    cells = results.of(shape.name)
    measured = [cell for cell in cells if cell.median(chart.start) is not None]
    measured.sort(key=lambda cell: cell.median(chart.start) or 0.0, reverse=more_is_better)
    missing = [cell for cell in cells if cell.median(chart.start) is None]
    starts = [cell.median(chart.start) or 0.0 for cell in measured]
    ends = [cell.median(chart.end) or 0.0 for cell in measured]
    colours = [OURS if cell.contestant.startswith(BASELINE.label) else OTHERS for cell in measured]
    rows = range(len(measured))
    if chart.log:
        panel.hlines(rows, starts, ends, color=colours, linewidth=2)
        panel.scatter(starts, rows, color=colours, s=42, zorder=3)
    else:
        panel.barh(rows, ends, color=colours, height=0.7)
    for row, (cell, start, end) in enumerate(zip(measured, starts, ends, strict=True)):
        _say(panel, _label(chart, cell, start, end), row, max(start, end))
    for row, _ in enumerate(missing, start=len(measured)):
        panel.annotate("no figure", (0.02, row), xycoords=("axes fraction", "data"), fontsize=7.5)
    names = [cell.contestant for cell in (*measured, *missing)]
    panel.set_yticks(range(len(names)), names)
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.set_title(shape.name, fontsize=10, loc="left", fontweight="bold")


def _scale(panel: Axes, chart: Chart, limits: tuple[float, float]) -> None:
    if chart.log:
        panel.set_xscale("log")
        panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_xlim(*limits)
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    panel.set_xlabel(chart.unit, fontsize=8)
    panel.grid(axis="x", which="major", color=GRID)
    panel.set_axisbelow(True)
    panel.tick_params(axis="both", which="both", length=0, labelsize=8)
    panel.spines[:].set_visible(False)


def _say(panel: Axes, text: str, row: int, value: float) -> None:
    panel.annotate(
        text, (value, row), (7, 0), textcoords="offset points", va="center", fontsize=7.5
    )


def _label(chart: Chart, cell: Cell, start: float, end: float) -> str:
    if chart.start != chart.end:
        return f"{short(start)} / {short(end)}"
    if chart.log:
        return short(end)
    lost = cell.median("lost") or 0
    return f"{end:.1f}" + (f", {lost:,.0f} lost" if lost else "")


def short(value: float) -> str:
    """Format a number with about three digits."""
    for size, letter in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _footer(context: dict[str, Any]) -> str:
    machine = context["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    rounds = f"medians of {context['rounds']} rounds"
    where = f"{machine['python']}, {machine['processor']}, {machine['cores']} cores"
    return f"{where}; commit {machine['commit']}; {rounds}\n{packages}"
