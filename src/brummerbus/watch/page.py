"""The report as one self-contained HTML page: tables, and plots as inline SVG.

The plots are drawn by matplotlib, an extra, without `pyplot`, so no window system is needed.
"""

import html
import importlib.util
import io
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from brummerbus.watch.line_printer import clock
from brummerbus.watch.report import balance_line, milliseconds
from brummerbus.watch.text import repeated

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MISSING = "an HTML report needs matplotlib: pip install 'brummerbus[report]'"

_COLOURS = ("#2f6f9f", "#d9822b", "#4c9a6a", "#a33b3b")
_COUNTS = ("published", "processed", "failed", "dropped")
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 62em; margin: 2em auto;
       padding: 0 1em }
h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin-top: 2em }
table { border-collapse: collapse } th, td { padding: .15em 1em .15em 0; text-align: right }
th:first-child, td:first-child { text-align: left } th { border-bottom: 1px solid #999 }
pre { background: #f5f5f5; padding: .6em; overflow-x: auto } svg { max-width: 100%; height: auto }
.good { color: #2c7a4b } .bad { color: #a33b3b; font-weight: bold }
"""


def available() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def as_html(report: Mapping[str, Any]) -> str:
    """Return the whole page."""
    title = f"Watched {report['target']}"
    started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(report["started"]))
    parts = [
        f"<h1>{_safe(title)}</h1>",
        f"<p>Started {started}, ran {report['run_time']:.1f} s, exit {report['exit_code']}.</p>",
        _balance(report["balance"]),
        "<h2>Processes</h2>",
        _processes(report["processes"]),
        "<h2>Queue depth over time</h2>",
        _depth_plot(report["depth"]),
        "<h2>Deliveries</h2>",
        _counts_plot(report["by_type"]),
        _counts_table("type", report["by_type"]),
        _counts_table("priority", report["by_priority"]),
        "<h2>Queue wait and handling</h2>",
        _times_plot(report),
        _times_table(report),
        "<h2>Utilisation of the workers</h2>",
        _utilisation_plot(report["worker_utilization"]),
        _tests(report["tests"]),
        _errors(report["errors"]),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{_safe(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _safe(text: object) -> str:
    return html.escape(str(text))


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    def row(tag: str, cells: Sequence[object]) -> str:
        return "<tr>" + "".join(f"<{tag}>{_safe(cell)}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>{row('th', head)}{''.join(row('td', cells) for cells in rows)}</table>"


def _balance(balance: Mapping[str, Any]) -> str:
    verdict = "good" if balance["adds_up"] else "bad"
    return f'<p class="{verdict}">{_safe(balance_line(balance))}.</p>'


def _processes(processes: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            process["name"],
            process["command"],
            "-" if process["exit_code"] is None else process["exit_code"],
            "-" if process["run_time"] is None else f"{process['run_time']:.1f}",
            f"{sum(process['lines'].values()):,}",
        )
        for process in processes
    ]
    return _table(("name", "command", "exit code", "seconds", "lines"), rows)


def _counts_table(title: str, groups: Mapping[str, Mapping[str, int]]) -> str:
    rows = [(name, *(f"{count[key]:,}" for key in _COUNTS)) for name, count in groups.items()]
    return _table((title, *_COUNTS), rows)


def _times_table(report: Mapping[str, Any]) -> str:
    columns = ("p50", "p95", "p99", "max")
    rows = [
        (name, *(milliseconds(report[key][column]) for column in columns))
        for name, key in (("in the queue", "queue_wait"), ("in a handler", "processing_time"))
    ]
    return _table(("milliseconds", *columns), rows)


def _tests(tests: Mapping[str, Any]) -> str:
    if not tests["passed"] and not tests["failed"]:
        return ""
    rows = [(result["process"], result["name"], result["detail"]) for result in tests["failures"]]
    summary = f"<h2>Tests</h2><p>{tests['passed']:,} passed, {tests['failed']:,} failed</p>"
    return summary + (_table(("process", "failed test", "why"), rows) if rows else "")


def _errors(errors: Mapping[str, Any]) -> str:
    parts = [f"<h2>Errors found: {errors['count']:,}</h2>"]
    for found in errors["found"]:
        place = f" at {found['location']}" if found["location"] else ""
        message = repeated(found["message"], found["count"])
        head = f"{clock(found['time'])} {found['process']}: {found['kind']}: {message}"
        parts.append(
            f"<details><summary>{_safe(head + place)}</summary>"
            f"<pre>{_safe(found['text'])}</pre></details>"
        )
    return "\n".join(parts)


def _plot(height: float, paint: Any) -> str:
    """Return a plot as an SVG element; `paint` draws on its axes."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra, loaded only where it is used
    from matplotlib.figure import Figure  # noqa: PLC0415

    # Text stays text, so no font is read. The salt makes the page reproducible.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "brummerbus"}):
        figure = Figure(figsize=(9, height), layout="constrained")
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        paint(axes)
        out = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(out, format="svg", metadata=nothing)
    svg = out.getvalue()
    return svg[svg.index("<svg") :]  # without the XML declaration, which HTML does not allow


def _depth_plot(samples: Sequence[Sequence[float]]) -> str:
    def paint(axes: "Axes") -> None:
        moments, depths = [sample[0] for sample in samples], [sample[1] for sample in samples]
        axes.fill_between(moments, depths, step="post", color=_COLOURS[0], alpha=0.6)
        axes.set(xlabel="seconds", ylabel="deliveries waiting", ylim=(0, None))

    return _plot(2.6, paint) if samples else ""


def _counts_plot(groups: Mapping[str, Mapping[str, int]]) -> str:
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


def _times_plot(report: Mapping[str, Any]) -> str:
    def paint(axes: "Axes") -> None:
        columns = ("p50", "p95", "p99", "max")
        for number, (key, name) in enumerate(
            (("queue_wait", "in the queue"), ("processing_time", "in a handler"))
        ):
            values = [report[key][column] * 1000 for column in columns]
            places = [place + 0.4 * number for place in range(len(columns))]
            axes.bar(places, values, width=0.38, label=name, color=_COLOURS[number])
        axes.set_xticks([place + 0.2 for place in range(len(columns))], columns)
        axes.set_yscale("symlog", linthresh=0.01)
        axes.set(ylabel="milliseconds")
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))

    return _plot(2.8, paint)


def _utilisation_plot(workers: Sequence[float]) -> str:
    def paint(axes: "Axes") -> None:
        names = [str(number + 1) for number in range(len(workers))]
        axes.bar(names, [share * 100 for share in workers], color=_COLOURS[2])
        axes.set(xlabel="worker", ylabel="% busy", ylim=(0, 100))

    return _plot(2.2, paint) if workers else ""
