"""Splits the bytes of a pipe into lines without loss: joined again they are the same bytes."""

from collections.abc import Iterator
from itertools import repeat
from typing import NamedTuple

MAX_LENGTH = 64 * 1024 * 1024
"""Bytes after which a line without an end is split (into pieces with no `ending`), so that a
process that never prints a newline cannot exhaust memory. Shorter lines stay whole."""


class Piece(NamedTuple):
    """One line, with the fields of `LogLine`."""

    text: str
    ending: str
    raw: bytes | None


class LineSplitter:
    """Splits one stream into lines at each newline byte, independently of its chunks.

    Not thread-safe: each stream has one reader.
    """

    def __init__(self, longest: int = MAX_LENGTH) -> None:
        self._longest = longest
        # A list, joined once: concatenating chunks would make a long line quadratic.
        self._open: list[bytes] = []
        self._open_size = 0

    def feed(self, chunk: bytes) -> list[Piece]:
        """Return the lines that the chunk completes."""
        end = chunk.rfind(b"\n")
        if end < 0:
            return self._keep(chunk)
        body = chunk[:end]
        if self._open:
            body = b"".join((*self._open, body))
            self._open.clear()
            self._open_size = 0
        lines = list(_decoded(body))
        if end + 1 < len(chunk):
            lines += self._keep(chunk[end + 1 :])
        return lines

    def finish(self) -> list[Piece]:
        """Return the last line if the stream ended without a newline."""
        rest = b"".join(self._open)
        self._open.clear()
        self._open_size = 0
        return [_piece(rest, "")] if rest else []

    def _keep(self, chunk: bytes) -> list[Piece]:
        self._open.append(chunk)
        self._open_size += len(chunk)
        return self.finish() if self._open_size >= self._longest else []


def _decoded(body: bytes) -> Iterator[Piece]:
    """Yield the lines of a body without its last newline."""
    try:
        # Decoding all lines in one call is several times faster than line by line.
        body_text = body.decode()
    except UnicodeDecodeError:
        for line in body.split(b"\n"):
            if line.endswith(b"\r"):
                yield _piece(line[:-1], "\r\n")
            else:
                yield _piece(line, "\n")
        return
    texts = body_text.split("\n")
    if "\r" not in body_text:
        # The common case, without a step of the interpreter for each line.
        yield from map(Piece, texts, repeat("\n"), repeat(None))
        return
    for text in texts:
        if text.endswith("\r"):
            yield Piece(text[:-1], "\r\n", None)
        else:
            yield Piece(text, "\n", None)


def _piece(line: bytes, ending: str) -> Piece:
    try:
        return Piece(line.decode(), ending, None)
    except UnicodeDecodeError:
        # Readable in a terminal and storable as text; `raw` keeps the original bytes.
        return Piece(line.decode(errors="backslashreplace"), ending, line)
