"""Splits the bytes of a pipe into lines without loss: joined again they are the same bytes."""

from typing import NamedTuple

from brummerbus.watch.wide_lines import WideLine, WideSplitter, codec_of, is_start

MAX_LENGTH = 64 * 1024 * 1024
"""Bytes after which a line without an end is split (into pieces with no `ending`), so that a
process that never prints a newline cannot exhaust memory. Shorter lines stay whole."""


class Lines(NamedTuple):
    """Lines that came together, with the fields of `LogLines`."""

    text: str
    total: int
    endings: tuple[str, ...] = ()
    raws: dict[int, bytes] = {}  # noqa: RUF012 - never changed


class LineSplitter:
    """Splits one stream into lines at each newline byte, independently of its chunks.

    A stream that begins with a byte order mark of UTF-16 is decoded as that, and split at newlines.

    Not thread-safe: each stream has one reader.
    """

    def __init__(self, longest: int = MAX_LENGTH) -> None:
        self._longest = longest
        # A list, joined once: concatenating chunks would make a long line quadratic.
        self._open: list[bytes] = []
        self._open_size = 0
        self._start: bytes | None = b""
        """The first bytes; None once it is known what the stream is."""
        self._wide: WideSplitter | None = None

    def feed(self, chunk: bytes) -> list[Lines]:
        """Return the lines that the chunk completes, together where possible."""
        if self._start is not None:
            chunk = self._start + chunk
            self._start = chunk if is_start(chunk) else None
            if self._start is not None:
                return []
            if codec := codec_of(chunk):
                self._wide = WideSplitter(codec, self._longest // 2)
        if self._wide is not None:
            return _widened(self._wide.feed(chunk))
        end = chunk.rfind(b"\n")
        if end < 0:
            return self._keep(chunk)
        body = chunk[:end]
        if self._open:
            body = b"".join((*self._open, body))
            self._open.clear()
            self._open_size = 0
        lines = [_decoded(body)]
        if end + 1 < len(chunk):
            lines += self._keep(chunk[end + 1 :])
        return lines

    def finish(self) -> list[Lines]:
        """Return the last line if the stream ended without a newline."""
        if self._wide is not None:
            return _widened(self._wide.finish())
        if self._start:
            start, self._start = self._start, None
            return [*self.feed(start), *self.finish()]
        rest = b"".join(self._open)
        self._open.clear()
        self._open_size = 0
        if not rest:
            return []
        text, raw = _text(rest)
        return [Lines(text, 1, ("",), {} if raw is None else {0: raw})]

    def _keep(self, chunk: bytes) -> list[Lines]:
        self._open.append(chunk)
        self._open_size += len(chunk)
        return self.finish() if self._open_size >= self._longest else []


def _widened(lines: list[WideLine]) -> list[Lines]:
    """Return lines of UTF-16 together; they have their own bytes, since they are not UTF-8."""
    if not lines:
        return []
    raws = {place: line.raw for place, line in enumerate(lines)}
    text = "\n".join(line.text for line in lines)
    return [Lines(text, len(lines), tuple(line.ending for line in lines), raws)]


def _decoded(body: bytes) -> Lines:
    """Return the lines of a body without its last newline."""
    try:
        # Decoding all lines in one call is several times faster than line by line.
        text = body.decode()
    except UnicodeDecodeError:
        return _each_decoded(body)
    # One character is found fifty times as fast as two.
    if "\r" not in text or ("\r\n" not in text and not text.endswith("\r")):
        return Lines(text, text.count("\n") + 1)
    endings = tuple("\r\n" if line.endswith("\r") else "\n" for line in text.split("\n"))
    return Lines(text.replace("\r\n", "\n").removesuffix("\r"), len(endings), endings)


def _each_decoded(body: bytes) -> Lines:
    """Return the lines of a body that is not UTF-8 as a whole."""
    texts, endings, raws = [], [], {}
    for place, line in enumerate(body.split(b"\n")):
        text, raw = _text(line.removesuffix(b"\r"))
        texts.append(text)
        endings.append("\r\n" if line.endswith(b"\r") else "\n")
        if raw is not None:
            raws[place] = raw
    return Lines("\n".join(texts), len(texts), tuple(endings), raws)


def _text(line: bytes) -> tuple[str, bytes | None]:
    """Return a line's text, and its own bytes if they are not UTF-8."""
    try:
        return line.decode(), None
    except UnicodeDecodeError:
        # Readable in a terminal and storable as text; the bytes are the original.
        return line.decode(errors="backslashreplace"), line
