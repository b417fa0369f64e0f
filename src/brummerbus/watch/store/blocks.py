"""Lines on their way into the file: the rows of those that were read at once."""

from collections.abc import Iterable
from itertools import count, repeat
from typing import Any

from brummerbus.watch.payloads import LogLines
from brummerbus.watch.wide_lines import ENDINGS

PLAIN = "INSERT INTO line_data (id, time, text) VALUES (?, ?, ?)"
ANY = "INSERT INTO line_data (id, time, text, ending, raw) VALUES (?, ?, ?, ?, ?)"

_ENDINGS = {ending: ending for ending in ("\r\n", "", *ENDINGS)}
"""What is stored of an ending: nothing of a newline."""


def rows_of(lines: LogLines, base: int) -> tuple[str, Iterable[tuple[Any, ...]]]:
    """Return the statement that stores lines, and its rows.

    Nearly all lines are text with a newline, and three values each cost half as much as five.

    Args:
        lines: Lines of one stream.
        base: The key of the stream's line 0.
    """
    plain = zip(count(base + lines.first), repeat(lines.time), lines.texts(), strict=False)
    if not lines.endings and not lines.raws:
        return PLAIN, plain
    endings = map(_ENDINGS.get, lines.endings or repeat("\n", lines.count))
    raws = map(lines.raws.get, range(lines.count))
    return ANY, ((*row, ending, raw) for row, ending, raw in zip(plain, endings, raws, strict=True))


def size_of(lines: LogLines) -> int:
    """Return how many characters lines have, without their ends."""
    return len(lines.text) - lines.count + 1
