"""Errors described in a table: one section is one shape, `TableBlock` follows its lines."""

import re
from collections.abc import Sequence
from html import unescape

from brummerbus.watch.detect.blocks import Block, Verdict
from brummerbus.watch.detect.hints import Hinted
from brummerbus.watch.patterns import Pattern
from brummerbus.watch.payloads import LogLine

_LONGEST = 300
"""Lines after which the end of an error is no longer waited for."""
_HELD = 12
"""Lines that may stand between two lines of an error."""
_BACK = 40
"""Lines in front of an error among which its heading is looked for."""


class Table:
    """The patterns in use, by the hints that a line must have to be tried.

    Args:
        patterns: In order; the first that matches counts.
    """

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._hinted = Hinted((pattern, pattern.hints) for pattern in patterns)
        self.hints = frozenset(hint for pattern in patterns for hint in pattern.hints)
        self.always = any(not pattern.hints for pattern in patterns)
        """Whether some pattern has no hint, so that no line can be skipped."""

    def start(
        self, line: LogLine, text: str, lowered: str, before: Sequence[str], *, calm: bool
    ) -> tuple[Block | None, bool]:
        """Return the block that this line starts, and whether a pattern has claimed the line.

        Args:
            line: The line, for its number and time.
            text: Its text, without colours and prefixes.
            lowered: The same in lower case.
            before: The lines before it, in which a heading may stand.
            calm: Whether the line is logged at a level that is no error.
        """
        for pattern in self._hinted.of(lowered):
            if calm and "strong" not in pattern.flags:
                continue
            match = pattern.start.match(text)
            if match is None:
                continue
            if "ignore" in pattern.flags and pattern.get("more") is None:
                return None, True
            heading = _heading(pattern, before)
            if pattern.get("heading") is not None and heading is None:
                continue
            return TableBlock(line, text, pattern, match, heading), True
        return None, False


class TableBlock(Block):
    """An error of the table, from its first line to the last that the table says is its own."""

    def __init__(
        self,
        line: LogLine,
        text: str,
        pattern: Pattern,
        match: re.Match[str],
        heading: re.Match[str] | None,
    ) -> None:
        self.kind = pattern.kind
        self._pattern = pattern
        self._open_message = pattern.get("message") is not None
        self._confirmed = pattern.get("confirm") is None
        self._until = pattern.get("until") is not None
        self._dismissed = "ignore" in pattern.flags
        self._paragraph = "paragraph" in pattern.flags
        self._seen = 0
        self._holding = 0
        self._in_more = False
        headed = {} if heading is None else groups(heading)
        own = groups(match)
        message = own.get("message") or headed.get("message") or text.strip()
        if "xml" in pattern.flags:
            message = unescape(message)
        super().__init__(line, text, message, _location({**headed, **own}))

    def judge(self, text: str) -> Verdict:
        """Take, hold or leave the next line as the section says."""
        self._seen += 1
        if self._seen > _LONGEST:
            return Verdict.END
        verdict = self._judge(text)
        if verdict is Verdict.HOLD:
            self._holding += 1
            return verdict if self._holding <= _HELD else Verdict.END
        self._holding = 0
        if verdict is Verdict.TAKE:
            self._note(text)
            more = self._pattern.get("more")
            self._in_more = more is not None and more.match(text) is not None
        return verdict

    def _judge(self, text: str) -> Verdict:
        pattern = self._pattern
        if self._until:
            if pattern.regexes["until"].match(text):
                self._until = False
            return Verdict.TAKE
        if self._decides(text):
            return Verdict.TAKE
        if not text.strip():
            self._paragraph = False
            return Verdict.HOLD if "blank" in pattern.flags else Verdict.END
        if self._paragraph:
            return Verdict.TAKE
        chain = pattern.get("chain")
        if self._in_more and chain is not None and chain.match(text):
            return Verdict.TAKE
        message = pattern.get("message")
        if self._open_message and message is not None and message.match(text):
            return Verdict.TAKE
        for key in ("more", "after"):
            more = pattern.get(key)
            if more is not None and more.match(text):
                return Verdict.TAKE
        hold = pattern.get("hold")
        return Verdict.HOLD if hold is not None and hold.match(text) else Verdict.END

    def _decides(self, text: str) -> bool:
        """Whether the line says that it is an error, or that it is none."""
        confirm, unless = self._pattern.get("confirm"), self._pattern.get("unless")
        if not self._confirmed and confirm is not None and confirm.match(text):
            self._confirmed = True
            return True
        if unless is not None and unless.match(text):
            self._dismissed = True
            return True
        return False

    def _note(self, text: str) -> None:
        """Record the message and the location if this line has them."""
        message = self._pattern.get("message")
        match = message.match(text) if message is not None and self._open_message else None
        if match is not None and (found := groups(match).get("message")):
            self.message = found.strip()
            self._open_message = False
        if self.location and "deepest" not in self._pattern.flags:
            return
        for key in ("place", "confirm"):
            place = self._pattern.get(key)
            if place is not None and (match := place.match(text)):
                self.location = _location(groups(match))
                return

    @property
    def complete(self) -> bool:
        """Whether the error may end here."""
        return self.certain and not self._until

    @property
    def is_trace(self) -> bool:
        """Whether a logged error directly before it is the same error."""
        return "trace" in self._pattern.flags

    @property
    def ends(self) -> bool:
        """Whether it is an error only as the last thing that a process says."""
        return self._confirmed and "last" in self._pattern.flags

    @property
    def certain(self) -> bool:
        """Whether it is an error even if the stream ends here."""
        return self._confirmed and not self._dismissed and "last" not in self._pattern.flags


def groups(match: re.Match[str]) -> dict[str, str]:
    """Return the groups that matched; `message2` is another place for `message`."""
    return {name.rstrip("0123456789"): value for name, value in match.groupdict().items() if value}


def _location(found: dict[str, str]) -> str:
    place = found.get("file") or found.get("place", "")
    for key in ("line", "column"):
        if place and key in found:
            place += f":{found[key]}"
    return place.replace(" line ", ":")


def _heading(pattern: Pattern, before: Sequence[str]) -> re.Match[str] | None:
    """Return the last line before that is this pattern's heading."""
    heading = pattern.get("heading")
    if heading is not None:
        back = 1 if "adjacent" in pattern.flags else _BACK
        for text in list(before)[: -back - 1 : -1]:
            if match := heading.match(text):
                return match
    return None
