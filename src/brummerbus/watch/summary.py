"""The report as text: what failed comes first, and it fits on a screen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from brummerbus.watch.bus_figures import balance_line, bus_figures, table
from brummerbus.watch.line_printer import clock
from brummerbus.watch.text import (
    cells,
    counted,
    printable,
    repeated,
    shortened,
    shortened_place,
)

_AROUND = 3
"""Lines around the report: a blank one, where the store is, the prompt."""


_FEW = 4
"""Processes that are all shown if there is any room for them."""


@dataclass(frozen=True)
class Shape:
    """How much of the report is shown as text."""

    width: int = 80
    """Columns; longer messages are shortened."""
    height: int = 24
    """Lines that the report should fit into, with the prompt behind it."""
    full: bool = False
    """Everything, whatever its size: all errors with their lines, all tests, all processes."""
    bus: bool = False
    """The bus's own figures, too."""
    links: bool = False
    """Whether the output is a terminal, on which places can be links (OSC 8)."""


@dataclass(frozen=True)
class _Section:
    """A heading and its rows, of which at least some should be seen."""

    head: str
    rows: Sequence[str]
    least: int
    rest: str = "more"

    def cost(self, shown: int) -> int:
        """Return the lines it takes, a blank one before it included."""
        return 2 + shown + (shown < len(self.rows)) if self.rows else 0

    def lines(self, shown: int) -> list[str]:
        """Return it with that many of its rows."""
        left = len(self.rows) - shown
        rest = [f"  ... and {left:,} {self.rest}"] if left else []
        return [self.head, *self.rows[:shown], *rest]


def as_text(report: Mapping[str, Any], shape: Shape | None = None) -> str:
    """Return the report as human-readable text.

    Its order: errors, failed tests, processes that failed without either, builds, all processes;
    then the consistency check, and the figures of the bus if wanted.
    """
    shape = shape or Shape()
    seconds, target = report["run_time"], printable(report["target"])
    title = f"Watched {target} for {seconds:.1f} s, exit {report['exit_code']}"
    ending = [balance_line(report["balance"], handlers=shape.bus)]
    ending += [printable(f"  {error}") for error in report["handler_errors"]]
    sections = [section for section in _sections(report, shape) if section.rows]
    calm = _calm(report)
    builds = _builds(report["builds"])
    taken = len(_wrapped([title, calm, builds, *ending], shape.width)) + bool(builds) + 1 + _AROUND
    shown = _share(sections, shape.height - taken)
    if shape.full:
        shown = [len(section.rows) for section in sections]
    blocks = [title if not calm else f"{title}\n{calm}"]
    blocks += ["\n".join(s.lines(n)) for s, n in zip(sections, shown, strict=True)]
    if builds:
        blocks.insert(-1, builds)  # before the processes, which are always there
    if shape.bus:
        blocks += bus_figures(report)
    return "\n\n".join([*blocks, "\n".join(ending)])


def _share(sections: Sequence[_Section], room: int) -> list[int]:
    """Return how many rows of each section are shown: some of each, then the first ones more."""
    shown = [min(section.least, len(section.rows)) for section in sections]

    def too_much() -> bool:
        return sum(s.cost(n) for s, n in zip(sections, shown, strict=True)) > room

    for number in reversed(range(len(sections))):
        while shown[number] > 1 and too_much():
            shown[number] -= 1
    for number, section in enumerate(sections):
        while shown[number] < len(section.rows):
            shown[number] += 1
            if too_much():
                shown[number] -= 1
                break
    return shown


def _sections(report: Mapping[str, Any], shape: Shape) -> list[_Section]:
    errors, tests, processes = report["errors"], report["tests"], report["processes"]
    names = max((cells(process["name"]) for process in processes), default=0)
    writer = _Writer(min(names, 16), shape)
    total = tests["passed"] + tests["failed"]
    return [
        _Section(
            _errors_head(errors),
            [row for found in errors["found"] for row in writer.error(found)],
            3,
            "more: --full, or brummerbus log --errors",
        ),
        _Section(
            f"{tests['failed']:,} of {counted(total, 'test')} failed",
            [writer.test(result) for result in tests["failures"]],
            2,
            "more: --full",
        ),
        _Section(
            "Failed, with no error in the output",
            [writer.exit(process) for process in processes if unexplained(process)],
            1,
        ),
        _processes(processes),
    ]


def _errors_head(errors: Mapping[str, Any]) -> str:
    different = len(errors["found"])
    head = counted(errors["count"], "error")
    return head if different == errors["count"] else f"{head}, {different:,} different"


def _calm(report: Mapping[str, Any]) -> str:
    """Return what did not fail, in one line."""
    tests, said = report["tests"], []
    if not report["errors"]["count"]:
        said.append("No errors found")
    if tests["passed"] and not tests["failed"]:
        said.append(f"{counted(tests['passed'], 'test')} passed, none failed")
    return "; ".join(said)


def failed(process: Mapping[str, Any]) -> bool:
    """Whether a process failed by itself, not because the watcher stopped it."""
    return bool(process["exit_code"]) and not process["stopped"]


def unexplained(process: Mapping[str, Any]) -> bool:
    """Whether a process failed, and nothing that was found in its output says why."""
    return failed(process) and not process["errors"] and not process["failed_tests"]


class _Writer:
    """Writes rows: process, message, place."""

    def __init__(self, names: int, shape: Shape) -> None:
        self._names = names
        self._shape = shape

    def error(self, found: Mapping[str, Any]) -> list[str]:
        """Return an error's row; with its lines in the full report."""
        message = repeated(found["message"], found["count"])
        if not self._shape.full:
            return [self._row(found["process"], message, found["place"], found["link"])]
        message = f"{clock(found['time'])} {found['kind']}: {message}"
        row = self._row(found["process"], message, found["place"], found["link"])
        text = [printable(line).rstrip() for line in found["text"].splitlines()]
        return [row, *(f"      {line}" for line in text)] if len(text) > 1 else [row]

    def test(self, result: Mapping[str, Any]) -> str:
        """Return a failed test's row."""
        name = result["name"] or f"{counted(result['count'], 'test')} without a name in the output"
        detail = f" - {result['detail']}" if result["detail"] else ""
        if detail and not self._shape.full:
            room = self._shape.width - self._names - 4
            name = shortened(name, max(room - cells(detail), room * 3 // 5))
        return self._row(result["process"], name + detail, "", result["link"])

    def exit(self, process: Mapping[str, Any]) -> str:
        """Return the row of a process that failed without an error or a failed test."""
        said = f"; its last line: {process['last_line']}" if process["last_line"].strip() else ""
        return self._row(process["name"], f"exit {process['exit_code']}{said}", "", "")

    def _row(self, process: str, message: str, place: str, link: str) -> str:
        """Return a row that fits; without a place, the message is the link."""
        message, place = printable(message), printable(place)
        name = shortened(printable(process), self._names)
        head = f"  {name}{' ' * (self._names - cells(name))}  "
        if not self._shape.full:
            room = self._shape.width - cells(head)
            place = shortened_place(place, room * 2 // 5)
            message = shortened(message, room - cells(place) - (2 if place else 0))
        if not place:
            return head + self._linked(message, link)
        return f"{head}{message}  {self._linked(place, link)}"

    def _linked(self, text: str, link: str) -> str:
        if not link or not self._shape.links:
            return text
        return f"\x1b]8;;{link}\x1b\\{text}\x1b]8;;\x1b\\"


def _processes(processes: Sequence[Mapping[str, Any]]) -> _Section:
    head = ("exit", "seconds", "lines out", "lines err", "bytes", "errors")
    failed_first = sorted(processes, key=lambda process: not failed(process))
    rows = [
        (
            printable(process["name"]) + (" (pipes held open)" if process["held_open"] else ""),
            "-" if process["exit_code"] is None else str(process["exit_code"]),
            "-" if process["run_time"] is None else f"{process['run_time']:.1f}",
            f"{process['lines']['stdout']:,}",
            f"{process['lines']['stderr']:,}",
            f"{sum(process['bytes'].values()):,}",
            f"{process['errors']:,}",
        )
        for process in failed_first
    ]
    first, *lines = table("Processes", head, rows)
    few = len(lines) <= _FEW
    return _Section(first, lines, len(lines) if few else 1, "more: --full")


def _builds(builds: Mapping[str, int]) -> str:
    steps = ", ".join(f"{step} {count:,}" for step, count in sorted(builds.items()))
    return f"Builds: {steps}" if builds else ""


def _wrapped(lines: Sequence[str], width: int) -> list[str]:
    """Return the lines as a terminal of this width shows them."""
    return [line for text in lines for line in [text] * -(-cells(text) // width)]
