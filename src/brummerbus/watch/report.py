"""The final figures: one plain dictionary, ready for JSON, and the same as text.

All forms of the report, the HTML page too, are made from the dictionary, so they agree.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from brummerbus import Advice, BusStats, Priority
from brummerbus.watch.counters import Counters
from brummerbus.watch.line_printer import clock
from brummerbus.watch.process import WatchedProcess
from brummerbus.watch.text import counted, repeated

_COUNTS = ("published", "processed", "failed", "dropped")
_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 60
_SHOWN = 20
"""Errors and failed tests shown as text; the JSON has more of them, the store all errors."""


@dataclass(frozen=True)
class Balance:
    """A consistency check: whether every line that was read reached every handler."""

    lines_read: int
    """Counted by the threads that read the pipes."""
    rows_stored: int
    """Counted by SQLite, in the file."""
    events: int
    """`log.line` events, each with the lines of one read; counted by the same threads."""
    deliveries: Mapping[str, int]
    """Lines, counted by each handler."""
    processed: int
    """Deliveries of `log.line`, counted by the bus: events times handlers."""
    dropped: int
    """Dropped deliveries of all events, counted by the bus."""
    failed: int
    """Deliveries of all events whose handler raised, counted by the bus."""

    @property
    def adds_up(self) -> bool:
        """Whether all counts agree and nothing was dropped or failed."""
        return (
            self.rows_stored == self.lines_read
            and all(count == self.lines_read for count in self.deliveries.values())
            and self.processed == self.events * len(self.deliveries)
            and self.dropped == self.failed == 0
        )


@dataclass(frozen=True)
class Run:
    """The data of a report, in addition to the statistics of the bus."""

    target: str
    database: str
    started: float
    run_time: float
    exit_code: int
    queue_size: int
    processes: Sequence[WatchedProcess]
    depth: Sequence[tuple[float, int]]
    """Seconds since the start, and the number of queued deliveries then."""
    balance: Balance
    handler_errors: Sequence[str]
    advice: Advice


def collect(run: Run, stats: BusStats, counters: Counters) -> dict[str, Any]:
    """Return the report; times in seconds."""
    counts = counters.snapshot()
    return {
        "target": run.target,
        "database": run.database,
        "started": run.started,
        "run_time": run.run_time,
        "exit_code": run.exit_code,
        "processes": [_process(process) for process in run.processes],
        "events": dict(counts.events),
        "by_type": {type: _counts(count) for type, count in sorted(stats.by_type.items())},
        "by_priority": {
            str(level): _counts(count)
            for level, count in sorted(stats.by_level.items(), reverse=True)
        },
        "queue_wait": _times(stats.queue_wait),
        "processing_time": _times(stats.processing_time),
        "avg_processing_time": stats.avg_processing_time,
        "worker_utilization": list(stats.worker_utilization),
        "queue_size": run.queue_size,
        "depth": [list(sample) for sample in run.depth],
        "errors": {
            "count": counts.errors,
            "found": [{**asdict(found), "count": count} for found, count in counters.errors()],
        },
        "tests": {
            "passed": counts.tests["passed"],
            "failed": counts.tests["failed"],
            "failures": [asdict(result) for result in counters.failed_tests()],
        },
        "builds": dict(counts.builds),
        "handler_errors": list(run.handler_errors),
        "advice": {**run.advice.as_dict(), "text": str(run.advice)},
        "balance": {**asdict(run.balance), "adds_up": run.balance.adds_up},
    }


def as_text(report: Mapping[str, Any]) -> str:
    """Return the report as human-readable text."""
    sections = [
        f"Watched {report['target']} for {report['run_time']:.1f} s, exit {report['exit_code']}",
        _processes_text(report["processes"]),
        _counts_text("Deliveries by type", report["by_type"]),
        _counts_text("Deliveries by priority", _named_levels(report["by_priority"])),
        _times_text(report),
        _utilisation_text(report["worker_utilization"]),
        _depth_text(report["depth"], report["queue_size"]),
        _tests_text(report["tests"], report["builds"]),
        _errors_text(report["errors"]),
        report["advice"]["text"],
        _balance_text(report["balance"], report["handler_errors"]),
    ]
    return "\n\n".join(section for section in sections if section)


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


def _process(process: WatchedProcess) -> dict[str, Any]:
    return {
        "name": process.name,
        "command": process.command.line,
        "pid": process.pid,
        "exit_code": process.exit_code,
        "run_time": process.run_time,
        "lines": dict(process.lines_read),
        "bytes": dict(process.bytes_read),
        "held_open": process.held_open,
    }


def _counts(counts: Any) -> dict[str, int]:
    return {name: getattr(counts, name) for name in _COUNTS}


def _times(times: Any) -> dict[str, float]:
    return {name: getattr(times, name) for name in ("p50", "p95", "p99", "max")}


def _named_levels(by_priority: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{Priority(int(level)).name.lower()}": counts for level, counts in by_priority.items()}


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table: the first column left-aligned, numbers right-aligned."""
    lines = [[title, *head], *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _processes_text(processes: Sequence[Mapping[str, Any]]) -> str:
    head = ("exit", "seconds", "lines out", "lines err", "bytes")
    rows = [
        (
            process["name"] + (" (pipes held open)" if process["held_open"] else ""),
            "-" if process["exit_code"] is None else str(process["exit_code"]),
            "-" if process["run_time"] is None else f"{process['run_time']:.1f}",
            f"{process['lines']['stdout']:,}",
            f"{process['lines']['stderr']:,}",
            f"{sum(process['bytes'].values()):,}",
        )
        for process in processes
    ]
    return _table("Processes", head, rows)


def _counts_text(title: str, groups: Mapping[str, Mapping[str, int]]) -> str:
    rows = [
        (name, *(f"{counts[column]:,}" for column in _COUNTS)) for name, counts in groups.items()
    ]
    return _table(title, _COUNTS, rows)


def _times_text(report: Mapping[str, Any]) -> str:
    columns = ("p50", "p95", "p99", "max")
    rows = [
        (name, *(milliseconds(report[key][column]) for column in columns))
        for name, key in (("in the queue", "queue_wait"), ("in a handler", "processing_time"))
    ]
    return _table("Milliseconds", columns, rows)


def _utilisation_text(workers: Sequence[float]) -> str:
    shares = "  ".join(f"{share:.0%}" for share in workers)
    return f"Utilisation of {counted(len(workers), 'worker')}: {shares}"


def _depth_text(samples: Sequence[Sequence[float]], queue_size: int) -> str:
    if not samples:
        return ""
    highest = max(depth for _, depth in samples)
    return (
        f"Queue depth over {samples[-1][0]:.1f} s, maximum {highest:,} of {queue_size:,}\n"
        f"{sparkline(samples)}"
    )


def _tests_text(tests: Mapping[str, Any], builds: Mapping[str, int]) -> str:
    lines = []
    if tests["passed"] or tests["failed"]:
        lines.append(f"Tests: {tests['passed']:,} passed, {tests['failed']:,} failed")
        lines += [
            f"  {result['process']}: "
            + " - ".join(filter(None, (result["name"], result["detail"])))
            for result in tests["failures"][:_SHOWN]
        ]
        lines += _rest(tests["failed"])
    if builds:
        steps = ", ".join(f"{step} {count:,}" for step, count in sorted(builds.items()))
        lines.append(f"Builds: {steps}")
    return "\n".join(lines)


def _errors_text(errors: Mapping[str, Any]) -> str:
    if not errors["count"]:
        return "No errors found"
    lines = [f"Errors found: {errors['count']:,}"]
    for found in errors["found"][:_SHOWN]:
        place = f" at {found['location']}" if found["location"] else ""
        lines.append(
            f"  {clock(found['time'])} {found['process']}: {found['kind']}: "
            f"{repeated(found['message'], found['count'])}{place}"
        )
    return "\n".join(lines + _rest(len(errors["found"])))


def _rest(count: int) -> list[str]:
    return [f"  ... and {count - _SHOWN:,} more"] if count > _SHOWN else []


def balance_line(balance: Mapping[str, Any]) -> str:
    """Return the consistency check as one line."""
    handlers = ", ".join(f"{name} {count:,}" for name, count in balance["deliveries"].items())
    return (
        f"{counted(balance['lines_read'], 'line')} read, "
        f"{counted(balance['rows_stored'], 'row')} stored, handled by {handlers}; "
        f"{balance['dropped']:,} dropped, {balance['failed']:,} failed: "
        f"{'all counts agree' if balance['adds_up'] else 'THE COUNTS DO NOT AGREE'}"
    )


def _balance_text(balance: Mapping[str, Any], handler_errors: Sequence[str]) -> str:
    return "\n".join([balance_line(balance), *(f"  {error}" for error in handler_errors)])
