"""Python's tracebacks: one error from `Traceback` to the exception, chained ones included."""

import re

from brummerbus.watch.detect.blocks import Block, Verdict
from brummerbus.watch.payloads import LogLine

_START = re.compile(r"(\s*)(?:\^C)?Traceback \(most recent call last\):\s*$")
_GROUP = re.compile(r"\s*\+ Exception Group Traceback \(most recent call last\):\s*$")
_GROUP_LINE = re.compile(r"\s*[|+]")
_GROUP_ERROR = re.compile(r"\s*\| (\w[\w.]*: .*)")
_FRAME = re.compile(r'[\s|>]*File "(?P<file>[^"]+)", line (?P<line>\d+)')
_SYNTAX = re.compile(r'(?:\*\*\*)?\s+File "(?P<file>[^"]+)", line (?P<line>\d+)\s*$')
_SYNTAX_ERROR = re.compile(r"\w*(?:Error|Warning)\b")
_CHAIN = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)
_BETWEEN = ("", '"""', "'''")
"""What may stand between chained tracebacks; the one of another process is quoted."""


def start(line: LogLine, text: str) -> Block | None:
    """Return the block that this line starts, if any."""
    if "Traceback (" in text:
        if match := _START.match(text):
            return Traceback(line, text, indent=match[1])
        if _GROUP.match(text):
            return Group(line, text)
    elif (match := _SYNTAX.match(text)) is not None:
        return SyntaxProblem(line, text, match["file"], match["line"])
    return None


class Traceback(Block):
    """Frames are indented; the first line that is not indented is the exception.

    After it only a chained traceback can belong to the error, after a blank line and a sentence.
    The second line of a message cannot be recognised and is omitted.
    """

    kind = "python"

    def __init__(self, line: LogLine, text: str, *, indent: str) -> None:
        self._indent = indent
        self._cut = False
        """Whether the last line was the first part of a frame, which a narrow table has broken."""
        self._in_frames = True
        self._chained = False
        super().__init__(line, text, message="Traceback without its end")

    def judge(self, text: str) -> Verdict:
        """Take frames, the exception, and the sentence between chained tracebacks."""
        body = text.removeprefix(self._indent)
        if self._in_frames:
            return self._judge_frame(body)
        if body.strip() in _BETWEEN:
            return Verdict.HOLD
        if body.strip() in _CHAIN:
            self._chained = True
            return Verdict.HOLD
        if self._chained and _START.match(text):
            self._in_frames, self._chained = True, False
            return Verdict.TAKE
        return Verdict.END

    def _judge_frame(self, body: str) -> Verdict:
        if match := _FRAME.match(body):
            self.location = f"{match['file']}:{match['line']}"
            self._cut = body.rstrip().endswith(", in")
        elif body and not body[0].isspace() and not self._cut:
            self.message = body.strip()
            self._in_frames = False
        else:
            self._cut = False
        return Verdict.TAKE

    @property
    def complete(self) -> bool:
        """Whether the exception was found, and no chained traceback follows."""
        return not self._in_frames and not self._chained


class Group(Block):
    """An exception group: every line of it begins with its mark."""

    kind = "python"

    def __init__(self, line: LogLine, text: str) -> None:
        super().__init__(line, text, message="Exception group")
        self._named = False

    def judge(self, text: str) -> Verdict:
        """Take marked lines; the first exception is the message."""
        if not _GROUP_LINE.match(text):
            return Verdict.END
        if match := _FRAME.match(text):
            if not self._named:  # the innermost frame of the group itself
                self.location = f"{match['file']}:{match['line']}"
        elif not self._named and (match := _GROUP_ERROR.match(text)):
            self.message = match[1].strip()
            self._named = True
        return Verdict.TAKE


class SyntaxProblem(Block):
    """Python's report of source it cannot compile: the location, the source, and the exception.

    Before the exception it may be something else, so its lines are only held.
    """

    kind = "python"
    _LONGEST = 6

    def __init__(self, line: LogLine, text: str, file: str, number: str) -> None:
        super().__init__(line, text, location=f"{file}:{number}")
        self._seen = 0

    def judge(self, text: str) -> Verdict:
        """Hold the source, take the exception, and end."""
        self._seen += 1
        if self.message or self._seen > self._LONGEST:
            return Verdict.END
        if text[:1].isspace():
            return Verdict.HOLD
        if _SYNTAX_ERROR.match(text):
            self.message = text.strip()
            return Verdict.TAKE
        return Verdict.END

    @property
    def complete(self) -> bool:
        """Whether the exception was found."""
        return bool(self.message)

    @property
    def certain(self) -> bool:
        """Whether it is an error for certain."""
        return bool(self.message)
