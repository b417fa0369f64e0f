"""The results on a terminal, and as JSON."""

from collections.abc import Iterable
from typing import Any

from bench.peers.packages import BASELINE
from bench.peers.rounds import Cell, Results
from bench.peers.shapes import Shape

LATENCY_KINDS = ("ping_pong", "idle", "beside")

WHAT = {
    "throughput": "events/s, published to handled",
    "filling": "CPU ns per event, publishing and handling separately, the best twentieth",
    "burst": "events/s, published to handled; 1 KB events, 4 publishers",
    "full": "events/s, and the time of a publish, us",
    "ping_pong": "time of a throw, us",
    "idle": "publish to the handler's first line, us",
    "beside": "time of a publish, us",
}


def decisive(shape: Shape) -> tuple[str, bool]:
    """Return the main figure of a shape, and whether more is better."""
    if shape.kind in {"beside", "filling"}:
        return ("p99" if shape.kind == "beside" else "both_ns"), False
    return ("p50", False) if shape.kind in LATENCY_KINDS else ("rate", True)


def versus(results: Results, shape: Shape, label: str) -> float | None:
    """Return how many times better than the contestant brummerbus is."""
    figure, more_is_better = decisive(shape)
    theirs = results.ratio(shape.name, figure, label)
    if not theirs:
        return None
    return 1 / theirs if more_is_better else theirs


def table(results: Results, shape: Shape) -> str:
    """Return one shape as lines of text, the best first."""
    figure, more_is_better = decisive(shape)
    cells = [cell for cell in results.of(shape.name) if cell.median(figure) is not None]
    cells.sort(key=lambda cell: cell.median(figure) or 0.0, reverse=more_is_better)
    rows = [_row(results, shape, cell) for cell in cells]
    head = ["", *_columns(shape), f"{BASELINE.label} is"]
    return f"{shape.name}: {WHAT[shape.kind]}\n" + aligned([head, *rows])


def _columns(shape: Shape) -> list[str]:
    if shape.kind == "filling":
        return ["publish ns", "handle ns", "both ns"]
    rate = ["events/s"] if shape.kind not in LATENCY_KINDS else []
    latency = ["p50", "p99", "p99.9"] if shape.kind in {"full", *LATENCY_KINDS} else []
    publishing = ["publishers done, s"] if shape.kind == "burst" else []
    lost = ["lost"] if shape.kind in {"throughput", "burst", "full"} else []
    return [*rate, *latency, *publishing, "CPU us/event", "memory MB", *lost]


_FORMS = {
    "events/s": ("rate", ",.0f"),
    "p50": ("p50", ",.1f"),
    "p99": ("p99", ",.1f"),
    "p99.9": ("p99.9", ",.1f"),
    "publishers done, s": ("publishing_s", ".2f"),
    "CPU us/event": ("cpu_us", ",.2f"),
    "memory MB": ("memory_mb", ",.1f"),
    "lost": ("lost", ",.0f"),
    "publish ns": ("publish_ns", ",.0f"),
    "handle ns": ("handle_ns", ",.0f"),
    "both ns": ("both_ns", ",.0f"),
}


def _row(results: Results, shape: Shape, cell: Cell) -> list[str]:
    row = [cell.contestant]
    for column in _columns(shape):
        figure, form = _FORMS[column]
        value = cell.median(figure)
        row.append("" if value is None else format(value, form))
    times = versus(results, shape, cell.contestant)
    row.append("" if times is None or cell.contestant == BASELINE.label else f"{times:.2f} x")
    return row


def aligned(rows: Iterable[list[str]]) -> str:
    """Return a table: the first column left-aligned, the others right-aligned."""
    rows = list(rows)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def as_json(results: Results, shapes: list[Shape], context: dict[str, Any]) -> dict[str, Any]:
    """Return everything: medians, every round, machine and versions."""
    measured = []
    for shape in shapes:
        contestants = {
            cell.contestant: {
                "medians": cell.medians(),
                "brummerbus_is_times_as_good": versus(results, shape, cell.contestant),
                "rounds": cell.rounds,
            }
            for cell in results.of(shape.name)
        }
        measured.append({"shape": shape.__dict__, "contestants": contestants})
    return {**context, "problems": results.problems, "shapes": measured}
