"""Starts and ends errors in one stream: the state machine that drives the blocks."""

import re
from collections import deque
from collections.abc import Iterable, Iterator

from brummerbus.watch.detect import levels, python, traces
from brummerbus.watch.detect.blocks import Block, Verdict
from brummerbus.watch.detect.levels import Level
from brummerbus.watch.detect.table import Table, TableBlock
from brummerbus.watch.payloads import ErrorFound, LogLine

HINTS = frozenset(
    (
        "error", "err ", "err]", "err!", "erro[", "err_", "eror", "fata", "crit", "panic",
        "emerg", "severe", "alert", "ftl", "fail", " e ", "e ::.", "f ::.", '"s":"e', '"s":"f',
        "traceback", "exception", "throwable", 'file "',
    )
)  # fmt: skip
"""A line without any of these, and of those of the table, starts no error. Most lines have none."""

STARTS = ("e/", "f/", "<>", "e -- ::", "c -- ::", "e ::", "c ::", "[e ", "[c ")
"""Starts of lines that have a level of a single letter or digit; digits are left out."""

_INTERRUPTED = re.compile(
    r"KeyboardInterrupt\b|(?:asyncio\.exceptions\.)?CancelledError\s*$|.*\b(?:SIGINT|SIGTERM|SIGHUP)\b|"
    r".*\b(?:exit|exited with)?(?: code| status) ?:?(?:130|143)\b|"
    r"signal: (?:interrupt|terminated)|(?:interrupted|terminated)$"
)
"""An error that is only the answer to Ctrl-C, or to the signal by which a watcher stops."""
_RUST_ARROW = re.compile(r"\s*(?P<arrow>-->|╭▸) (?P<place>\S+:\d+:\d+)")
_ASYNCIO = re.compile(
    r"(?:future|task|handle|message|protocol|transport|context|source_traceback)\b"
)
_LONGEST = 60
RECENT = 40
"""Lines before a line that are kept."""


class LogError(Block):
    """A line that is logged at level error, and what is indented below it.

    A trace directly after it belongs to it: `ErrorDetector` joins them.
    """

    kind = "log"

    def __init__(self, line: LogLine, text: str, message: str) -> None:
        super().__init__(line, text, message)
        self._rustc = False
        self._blank = False

    @property
    def in_source(self) -> bool:
        """Whether a compiler's source follows, which ends at a blank line."""
        return self._rustc

    def judge(self, text: str) -> Verdict:
        """Take indented lines, and rustc's source; hold one blank line."""
        if self._rustc:  # or another compiler whose errors look the same
            return Verdict.TAKE if text.strip() else Verdict.END
        if self.taken == 1 and (match := _RUST_ARROW.match(text)):
            self.location, self._rustc = match["place"], True
            if match["arrow"] == "-->":
                self.kind = "rustc"
            return Verdict.TAKE
        if not text.strip():
            held, self._blank = self._blank, True
            return Verdict.END if held else Verdict.HOLD
        if self._blank or self.taken > _LONGEST:
            return Verdict.END
        if text[0] in " \t":
            if self.message.endswith("]") and self.taken == 1:
                self.message = text.strip()  # .NET writes the category first
            return Verdict.TAKE
        return Verdict.TAKE if _ASYNCIO.match(text) else Verdict.END


class ErrorDetector:
    """Finds the errors of one stream; feed it every line in order.

    Args:
        table: The patterns in use.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._block: Block | None = None
        self._held: list[tuple[LogLine, str, bool, bool]] = []
        self._before: deque[str] = deque(maxlen=RECENT)

    @property
    def idle(self) -> bool:
        """Whether no error is open."""
        return self._block is None

    @property
    def waits(self) -> bool:
        """Whether an error is complete but not returned yet."""
        block = self._block
        if block is None:
            return False
        # If a block is not certain to be an error, the logged error before it is complete anyway.
        return block.complete or (block.leader is not None and not block.certain)

    def hand_over(self, other: "ErrorDetector", text: str) -> None:
        """Leave the open error to another stream, if it seems to continue there.

        A logger writes a name in brackets in front of its own line only, not of the trace below.

        Args:
            other: The detector of the stream with the next line.
            text: That line.
        """
        block = self._block
        continues = isinstance(block, LogError) or text[:1].isspace()
        if block is not None and continues and not self._held and other.adopt(block):
            self._block = None

    def adopt(self, block: Block) -> bool:
        """Continue an error of another stream; False if one is open already."""
        if self._block is not None:
            return False
        self._block = block
        return True

    def pass_by(self, texts: Iterable[str]) -> None:
        """Note lines that start no error; one may be the heading of a later error."""
        self._before.extend(texts)

    def feed(
        self, line: LogLine, text: str, *, stamped: bool = False, claimed: bool = False
    ) -> Iterator[ErrorFound]:
        """Yield the errors that end before this line.

        Args:
            line: The line, for its number and time.
            text: Its text to examine, without colours and prefixes.
            stamped: Whether a time stamp was in front of it.
            claimed: Another detector has recognised this line, so it starts no error.
        """
        block = self._block
        if block is None:
            self._open(None if claimed else self._start(line, text, stamped), text)
            return
        verdict = block.judge(text)
        if claimed and verdict is Verdict.HOLD:
            verdict = Verdict.END  # a line about tests, which is no part of a message
        starts = None
        known = _is_open(block, verdict)
        if known:
            # A block that is not certain to be an error must not delay a certain one, and what
            # follows a logged error may be its trace.
            starts = None if claimed else self._start(line, text, stamped)
            if (
                stamped
                and isinstance(block, LogError)
                and levels.parse(text.lstrip(), stamped=True)
            ):
                verdict = Verdict.END  # a logger's next line, indented to align the levels
            if starts is not None and not (isinstance(block, LogError) and block.in_source):
                verdict = Verdict.END
        if verdict is Verdict.TAKE:
            self._take_held(block)
            block.take(line, text)
            self._before.append(text)
        elif verdict is Verdict.HOLD:
            self._held.append((line, text, stamped, claimed))
        elif isinstance(block, LogError) and _is_trace(starts):
            self._take_held(block)
            assert starts is not None
            starts.lead(block)
            self._block = starts
        else:
            known = known and not self._held
            yield from self.finish()
            if known:
                self._open(starts, text)
            else:
                yield from self.feed(line, text, stamped=stamped, claimed=claimed)

    def _take_held(self, block: Block) -> None:
        for line, text, _, _ in self._held:
            block.take(line, text)
        self._held.clear()

    def _open(self, block: Block | None, text: str) -> None:
        """Begin an error with this line, if it starts one."""
        self._block = block
        self._before.append(text)

    def finish(self, *, ended: bool = False) -> Iterator[ErrorFound]:
        """Yield the open error, and those in the lines that were held for it.

        Args:
            ended: Whether the stream has ended.
        """
        while self._block is not None:
            block, self._block = self._block, None
            held, self._held = self._held, []
            certain = block.certain or (ended and block.ends and not held)
            if certain and not _is_interrupt(block):
                yield block.found()
            elif block.leader is not None and not certain:
                yield block.leader.found()
            for held_line, held_text, stamped, claimed in held:
                yield from self.feed(held_line, held_text, stamped=stamped, claimed=claimed)

    def _start(self, line: LogLine, text: str, stamped: bool) -> Block | None:  # noqa: FBT001
        parsed = levels.parse(text.lstrip() if stamped else text, stamped=stamped)
        calm = parsed is not None and parsed.level is Level.CALM
        if not calm:
            said = text if parsed is None else parsed.message
            block = python.start(line, text) or python.start(line, said) or traces.start(line, text)
            if block is not None:
                return block
        lowered = text.lower()
        block, claimed = self._table.start(line, text, lowered, self._before, calm=calm)
        if block is not None or claimed or calm:
            return block
        if match := traces.HEADER.match(text):
            # `Error: ...` is an error; that of another name only if calls follow.
            return traces.Candidate(
                line, text, match["message"], self._before, certain=parsed is not None
            )
        return None if parsed is None else LogError(line, text, parsed.message)


def _is_open(block: Block, verdict: Verdict) -> bool:
    """Whether another error may start before the next line of this one."""
    if isinstance(block, LogError):
        return True
    return verdict is Verdict.HOLD and (not block.certain or isinstance(block, traces.Candidate))


def _is_trace(block: Block | None) -> bool:
    if isinstance(block, TableBlock):
        return block.is_trace
    return isinstance(block, python.Traceback | python.Group | traces.Candidate)


def _is_interrupt(block: Block) -> bool:
    if _INTERRUPTED.match(block.message):
        return True
    return block.kind in ("npm", "yarn", "pnpm") and any(
        _INTERRUPTED.match(text) for text in block.lines
    )
