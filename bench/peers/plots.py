"""Plots that can be read at a glance: one panel for each shape, the best on top, ours in colour.

What spans orders of magnitude is drawn as dots on a logarithmic scale, since the length of a bar
means nothing there; memory as bars from zero.
"""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from packages import BASELINE
from rounds import Cell, Results
from shapes import Shape
from tables import LATENCY_KINDS, decisive

OURS, OTHERS, GRID = "#c8501e", "#7b8794", "#e4e8ec"
COLUMNS = 4

FILES = {
    "throughput": (
        "Events a second, published to handled (further right is better)",
        ("throughput",),
    ),
    "latency": ("Microseconds: from p50, the dot, to p99 (further left is better)", LATENCY_KINDS),
    "full": ("A full ring: events a second (further right is better)", ("full",)),
    "burst": ("Memory a burst took, MB (shorter is better)", ("burst",)),
}


def draw(results: Results, shapes: list[Shape], context: dict[str, Any], build: Path) -> list[Path]:
    """Write an SVG for each kind of figure that was measured; return the files."""
    mpl.rcParams["svg.hashsalt"] = "brummerbus"
    mpl.rcParams["svg.fonttype"] = "none"
    files = []
    for name, (title, kinds) in FILES.items():
        some = [shape for shape in shapes if shape.kind in kinds and results.of(shape.name)]
        if some:
            path = build / f"peers-{name}.svg"
            figure = _figure(results, some, title, _footer(context))
            figure.savefig(path, metadata={"Date": None})
            files.append(path)
    return files


def _figure(results: Results, shapes: list[Shape], title: str, footer: str) -> Figure:
    columns = min(COLUMNS, len(shapes))
    lines = -(-len(shapes) // columns)
    most = max(len(results.of(shape.name)) for shape in shapes)
    height = 0.21 * most + 0.45
    figure = Figure(figsize=(max(6.5, 3.9 * columns), lines * height + 0.8), layout="constrained")
    figure.suptitle(title, fontsize=12, fontweight="bold")
    figure.supxlabel(footer, fontsize=7, color="#667085")
    grid = figure.subplots(lines, columns, squeeze=False)
    panels = list(grid.flat)
    for panel, shape in zip(panels, shapes, strict=False):
        _panel(panel, results, shape)
    for panel in panels[len(shapes) :]:
        panel.set_visible(False)
    return figure


def _panel(panel: Axes, results: Results, shape: Shape) -> None:
    burst, latency = shape.kind == "burst", shape.kind in LATENCY_KINDS
    figure = "memory_mb" if burst else "p50" if latency else "rate"
    more_is_better = decisive(shape)[1] and not burst
    cells = [cell for cell in results.of(shape.name) if cell.median(figure) is not None]
    cells.sort(key=lambda cell: cell.median(figure) or 0.0, reverse=more_is_better)
    values = [max(cell.median(figure) or 0.0, 0.01) for cell in cells]
    colours = [OURS if cell.contestant.startswith(BASELINE.label) else OTHERS for cell in cells]
    names = [cell.contestant for cell in cells]
    ends = [cell.median("p99") or 0.0 for cell in cells] if latency else values
    rows = range(len(cells))
    if burst:
        panel.barh(rows, values, color=colours, height=0.7)
        panel.set_xlim(0, max(values) * 1.45)
    else:
        panel.hlines(rows, values, ends, color=colours, linewidth=2)
        panel.scatter(values, rows, color=colours, s=42, zorder=3)
        panel.set_xscale("log")
        panel.set_xlim(min(values) / 2, max(ends) * 14)
        panel.grid(axis="x", which="major", color=GRID)
        panel.set_axisbelow(True)
    panel.set_yticks(rows, names)
    panel.invert_yaxis()
    panel.set_title(shape.name, fontsize=10, loc="left", fontweight="bold")
    panel.tick_params(axis="both", which="both", length=0, labelsize=8)
    panel.tick_params(axis="x", labelbottom=False)
    panel.spines[:].set_visible(False)
    for row, (cell, value, end) in enumerate(zip(cells, values, ends, strict=True)):
        label = _label(shape, cell, value, end)
        panel.annotate(
            label, (end, row), (7, 0), textcoords="offset points", va="center", fontsize=7.5
        )


def _label(shape: Shape, cell: Cell, value: float, end: float) -> str:
    if shape.kind in LATENCY_KINDS:
        return f"{_short(value)} / {_short(end)}"
    if shape.kind == "burst":
        lost = cell.median("lost") or 0
        return f"{value:.1f}" + (f", {lost:,.0f} lost" if lost else "")
    return _short(value)


def _short(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:.2f} M"
    if value >= 1e4:
        return f"{value / 1e3:,.0f} k"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _footer(context: dict[str, Any]) -> str:
    machine = context["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    rounds = f"medians of {context['rounds']} rounds"
    where = f"{machine['python']}, {machine['processor']}, {machine['cores']} cores"
    return f"{where}; commit {machine['commit']}; {rounds}\n{packages}"
