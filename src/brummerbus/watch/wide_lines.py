"""Splits UTF-16 into lines without loss, as Windows programs and PowerShell write it."""

import codecs
from typing import NamedTuple

_CODECS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class WideLine(NamedTuple):
    """A line of UTF-16."""

    text: str
    ending: str
    """As bytes, it is the ending that was written: a newline and its NUL."""
    raw: bytes


ENDINGS = tuple(
    ending.encode(codec).decode("latin-1")
    for codec in _CODECS.values()
    for ending in ("\n", "\r\n")
)


START = 4
"""Bytes by which a stream of UTF-16 is known."""

_ALPHABETS = range(1, 0x700)
"""What its first character is one of; other bytes that begin like it are hardly text."""


def is_start(start: bytes) -> bool:
    """Whether a stream may turn out to be UTF-16 once it has more bytes than these."""
    return len(start) < START and any(mark.startswith(start[:2]) for mark in _CODECS)


def codec_of(start: bytes) -> str:
    """Return the codec of a stream that begins with a byte order mark of UTF-16, or nothing.

    Args:
        start: Its first bytes.
    """
    codec = _CODECS.get(start[:2], "")
    if not codec or len(start) < START:
        return ""
    first = int.from_bytes(start[2:4], "little" if codec == "utf-16-le" else "big")
    return codec if first in _ALPHABETS else ""


class WideSplitter:
    """Splits one stream into lines, independently of its chunks.

    Args:
        codec: That of the stream; the byte order mark is part of the first line's bytes.
        longest: Characters after which a line without an end is split.
    """

    def __init__(self, codec: str, longest: int) -> None:
        self._codec = codec
        self._longest = longest
        self._decoder = codecs.getincrementaldecoder(codec)("surrogatepass")
        self._open: list[str] = []
        self._open_size = 0
        self._first = True

    def feed(self, chunk: bytes) -> list[WideLine]:
        """Return the lines that the chunk completes."""
        text = self._decoder.decode(chunk)
        body, newline, rest = text.rpartition("\n")
        lines: list[WideLine] = []
        if newline:
            lines = [self._line(line, "\n") for line in self._taken(body).split("\n")]
        self._open.append(rest)
        self._open_size += len(rest)
        return lines + self._rest() if self._open_size >= self._longest else lines

    def finish(self) -> list[WideLine]:
        """Return the last line if the stream ended without a newline."""
        odd, _ = self._decoder.getstate()
        lines = self._rest()
        if odd:
            text, _, raw = lines.pop() if lines else self._line("", "")
            said = "".join(f"\\x{byte:02x}" for byte in odd)
            lines.append(WideLine(text + said, "", raw + odd))
        return lines

    def _taken(self, text: str) -> str:
        """Return what is open, with a text behind it."""
        taken = "".join((*self._open, text))
        self._open.clear()
        self._open_size = 0
        return taken

    def _rest(self) -> list[WideLine]:
        rest = self._taken("")
        return [self._line(rest, "")] if rest else []

    def _line(self, text: str, ending: str) -> WideLine:
        if ending and text.endswith("\r"):
            text, ending = text[:-1], "\r\n"
        raw = text.encode(self._codec, "surrogatepass")
        if self._first:
            self._first = False
            text = text.removeprefix("\ufeff")
        # Half of a pair of surrogates cannot be stored as text.
        said = text.encode(errors="backslashreplace").decode()
        return WideLine(said, ending.encode(self._codec).decode("latin-1"), raw)
