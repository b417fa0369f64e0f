"""Splits UTF-16 into lines without loss, as Windows programs and PowerShell write it."""

import codecs
from typing import NamedTuple

_CODECS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_UTF32 = codecs.BOM_UTF32_LE


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


def codec_of(start: bytes) -> str:
    """Return the codec of a stream that begins with a byte order mark of UTF-16, or nothing.

    Args:
        start: Its first bytes.
    """
    return "" if start[:4] == _UTF32 else _CODECS.get(start[:2], "")


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
