"""Names of processes in front of their lines, aligned and coloured, and lines that stay in place.

Of what a process prints for its terminal, only colours are passed on, and none is on beyond the end
of its line: it cannot move the cursor, clear the screen, change the title, or colour the lines of
another process. Of a line that returns to its beginning, as progress bars do, the last text is
shown. The store has all of it.
"""

import os
import re
from collections.abc import Sequence
from typing import TextIO

from brummerbus.watch.text import cells

AUTO, ALWAYS, NEVER = CHOICES = ("auto", "always", "never")
"""When colours are printed."""

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
"""Of the names, in turn. Red is for errors."""
_RESET = "\x1b[0m"
_CONTROL = re.compile(
    r"(?P<colour>\x1b\[[0-9;:]*m)"
    r"|\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)
_SIGNS = "\x1b\r\b\a\0\x0b\x0c\x0e\x0f\x84\x85\x88\x8d\x8e\x8f\x90\x9b\x9c\x9d"
"""Characters of which a text has one if a terminal would do more than print it. Searched one by
one, which is many times faster than an expression for all of them."""


def wanted(when: str, stream: TextIO) -> bool:
    """Return whether to print colours on a stream.

    Args:
        when: `always`, `never`, or `auto`: on a terminal, unless the variable `NO_COLOR` is set.
        stream: Where they would be printed.
    """
    if when != AUTO:
        return when == ALWAYS
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Labels:
    """Puts the name of the process in front of each line.

    Args:
        names: The names of all processes, for their width; others are not aligned.
        colour: Whether to print colours.
    """

    def __init__(self, names: Sequence[str] = (), *, colour: bool = False) -> None:
        self._colour = colour
        width = max(map(cells, names), default=0)
        self._labels = {name: name + " " * (width - cells(name)) for name in names}
        self._colours = {
            name: f"\x1b[{_COLOURS[number % len(_COLOURS)]}m" for number, name in enumerate(names)
        }

    def put(self, stamp: str, name: str, text: str) -> tuple[str, ...]:
        """Return lines with time and name in front of each, in parts, with a newline at the end.

        Args:
            stamp: The time.
            name: The process.
            text: Its lines, separated by newlines.
        """
        start = f"{stamp} {self._labels.get(name, name)} | "
        if self._colour:
            start = f"{self._colours.get(name, '')}{start}{_RESET}"
        end = "\n"
        if any(sign in text for sign in _SIGNS):
            text = self._in_place(text)
            if "\x1b" in text:
                end = f"{_RESET}\n"
        return start, text.replace("\n", end + start), end

    def _in_place(self, text: str) -> str:
        """Return lines without what moves the cursor, and with colours only if they are wanted."""
        text = _CONTROL.sub(self._kept, text)
        if "\r" not in text:
            return text
        return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))

    def _kept(self, match: "re.Match[str]") -> str:
        return (match["colour"] or "") if self._colour else ""
