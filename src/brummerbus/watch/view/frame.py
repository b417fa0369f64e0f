"""One frame of the view: which parts it has, and how many rows each of them gets."""

from collections.abc import Sequence
from typing import TypeVar

from rich.text import Text

from brummerbus.watch.counters import Counts, ProcessState
from brummerbus.watch.text import printable, uncoloured
from brummerbus.watch.view.choice import Choice
from brummerbus.watch.view.failures import FailureLine, failure_lines
from brummerbus.watch.view.recent import KEPT
from brummerbus.watch.view.scene import Bus, Scene
from brummerbus.watch.view.sections import (
    Names,
    build_row,
    bus_rows,
    error_row,
    failed_row,
    keys_row,
    output_row,
    process_rows,
    rule,
    test_row,
    title,
)

_T = TypeVar("_T")

_OUTPUT = 4
"""Rows of output that are left whatever else there is to show."""
_ERRORS = 8
_TESTS = 4
_SILENT = 3


def draw(
    scene: Scene, choice: Choice, bus: Bus | None, seconds: float, size: tuple[int, int]
) -> list[Text]:
    """Return the rows of a frame: errors, failed tests, builds, processes, bus, output, keys.

    Args:
        scene: What is shown.
        choice: What the user has chosen; the frame notes in it how many lines it shows.
        bus: The bus's figures, None if they are not wanted.
        seconds: Since the start.
        size: Columns and rows.
    """
    width, height = size
    counts = scene.counters.snapshot()
    names = Names(list(counts.processes))
    room = height - 3 - min(_OUTPUT, max(height // 5, 1))
    states = list(counts.processes.values())
    processes = process_rows(states, names, choice, width, max(room // 2 + 1, 2)) if states else []
    below = [build_row(counts)] if counts.builds else []
    below += processes
    below += bus_rows(bus) if bus is not None else []
    above = []
    if not choice.errors:
        silent = [state for state in states if _silent(state, scene, choice)]
        above = _failures(scene, choice, names, silent, width, room - len(below))
    fixed = [title(scene.target, seconds, counts), *above, *below]
    choice.page = max(height - len(fixed) - 2, 1)
    output = _output(scene, choice, names, counts, width)
    rows = [*fixed, *output]
    rows = rows[: height - 1]
    rows += [Text("")] * (height - 1 - len(rows))
    return [*rows, keys_row(choice)]


def _failures(
    scene: Scene,
    choice: Choice,
    names: Names,
    silent: Sequence[ProcessState],
    width: int,
    room: int,
) -> list[Text]:
    """Return the newest errors and failed tests, those of the chosen process if there is one."""
    errors = scene.counters.latest(choice.process)
    tests = [
        result
        for result in reversed(scene.counters.failed_tests())
        if choice.process in ("", result.process)
    ]
    exits = [failed_row(s, _last_words(scene, s.name), names, width) for s in silent[:_SILENT]]
    room -= len(exits) + bool(errors or exits) + bool(tests)
    for_tests = min(len(tests), _TESTS, max(room - min(len(errors), _ERRORS), room // 3, 1))
    for_errors = min(len(errors), max(min(_ERRORS, room - for_tests), 1))
    rows: list[Text] = []
    if errors or exits:
        rows += [_heading("Errors", len(errors), for_errors), *exits]
        rows += [error_row(found, names, scene.links, width) for found in errors[:for_errors]]
    if tests:
        rows.append(_heading("Failed tests", len(tests), for_tests))
        rows += [test_row(result, names, scene.links, width) for result in tests[:for_tests]]
    return rows


def _silent(state: ProcessState, scene: Scene, choice: Choice) -> bool:
    """Whether a process failed, and nothing that was found in its output says why."""
    if (
        not state.exit_code
        or state.stopped
        or state.errors
        or choice.process not in ("", state.name)
    ):
        return False
    return all(result.process != state.name for result in scene.counters.failed_tests())


def _last_words(scene: Scene, process: str) -> str:
    """Return the last line of a process: of standard error, or else of standard output."""
    lines = [line for _, line in scene.recent.lines(process, last=20) if line.text.strip()]
    lines = [line for line in lines if line.stream == "stderr"] or lines
    return uncoloured(lines[-1].text) if lines else ""


def _heading(name: str, count: int, shown: int) -> Text:
    more = f"  the last {shown} of {count:,}; e shows all" if shown < count else ""
    return Text(name, "bold red", no_wrap=True).append(more, "not bold dim")


def _output(scene: Scene, choice: Choice, names: Names, counts: Counts, width: int) -> list[Text]:
    """Return the window on the output, or on the errors with all their lines, and a rule above."""
    who = choice.process or "all processes"
    if choice.errors:
        rows, hidden = _window(failure_lines(scene, choice.process), choice)
        head = rule([f"errors of {who}", "" if rows else "none", _below(hidden)], width)
        return [head, *(_failure_row(line, names) for _, line in rows)]
    last = KEPT if choice.filter or choice.end is not None else choice.page
    kept = scene.recent.lines(choice.process, choice.filter, last)
    window, hidden = _window(kept, choice)
    wanted = f"with {choice.filter!r}" if choice.filter else ""
    head = rule([f"output of {who}", wanted, _below(hidden)], width)
    with_names = None if choice.process and len(counts.processes) > 1 else names
    return [head, *(output_row(line, with_names) for _, line in window)]


def scrollable(scene: Scene, choice: Choice) -> tuple[int, ...]:
    """Return the numbers of all lines that the window on the output could show."""
    if choice.errors:
        return tuple(number for number, _ in failure_lines(scene, choice.process))
    return tuple(number for number, _ in scene.recent.lines(choice.process, choice.filter))


def _below(hidden: int) -> str:
    return f"{hidden:,} newer below, End follows" if hidden else ""


def _window(
    lines: Sequence[tuple[int, _T]], choice: Choice
) -> tuple[Sequence[tuple[int, _T]], int]:
    """Return the lines that the window shows, and how many are below it."""
    below = 0
    if choice.end is not None:
        below = sum(number >= choice.end for number, _ in lines)
    end = max(len(lines) - below, min(choice.page, len(lines)))
    return lines[max(end - choice.page, 0) : end], len(lines) - end


def _failure_row(line: FailureLine, names: Names) -> Text:
    row = Text(no_wrap=True, overflow="ellipsis")
    if not line.process:
        return row.append(printable(line.text))
    return row.append_text(names.text(line.process)).append(f" {printable(line.text)}", "bold red")
