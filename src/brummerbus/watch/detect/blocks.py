"""What an error of several lines is: a block that says of each next line whether it takes it."""

from abc import ABC, abstractmethod
from enum import Enum, auto

from brummerbus.watch.payloads import ErrorFound, LogLine

_LINES = 100
_WIDTH = 500
"""How much of an error its event carries; a recursion's traceback has thousands of lines."""


class Verdict(Enum):
    """What a block says of the next line."""

    TAKE = auto()
    """It belongs to the block."""
    HOLD = auto()
    """It belongs to the block if a later line does; else it is looked at afresh."""
    END = auto()
    """The block ended before it."""


class Block(ABC):
    """One error in the making."""

    kind: str

    def __init__(self, line: LogLine, text: str, message: str = "", location: str = "") -> None:
        self.message = message
        self.location = location
        self.first = self._last = line
        self.lines: list[str] = []
        self.taken = 0
        self.leader: Block | None = None
        """A logged error right before this block, which is part of it."""
        self.take(line, text)

    @abstractmethod
    def judge(self, text: str) -> Verdict:
        """Say what the next line is to this block, noting what it tells."""

    @property
    def complete(self) -> bool:
        """Whether the error may end here; False in the midst of one."""
        return True

    @property
    def certain(self) -> bool:
        """Whether it is an error even if the stream ends here."""
        return True

    def take(self, line: LogLine, text: str) -> None:
        """Add a line."""
        self._last = line
        self.taken += 1
        if self.taken <= _LINES:
            self.lines.append(text if len(text) <= _WIDTH else text[:_WIDTH] + "...")

    def lead(self, block: "Block") -> None:
        """Put an earlier block's lines in front, as those of one error."""
        self.leader = block
        self.first = block.first
        self.lines = block.lines + self.lines
        self.taken += block.taken

    def found(self) -> ErrorFound:
        """Return the error as its event carries it."""
        lines = self.lines[:_LINES]
        if self.taken > len(lines):
            lines.append(f"... {self.taken - len(lines)} more lines")
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
