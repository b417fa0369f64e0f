"""Panics of Go and Rust, stack traces of Java and JavaScript."""

import re
from collections.abc import Iterable

from brummerbus.watch.detect.blocks import Block, Verdict
from brummerbus.watch.detect.table import groups
from brummerbus.watch.payloads import ErrorFound, LogLine

_GO = re.compile(
    r"(?:panic|fatal error): (?!too many errors)(?P<message>.+?)(?: \[recovered.*\])?\s*$"
)
_GO_MORE = re.compile(
    r"goroutine \d+|\[signal |\t|created by |exit status \d+|\s+panic: |runtime stack:|"
    r"[\w./*()-]+\(.*\)\s*$"
)
_GO_PLACE = re.compile(r"\t(?P<place>\S+\.go:\d+)")
_GO_LIBRARY = re.compile(r".*/go[^/]*(?:/[\d.]+/\w+)?/src/\w+/|_testmain\.go:")
"""Go's own packages, the first part of whose path below `src` has no dot, and what it generates."""
_RUST = re.compile(r"thread '.*?' (?:\(\d+\) )?panicked at (?P<rest>.+)")
_RUST_OLD = re.compile(r"'(?P<message>.*)', (?P<place>\S+:\d+:\d+)$")
_RUST_MORE = re.compile(r"\s|note: |stack backtrace:")
HEADER = re.compile(
    r"(?:Uncaught |Unhandled |Exception in thread \"[^\"]*\" |Caused by: )?"
    r"(?P<message>(?:[\w$]+[./])*[\w$]*(?:Error|Exception|Throwable|Failure|Rejection)\b"
    r"(?: \[\w+\])?(?::.*|$))"
)
_AT = re.compile(r"\s+at \S")
_AT_PLACE = re.compile(r"[( ](?P<place>(?!node:)(?:\[[\w ]+\]|[^\s()]+):\d+(?::\d+)?)\)?")
_NODE_PLACE = re.compile(r"(?:file://)?(?P<place>(?:/|[A-Za-z]:[\\/])\S+:\d+)\s*$")
_NODE_LINES = 5
_ELSEWHERE = re.compile(
    r"\s+(?P<terraform>on) (?P<file1>\S+) line (?P<line1>\d+)\b|"
    r"  (?P<file2>\S+\.(?P<sass>s[ac]ss)) (?P<line2>\d+:\d+)\s|"
    r"\s*(?P<solidity>-->) (?P<file3>\S+?):(?P<line3>\d+:\d+):?\s*$"
)
"""The place of an error that has no calls."""
_JAVA = re.compile(r"\((?:[\w$]+\.(?:java|kt|scala|groovy|clj):\d+|Native Method|Unknown Source)\)")
_MORE = re.compile(r"\s+at \S|\s+\.\.\. \d+ (?:more|common frames)|\s*(?:Caused by|Suppressed): ")


def start(line: LogLine, text: str) -> Block | None:
    """Return the panic that this line starts, if any."""
    if match := _GO.match(text):
        return GoPanic(line, text, match["message"])
    if match := _RUST.match(text):
        return RustPanic(line, text, match["rest"])
    return None


class GoPanic(Block):
    """The panic and its goroutines, with blank lines between them.

    A line is recognised by its shape: a goroutine's heading, a call, or an indented location.
    """

    kind = "go panic"
    _sure = False
    """Whether the location is in the program, not in Go's own packages."""

    def judge(self, text: str) -> Verdict:
        """Hold blank lines, take goroutines."""
        if not text.strip():
            return Verdict.HOLD
        if not _GO_MORE.match(text):
            return Verdict.END
        if not self._sure and (match := _GO_PLACE.match(text)):
            self._sure = _GO_LIBRARY.match(match["place"]) is None
            if self._sure or not self.location:
                self.location = match["place"]
        return Verdict.TAKE


class RustPanic(Block):
    """The location, then the message, then notes and frames.

    Older compilers print message and location on one line.
    """

    kind = "rust panic"

    def __init__(self, line: LogLine, text: str, rest: str) -> None:
        old = _RUST_OLD.match(rest)
        if old is None:
            super().__init__(line, text, location=rest.rstrip(":"))
        else:
            super().__init__(line, text, old["message"], old["place"])

    def judge(self, text: str) -> Verdict:
        """Take any line as the message, then only indented lines, notes and the backtrace."""
        if not self.message:
            self.message = text.strip() or "(no message)"
            return Verdict.TAKE
        return Verdict.TAKE if _RUST_MORE.match(text) else Verdict.END


class Candidate(Block):
    """A line that names an exception. It is an error only if a line `at ...` follows soon.

    Args:
        before: The lines before it: Node writes the place of a syntax error there, with its source.
        certain: It is an error in any case, and a trace only if one follows.
    """

    kind = "javascript"
    _LONGEST = 10

    def __init__(
        self, line: LogLine, text: str, message: str, before: Iterable[str], *, certain: bool
    ) -> None:
        super().__init__(line, text, message.strip())
        self._before = [*before][-_NODE_LINES:]
        self._seen = 0
        self._certain = certain
        self._confirmed = False
        self._in_braces = False

    def judge(self, text: str) -> Verdict:
        """Hold the message's further lines; take calls, causes, and the object Node appends."""
        if self._in_braces:
            self._in_braces = not text.startswith("}")
            return Verdict.TAKE
        if self._confirmed:
            if not _MORE.match(text):
                return Verdict.END
            self._note(text)
            return Verdict.TAKE
        if _AT.match(text):
            self._confirmed = True
            self._note(text)
            return Verdict.TAKE
        self._seen += 1
        if match := _ELSEWHERE.match(text):
            found = groups(match)
            self.kind = next(kind for kind in ("terraform", "sass", "solidity") if kind in found)
            self.location = f"{found['file']}:{found['line']}"
            self._confirmed = True
            return Verdict.TAKE
        if self._seen > self._LONGEST or HEADER.match(text):
            return Verdict.END
        return Verdict.HOLD

    def _note(self, text: str) -> None:
        if _JAVA.search(text):
            self.kind = "java"
        if not self.location and (match := _AT_PLACE.search(text)):
            self.location = match["place"]
        self._in_braces = text.endswith(" {")

    @property
    def complete(self) -> bool:
        """Whether a call was found, and no object is open."""
        return (self._confirmed or self._certain) and not self._in_braces

    @property
    def certain(self) -> bool:
        """Whether it is an error for certain."""
        return self._confirmed or self._certain

    def found(self) -> ErrorFound:
        """Return the payload; without a call the language is unknown."""
        if not self._confirmed:
            self.kind = "log"
        elif not self.location:
            for text in self._before:
                if match := _NODE_PLACE.match(text):
                    self.location = match["place"]
        return super().found()
