"""Starts and ends errors in one stream: the state machine that drives the blocks."""

import re
from collections.abc import Iterator

from brummerbus.watch.detect.blocks import Block, Verdict
from brummerbus.watch.detect.compilers import PlainError
from brummerbus.watch.detect.compilers import start as start_compiler_error
from brummerbus.watch.detect.python import Traceback
from brummerbus.watch.detect.python import start as start_traceback
from brummerbus.watch.detect.traces import HEADER, Candidate
from brummerbus.watch.detect.traces import start as start_trace
from brummerbus.watch.payloads import ErrorFound, LogLine

_HINTS = (
    "error",
    "traceback",
    "exception",
    "fatal",
    "critical",
    "panic",
    "undefined reference",
    'file "',
    ".go:",
    "throwable",
    "failure",
    "npm err!",
)
"""A line without any of these starts no error; most lines are skipped by this test."""

_PLAIN = re.compile(r"error: (?P<message>.+)")
_SUMMARY = re.compile(
    r"error: (?:could not compile|aborting due to|build failed|test failed, to rerun|"
    r"process didn't exit successfully)"
)
"""Summaries of rustc and cargo after errors that have been found already."""

_LEVEL = re.compile(r"(?<![\w./=-])(?:ERROR|CRITICAL|FATAL)(?![\w./=(-])")
_STRUCTURED = re.compile(
    r"\blevel=\"?(?:error|fatal|critical|panic)\b|"
    r"\"(?:level|severity|levelname)\": ?\"(?:error|fatal|critical)\"",
    re.IGNORECASE,
)
_NPM = re.compile(r"npm (?:ERR!|error) (?P<message>\S.*)")
_STAMPED = re.compile(r"[\d\[\]|:(<]| - ")
_FURTHEST = 120
"""A level is near the start of its line; further on the word is part of a sentence."""


class LogError(Block):
    """A line that is logged at level error. A trace directly after it belongs to it."""

    kind = "log"

    def judge(self, text: str) -> Verdict:  # noqa: ARG002
        """End at the next line; `ErrorDetector` joins a trace that starts there."""
        return Verdict.END


class ErrorDetector:
    """Finds the errors of one stream; feed it every line in order."""

    def __init__(self) -> None:
        self._block: Block | None = None
        self._held: list[tuple[LogLine, str, bool]] = []

    @property
    def waits(self) -> bool:
        """Whether an error is complete but not returned yet."""
        block = self._block
        if block is None:
            return False
        # If a block is not certain to be an error, the logged error before it is complete anyway.
        return block.complete or (block.leader is not None and not block.certain)

    def feed(self, line: LogLine, text: str, *, claimed: bool = False) -> Iterator[ErrorFound]:
        """Yield the errors that end before this line.

        Args:
            line: The line, for its number and time.
            text: Its text to examine, without colours.
            claimed: Another detector has recognised this line, so it starts no error.
        """
        block = self._block
        if block is None:
            self._block = None if claimed else _start(line, text)
            return
        verdict = block.judge(text)
        if verdict is Verdict.HOLD and not block.certain and not claimed and _start(line, text):
            # A block that is not certain to be an error must not delay a certain one.
            verdict = Verdict.END
        if verdict is Verdict.TAKE:
            for held_line, held_text, _ in self._held:
                block.take(held_line, held_text)
            self._held.clear()
            block.take(line, text)
        elif verdict is Verdict.HOLD:
            self._held.append((line, text, claimed))
        else:
            following = None if claimed or self._held else _follower(block, line, text)
            if following is None:
                yield from self.finish()
                yield from self.feed(line, text, claimed=claimed)
            self._block = following or self._block

    def finish(self) -> Iterator[ErrorFound]:
        """Yield the open error, and those in the lines that were held for it."""
        while self._block is not None:
            block, self._block = self._block, None
            held, self._held = self._held, []
            if block.certain:
                yield block.found()
            elif block.leader is not None:
                yield block.leader.found()
            for held_line, held_text, claimed in held:
                yield from self.feed(held_line, held_text, claimed=claimed)


def _follower(block: Block, line: LogLine, text: str) -> Block | None:
    """Return the trace that starts directly after a logged error, and join them."""
    if not isinstance(block, LogError):
        return None
    following = _start(line, text)
    if not isinstance(following, Traceback | Candidate):
        return None
    following.lead(block)
    return following


def _start(line: LogLine, text: str) -> Block | None:
    lowered = text.lower()
    for hint in _HINTS:
        if hint in lowered:
            break
    else:
        return None
    block = (
        start_traceback(line, text) or start_compiler_error(line, text) or start_trace(line, text)
    )
    if block is not None:
        return block
    if match := HEADER.match(text):
        return Candidate(line, text, match["message"])
    if match := _PLAIN.match(text):
        if _SUMMARY.match(text):
            return None
        return PlainError(line, text, match["message"].strip())
    if _is_logged_error(text):
        return LogError(line, text, text.strip())
    return None


def _is_logged_error(text: str) -> bool:
    """Whether the line has a level above warning, at the position where loggers write it."""
    if match := _LEVEL.search(text, 0, _FURTHEST):
        before = text[: match.start()].strip()
        return not before or _STAMPED.search(before) is not None
    return _STRUCTURED.search(text) is not None or _NPM.match(text) is not None
