"""Plots of the bus's figures as SVG, drawn by matplotlib, an extra.

Without `pyplot`, so no window system is needed. They have no background, and what is black takes
the colour of the page's text, so they are readable on a dark page too.
"""

import importlib.util
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from brummerbus.watch.bus_figures import QUANTILES, TIMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MISSING = "Plots need matplotlib: pip install 'brummerbus[report]'"

STYLE = """
svg { max-width: 100%; height: auto }
svg text { fill: var(--ink) !important }
svg [style*="stroke: #000000"] { stroke: var(--ink) !important }
"""

_COLOURS = ("#2f6f9f", "#d9822b", "#4c9a6a", "#c75252")


def available() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def _plot(height: float, paint: Any) -> str:
    """Return a plot as an SVG element; `paint` draws on its axes."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra, loaded only where it is used
    from matplotlib.figure import Figure  # noqa: PLC0415

    # Text stays text, so no font is read. The salt makes the page reproducible.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "brummerbus"}):
        figure = Figure(figsize=(9, height), layout="constrained", facecolor="none")
        axes = figure.add_subplot(facecolor="none")
        axes.spines[["top", "right"]].set_visible(False)
        paint(axes)
        out = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(out, format="svg", metadata=nothing)
    svg = out.getvalue()
    return svg[svg.index("<svg") :]  # without the XML declaration, which HTML does not allow


def depth_plot(samples: Sequence[Sequence[float]]) -> str:
    """Return the queue's depth over time."""

    def paint(axes: "Axes") -> None:
        moments, depths = [sample[0] for sample in samples], [sample[1] for sample in samples]
        axes.fill_between(moments, depths, step="post", color=_COLOURS[0], alpha=0.6)
        axes.set(xlabel="seconds", ylabel="deliveries waiting", ylim=(0, None))

    return _plot(2.6, paint) if samples else ""


def counts_plot(groups: Mapping[str, Mapping[str, int]]) -> str:
    """Return deliveries by type, on a logarithmic scale."""

    def paint(axes: "Axes") -> None:
        names = list(groups)
        for number, key in enumerate(("processed", "dropped")):
            values = [groups[name][key] for name in names]
            places = [place + 0.38 * number for place in range(len(names))]
            axes.barh(places, values, height=0.36, label=key, color=_COLOURS[(0, 3)[number]])
        axes.set_yticks([place + 0.19 for place in range(len(names))], names)
        axes.invert_yaxis()
        axes.set_xscale("symlog")  # very many lines beside a few exits
        axes.set(xlabel="deliveries")
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))

    return _plot(0.8 + 0.45 * len(groups), paint) if groups else ""


def times_plot(report: Mapping[str, Any]) -> str:
    """Return quantiles of waiting and handling."""

    def paint(axes: "Axes") -> None:
        for number, (name, key) in enumerate(TIMES):
            values = [report[key][column] * 1000 for column in QUANTILES]
            places = [place + 0.4 * number for place in range(len(QUANTILES))]
            axes.bar(places, values, width=0.38, label=name, color=_COLOURS[number])
        axes.set_xticks([place + 0.2 for place in range(len(QUANTILES))], QUANTILES)
        axes.set_yscale("symlog", linthresh=0.01)
        axes.set(ylabel="milliseconds")
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))

    return _plot(2.8, paint)


def utilisation_plot(workers: Sequence[float]) -> str:
    """Return the share of its time that each worker was busy."""

    def paint(axes: "Axes") -> None:
        names = [str(number + 1) for number in range(len(workers))]
        axes.bar(names, [share * 100 for share in workers], color=_COLOURS[2])
        axes.set(xlabel="worker", ylabel="% busy", ylim=(0, 100))

    return _plot(2.2, paint) if workers else ""
