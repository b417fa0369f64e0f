"""The parts of a frame, as rows. Imports rich, an extra: only `frame` imports this module."""

from collections.abc import Sequence

from rich.style import Style
from rich.text import Text

from brummerbus.watch.bus_figures import milliseconds, sparkline
from brummerbus.watch.counters import Counts, ProcessState
from brummerbus.watch.line_printer import clock
from brummerbus.watch.payloads import ErrorFound, LogLine, TestResult
from brummerbus.watch.places import Links
from brummerbus.watch.text import (
    cells,
    counted,
    only_coloured,
    printable,
    shortened,
    shortened_place,
)
from brummerbus.watch.view.choice import WISHES, Choice
from brummerbus.watch.view.scene import Bus

_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta")
"""Of the names of processes; red is for what failed."""

_LONGEST_NAME = 14
_WIDEST = 110
"""Columns of a row with a place at its end."""
_LONGEST_LINE = 1000
"""Characters of a line that are decoded for a frame."""


class Names:
    """Shows the names of processes: aligned, each in its colour."""

    def __init__(self, names: Sequence[str]) -> None:
        longest = max((cells(name) for name in names), default=0)
        self.width = min(max(longest, len("process")), _LONGEST_NAME)
        self._colours = {name: _COLOURS[n % len(_COLOURS)] for n, name in enumerate(names)}

    def text(self, name: str) -> Text:
        """Return a name with the spaces behind it."""
        shown = shortened(printable(name), self.width)
        return Text(shown + " " * (self.width - cells(shown)), self._colours.get(name, ""))


def title(target: str, seconds: float, counts: Counts) -> Text:
    """Return the first row: what is watched, and how it goes."""
    states = [state_of(state) for state in counts.processes.values()]
    running = sum(word.startswith("running") for word, _ in states)
    failed = sum(word.startswith("failed") for word, _ in states)
    done = sum(word == "done" for word, _ in states)
    minutes, rest = divmod(int(seconds), 60)
    row = Text(no_wrap=True, overflow="ellipsis")
    row.append(f"{shortened(printable(target), 30)}  {minutes}:{rest:02}", "bold")
    row.append(f"  {running} running")
    if failed:
        row.append(f"  {failed} failed", "bold red")
    if done:
        row.append(f"  {done} done", "green")
    row.append(*(("  no errors", "dim") if not counts.errors else
                 (f"  {counted(counts.errors, 'error')}", "bold red")))  # fmt: skip
    tests = counts.tests
    if tests["failed"]:
        total = counted(tests["failed"] + tests["passed"], "test")
        row.append(f"  {tests['failed']:,} of {total} failed", "bold red")
    elif tests["passed"]:
        row.append(f"  {counted(tests['passed'], 'test')} passed", "green")
    return row


def _begun(moment: float) -> Text:
    """Return a row that begins with a time."""
    return Text(no_wrap=True, overflow="ellipsis").append(f"{clock(moment)} ", "dim")


def error_row(found: ErrorFound, names: Names, links: Links, width: int) -> Text:
    """Return an error as one row: when, where from, why, and the place in the source."""
    row = _begun(found.time)
    row.append_text(names.text(found.process))
    link = links.to(found.process, found.location)
    place = links.shown(found.process, found.location)
    return _with_place(row, found.message, place, link, width)


def failed_row(state: ProcessState, said: str, names: Names, width: int) -> Text:
    """Return a process that failed without an error in its output: its code and last line."""
    row = _begun(state.started + (state.run_time or 0.0))
    row.append_text(names.text(state.name))
    message = f"exit {state.exit_code}" + (f": {said}" if said else "")
    return _with_place(row, message, "", "", width)


def test_row(result: TestResult, names: Names, links: Links, width: int) -> Text:
    """Return a failed test as one row; its name is the link to its file."""
    row = _begun(result.time)
    row.append_text(names.text(result.process))
    name = printable(result.name) or f"{counted(result.count, 'test')} without a name"
    room = width - cells(row.plain) - 1
    detail = printable(result.detail)
    name = shortened(name, max(room - cells(detail) - 2, room * 3 // 5) if detail else room)
    row.append(" ")
    row.append(name, _style("red", links.to_test(result.process, result.name)))
    if detail:
        row.append(f"  {shortened(detail, width - cells(row.plain) - 2)}")
    return row


def _with_place(row: Text, message: str, place: str, link: str, width: int) -> Text:
    """Add the message, and the place at the right edge, where that is not too far away."""
    width = min(width, _WIDEST)
    room = width - cells(row.plain) - 1
    place = shortened_place(printable(place), room * 2 // 5)
    message = shortened(printable(message), room - cells(place) - (2 if place else 0))
    row.append(" ").append(message, "red")
    if place:
        row.append(" " * max(width - cells(row.plain) - cells(place), 1))
        row.append(place, _style("cyan underline", link))
    return row


def _style(definition: str, link: str) -> Style:
    style = Style.parse(definition)
    return style + Style(link=link) if link else style


def state_of(state: ProcessState) -> tuple[str, str]:
    """Return the state of a process in a word, and the style of the word."""
    if state.exit_code is None:
        again = f" (x{state.starts})" if state.starts > 1 else ""
        return (f"running{again}", "cyan") if state.pid else ("waiting", "dim")
    if state.stopped:
        return "stopped", "yellow"
    return ("done", "green") if state.exit_code == 0 else (f"failed {state.exit_code}", "bold red")


def process_rows(
    states: Sequence[ProcessState], names: Names, choice: Choice, width: int, most: int
) -> list[Text]:
    """Return the processes side by side in at most `most` rows, with a row of headings."""
    lines = max(*(len(f"{state.lines:,}") for state in states), len("lines"))
    words = max(*(len(state_of(state)[0]) for state in states), len("running"))
    wide = 2 + names.width + 1 + words + 1 + lines + 1 + len("errors")
    columns = max((width + 3) // (wide + 3), 1)
    room = columns * max(most - 1, 1)
    left = len(states) - room
    if left > 0:
        # What does not fit is what runs well.
        order = sorted(states, key=lambda s: (s.name != choice.process, not s.exit_code))
        states = order[: room - 1]
        left += 1
    head = f"  {'process':<{names.width}} {'state':<{words}} {'lines':>{lines}} errors"
    rows = [Text("   ".join([head] * min(columns, len(states))), "dim", no_wrap=True)]
    for first in range(0, len(states), columns):
        row = Text("", no_wrap=True)
        for state in states[first : first + columns]:
            row.append("   " if row.plain else "")
            row.append_text(
                _process(state, names, words, lines, chosen=state.name == choice.process)
            )
        rows.append(row)
    if left > 0:
        rows[-1].append(f"   ... and {left:,} more", "dim")
    return rows


def _process(state: ProcessState, names: Names, words: int, lines: int, *, chosen: bool) -> Text:
    word, style = state_of(state)
    cell = Text("▸ " if chosen else "  ", no_wrap=True).append_text(names.text(state.name))
    cell.append(f" {word:<{words}}", style)
    cell.append(f" {state.lines:>{lines},} ")
    cell.append(f"{state.errors:>6,}", "red" if state.errors else "dim")
    if chosen:
        cell.stylize("reverse")
    return cell


def build_row(counts: Counts) -> Text:
    """Return what build tools have said, in one row."""
    row = Text("Builds  ", "bold", no_wrap=True, overflow="ellipsis")
    for number, (step, count) in enumerate(sorted(counts.builds.items())):
        row.append(", " if number else "", "not bold")
        row.append(f"{step} {count:,}", "not bold red" if step.endswith("failed") else "not bold")
    return row


def output_row(line: LogLine, names: Names | None) -> Text:
    """Return a line of output with its own colours; with its process if `names` are given."""
    row = _begun(line.time)
    if names is not None:
        row.append_text(names.text(line.process))
        row.append(" ")
    # A program that redraws its line, such as a progress bar, means the last version.
    text = line.text[:_LONGEST_LINE].rstrip("\r").rpartition("\r")[2]
    shown = Text.from_ansi(only_coloured(text.expandtabs()))
    # Control characters outside sequences.
    plain = printable(shown.plain)
    row.append_text(shown if plain == shown.plain else Text(plain))
    return row


def rule(parts: Sequence[str], width: int) -> Text:
    """Return a line with words in it."""
    text = shortened("── " + " ── ".join(part for part in parts if part) + " ", width)
    return Text(text + "─" * max(width - cells(text), 0), "dim", no_wrap=True)


def bus_rows(bus: Bus) -> list[Text]:
    """Return the bus's own figures."""
    stats, recent = bus.stats, list(bus.depth)[-40:]
    start = recent[0][0] if recent else 0.0
    bars = sparkline([(moment - start, count) for moment, count in recent], 20)
    levels = sorted(stats.queue_depth.items(), reverse=True)
    said = [
        f"queued {stats.queued:,} of {bus.queue_size:,} {bars}",
        "by level " + "  ".join(f"{level}: {count:,}" for level, count in levels)
        + f"   wait p99 {milliseconds(stats.queue_wait.p99)} ms",
        "workers " + " ".join(f"{share:.0%}" for share in stats.worker_utilization)
        + f"   failed {stats.failed:,}   dropped {stats.dropped:,}",
        "  ".join(f"{type} {count.processed:,}" for type, count in sorted(stats.by_type.items())),
    ]  # fmt: skip
    rows = [
        Text(f"{'Bus' if number == 0 else '':<8}", "bold", no_wrap=True, overflow="ellipsis")
        for number in range(len(said))
    ]
    for row, text in zip(rows, said, strict=True):
        row.append(text, "not bold")
    return rows


_KEYS = (("←→", "process"), ("↑↓", "scroll"), ("/", "filter"), ("e", "errors"), ("r", "restart"),
         ("s", "stop"), ("b", "bus"), ("q", "quit"))  # fmt: skip


def keys_row(choice: Choice) -> Text:
    """Return what can be pressed, or what is being typed, or an answer."""
    row = Text("", no_wrap=True, overflow="ellipsis")
    if choice.said:
        return row.append(choice.said, "yellow")
    if choice.typing:
        row.append("filter: ", "bold").append(printable(choice.filter)).append(" ", "reverse")
        return row.append("   Enter keeps it, Esc clears it", "dim")
    possible = [key for key in _KEYS if key[0] not in WISHES or WISHES[key[0]] in choice.wishes]
    for number, (key, meaning) in enumerate(possible):
        row.append("  " if number else "").append(key, "bold").append(f" {meaning}", "dim")
    return row
