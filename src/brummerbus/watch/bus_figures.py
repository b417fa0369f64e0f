"""The bus's own figures as text: deliveries, times, utilisation, depth, advice."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from brummerbus import Priority
from brummerbus.watch.report import COUNTS
from brummerbus.watch.text import cells, counted

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 60
QUANTILES = ("p50", "p95", "p99", "max")
TIMES = (("in the queue", "queue_wait"), ("in a handler", "processing_time"))


def bus_figures(report: Mapping[str, Any]) -> list[str]:
    """Return the sections of the report that are about the bus."""
    levels = {Priority(int(n)).name.lower(): count for n, count in report["by_priority"].items()}
    sections = [
        _counts("Deliveries by type", report["by_type"]),
        _counts("Deliveries by priority", levels),
        _times(report),
        _utilisation(report["worker_utilization"]),
        _depth(report["depth"], report["queue_size"]),
        report["advice"]["text"] if report["advice"] else "",
    ]
    return [section for section in sections if section]


def balance_line(balance: Mapping[str, Any], *, handlers: bool = True) -> str:
    """Return the consistency check as one line.

    Args:
        balance: That of the report.
        handlers: Whether to name the count of each handler; they are named if one differs.
    """
    counts = ", ".join(f"{name} {count:,}" for name, count in balance["deliveries"].items())
    handled = f", handled by {counts}" if handlers or not balance["adds_up"] else ""
    return (
        f"{counted(balance['lines_read'], 'line')} read, "
        f"{counted(balance['rows_stored'], 'row')} stored{handled}; "
        f"{balance['dropped']:,} dropped, {balance['failed']:,} failed: "
        f"{'all counts agree' if balance['adds_up'] else 'THE COUNTS DO NOT AGREE'}"
    )


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table: the first column left-aligned, numbers right-aligned."""
    lines = [[title, *head], *rows]
    widths = [max(cells(line[column]) for line in lines) for column in range(len(lines[0]))]

    def padded(column: int, cell: str) -> str:
        space = " " * (widths[column] - cells(cell))
        return cell + space if column == 0 else space + cell

    return [
        "  ".join(padded(column, cell) for column, cell in enumerate(line)).rstrip()
        for line in lines
    ]


def sparkline(samples: Sequence[Sequence[float]], width: int = _WIDTH) -> str:
    """Return the maximum depth of each interval as one bar."""
    if not samples:
        return ""
    end = samples[-1][0] or 1.0
    highest = [0.0] * min(width, len(samples))
    for moment, depth in samples:
        place = min(int(moment / end * len(highest)), len(highest) - 1)
        highest[place] = max(highest[place], depth)
    top = max(highest) or 1.0
    return "".join(_BARS[round(depth / top * (len(_BARS) - 1))] for depth in highest)


def milliseconds(seconds: float) -> str:
    """Format a time in milliseconds, with suitable precision."""
    value = seconds * 1000
    return f"{value:.3f}" if value < 1 else f"{value:.1f}"


def _counts(title: str, groups: Mapping[str, Mapping[str, int]]) -> str:
    rows = [
        (name, *(f"{counts[column]:,}" for column in COUNTS)) for name, counts in groups.items()
    ]
    return "\n".join(table(title, COUNTS, rows))


def _times(report: Mapping[str, Any]) -> str:
    rows = [
        (name, *(milliseconds(report[key][column]) for column in QUANTILES)) for name, key in TIMES
    ]
    return "\n".join(table("Milliseconds", QUANTILES, rows))


def _utilisation(workers: Sequence[float]) -> str:
    shares = "  ".join(f"{share:.0%}" for share in workers)
    return f"Utilisation of {counted(len(workers), 'worker')}: {shares}"


def _depth(samples: Sequence[Sequence[float]], queue_size: int) -> str:
    if not samples:
        return ""
    highest = max(depth for _, depth in samples)
    return (
        f"Queue depth over {samples[-1][0]:.1f} s, maximum {highest:,} of {queue_size:,}\n"
        f"{sparkline(samples)}"
    )
