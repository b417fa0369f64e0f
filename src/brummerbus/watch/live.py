"""The live view on a terminal, drawn with rich."""

import importlib.util
from typing import TYPE_CHECKING

from brummerbus import BusStats
from brummerbus.watch.counters import Counters, Counts, ProcessState
from brummerbus.watch.line_printer import clock
from brummerbus.watch.report import milliseconds, sparkline

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

_FRAMES = 0.25
"""Seconds between two frames; drawing costs some milliseconds."""


def available() -> bool:
    """Whether rich is installed."""
    return importlib.util.find_spec("rich") is not None


class LiveView:
    """Redraws processes, events, the bus, the last errors and the last lines.

    A context manager. Used in the main thread only; handlers only update the counters.
    """

    def __init__(self, counters: Counters, console: "Console | None" = None) -> None:
        from rich.live import Live  # noqa: PLC0415 - an extra, loaded only where it is used

        self._counters = counters
        self._drawn = -_FRAMES
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> "LiveView":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(
        self, stats: BusStats, queue_size: int, depth: list[tuple[float, int]], now: float
    ) -> None:
        """Draw the present state, unless the last frame is too recent.

        Args:
            stats: The bus's statistics.
            queue_size: The queue's capacity.
            depth: The queue's depth over time.
            now: Seconds since the start.
        """
        if now - self._drawn < _FRAMES:
            return
        self._drawn = now
        self._live.update(draw(self._counters, stats, queue_size, depth), refresh=True)


def draw(
    counters: Counters, stats: BusStats, queue_size: int, depth: list[tuple[float, int]]
) -> "RenderableType":
    """Return one frame."""
    from rich.columns import Columns  # noqa: PLC0415
    from rich.console import Group  # noqa: PLC0415

    counts = counters.snapshot()
    return Group(
        _processes(counts),
        Columns([_events(counts, stats), _bus(stats, queue_size, depth)], padding=(0, 4)),
        *_recent(counters),
    )


def _table(*columns: str) -> "Table":
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    return table


def _processes(counts: Counts) -> "Table":
    from rich.markup import escape  # noqa: PLC0415

    table = _table("process", "state", "pid", "lines", "errors")
    for state in counts.processes.values():
        word, style = _state(state)
        errors = f"[red]{state.errors}[/]" if state.errors else "0"
        pid = str(state.pid or "")
        table.add_row(escape(state.name), f"[{style}]{word}[/]", pid, f"{state.lines:,}", errors)
    return table


def _state(state: ProcessState) -> tuple[str, str]:
    if state.exit_code is None:
        return ("running", "cyan") if state.pid else ("waiting", "dim")
    return ("done", "green") if state.exit_code == 0 else (f"failed {state.exit_code}", "bold red")


def _events(counts: Counts, stats: BusStats) -> "Table":
    table = _table("event", "seen", "handled", "dropped")
    for type, seen in sorted(counts.events.items()):
        of_type = stats.by_type.get(type)
        if of_type is not None:
            dropped = f"[red]{of_type.dropped}[/]" if of_type.dropped else "0"
            table.add_row(type, f"{seen:,}", f"{of_type.processed:,}", dropped)
    return table


def _bus(stats: BusStats, queue_size: int, depth: list[tuple[float, int]]) -> "Table":
    table = _table("bus", "")
    recent = depth[-40:]
    start = recent[0][0] if recent else 0.0
    bars = sparkline([(moment - start, count) for moment, count in recent], 20)
    table.add_row("queued", f"{stats.queued:,} of {queue_size:,} {bars}")
    levels = sorted(stats.queue_depth.items(), reverse=True)
    table.add_row("by level", "  ".join(f"{level}: {count:,}" for level, count in levels))
    table.add_row("wait p99", f"{milliseconds(stats.queue_wait.p99)} ms")
    table.add_row("workers", " ".join(f"{share:.0%}" for share in stats.worker_utilization))
    table.add_row("dropped", f"[red]{stats.dropped:,}[/]" if stats.dropped else "0")
    return table


def _recent(counters: Counters) -> list["Text"]:
    """Return the last errors and lines; as `Text`, because a line may look like markup."""
    from rich.text import Text  # noqa: PLC0415

    lines, errors = counters.recent()
    rows = [Text()]
    for found in errors[-4:]:
        where = f" at {found.location}" if found.location else ""
        message = f"{clock(found.time)} {found.process}: {found.message}{where}"
        rows.append(Text(message, style="red", no_wrap=True, overflow="ellipsis"))
    for line in lines[-8:]:
        shown = Text(no_wrap=True, overflow="ellipsis")
        shown.append(f"{clock(line.time)} {line.process} | ", style="dim")
        shown.append_text(Text.from_ansi(line.text[:400].split("\r")[-1]))
        rows.append(shown)
    return rows
