"""The final figures: one plain dictionary, ready for JSON.

All forms of the report, text and HTML page, are made from the dictionary, so they agree.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from brummerbus import Advice, BusStats
from brummerbus.watch.counters import Counters
from brummerbus.watch.places import Links
from brummerbus.watch.processes.process import WatchedProcess

COUNTS = ("published", "processed", "failed", "dropped")


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
    advice: Advice | None
    links: Links


def collect(run: Run, stats: BusStats, counters: Counters) -> dict[str, Any]:
    """Return the report; times in seconds."""
    counts = counters.snapshot()
    errors = {name: state.errors for name, state in counts.processes.items()}
    failures = counters.failed_tests()
    failed_tests = Counter(result.process for result in failures)
    return {
        "target": run.target,
        "database": run.database,
        "started": run.started,
        "run_time": run.run_time,
        "exit_code": run.exit_code,
        "processes": [
            {
                **_process(process),
                "errors": errors.get(process.name, 0),
                "failed_tests": failed_tests[process.name],
            }
            for process in run.processes
        ],
        "events": dict(counts.events),
        **_bus_figures(stats),
        "queue_size": run.queue_size,
        "depth": [list(sample) for sample in run.depth],
        "errors": {"count": counts.errors, "found": _errors(run.links, counters)},
        "tests": {
            "passed": counts.tests["passed"],
            "failed": counts.tests["failed"],
            "failures": [
                {**asdict(result), "link": run.links.to_test(result.process, result.name)}
                for result in failures
            ],
        },
        "builds": dict(counts.builds),
        "handler_errors": list(run.handler_errors),
        "advice": run.advice and {**run.advice.as_dict(), "text": str(run.advice)},
        "balance": {**asdict(run.balance), "adds_up": run.balance.adds_up},
    }


def _errors(links: Links, counters: Counters) -> list[dict[str, Any]]:
    return [
        {
            **asdict(found),
            "count": count,
            "place": links.shown(found.process, found.location),
            "link": links.to(found.process, found.location),
        }
        for found, count in counters.errors()
    ]


def _bus_figures(stats: BusStats) -> dict[str, Any]:
    by_level = sorted(stats.by_level.items(), reverse=True)
    return {
        "by_type": {type: _counts(count) for type, count in sorted(stats.by_type.items())},
        "by_priority": {str(level): _counts(count) for level, count in by_level},
        "queue_wait": _times(stats.queue_wait),
        "processing_time": _times(stats.processing_time),
        "avg_processing_time": stats.avg_processing_time,
        "worker_utilization": list(stats.worker_utilization),
    }


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
        "stopped": process.stopped,
        "last_line": process.last_line,
    }


def _counts(counts: Any) -> dict[str, int]:
    return {name: getattr(counts, name) for name in COUNTS}


def _times(times: Any) -> dict[str, float]:
    return {name: getattr(times, name) for name in ("p50", "p95", "p99", "max")}
