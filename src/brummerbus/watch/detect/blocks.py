"""An error of several lines: a block that decides for each next line whether it belongs to it."""

from abc import ABC, abstractmethod
from enum import Enum, auto

from brummerbus.watch.payloads import ErrorFound, LogLine
from brummerbus.watch.text import counted

_LINES = 100
_WIDTH = 500
"""Limits of an error in its event; a recursion's traceback has thousands of lines."""


class Verdict(Enum):
    """A block's decision about the next line."""

    TAKE = auto()
    """It belongs to the block."""
    HOLD = auto()
    """It belongs to the block if a later line does; otherwise it is examined again."""
    END = auto()
    """The block ended before it."""


class Block(ABC):
    """An error whose end has not been found yet."""

    kind: str

    def __init__(self, line: LogLine, text: str, message: str = "", location: str = "") -> None:
        self.message = message
        self.location = location
        self.first = self._last = line
        self.lines: list[str] = []
        self.taken = 0
        self.leader: Block | None = None
        """The logged error directly before this block, which is part of it."""
        self.take(line, text)

    @abstractmethod
    def judge(self, text: str) -> Verdict:
        """Decide whether the next line belongs to this block, and record its details."""

    @property
    def complete(self) -> bool:
        """Whether the error may end here; False if more must follow."""
        return True

    @property
    def certain(self) -> bool:
        """Whether it is an error even if the stream ends here."""
        return True

    @property
    def ends(self) -> bool:
        """Whether it is an error if, and only if, the stream ends here."""
        return False

    def take(self, line: LogLine, text: str) -> None:
        """Add a line."""
        self._last = line
        self.taken += 1
        if self.taken <= _LINES:
            self.lines.append(text if len(text) <= _WIDTH else text[:_WIDTH] + "...")

    def lead(self, block: "Block") -> None:
        """Prepend an earlier block's lines: both are one error."""
        self.leader = block
        self.first = block.first
        self.lines = block.lines + self.lines
        self.taken += block.taken

    def found(self) -> ErrorFound:
        """Return the payload of the error's event."""
        lines = self.lines[:_LINES]
        if self.taken > len(lines):
            lines.append(f"... {counted(self.taken - len(lines), 'more line')}")
        first = self.first
        return ErrorFound(
            first.process,
            first.stream,
            first.number,
            self._last.number,
            first.time,
            self.kind,
            self.message[:_WIDTH],
            self.location,
            "\n".join(lines),
        )
