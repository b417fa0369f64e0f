"""Masks secrets in what the watched processes print, before anything else sees it.

The lines are masked where they are read. So a secret is neither printed nor stored, and whatever
is made of the lines (errors, names of tests, the live view, reports) never had it.
"""

import argparse
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from brummerbus.watch.lines import Lines
from brummerbus.watch.text import uncoloured

MASK = "[redacted]"
"""What stands in the place of a secret."""


class RedactError(Exception):
    """A pattern cannot be used, in one line."""


class Redactor:
    r"""Masks what the patterns match. Immutable, so thread-safe.

    A pattern with groups masks its groups and keeps the rest: `password=(\S+)` leaves
    `password=[redacted]`. One without, or none of whose groups took part, masks all it matched.

    Args:
        patterns: Regular expressions of Python's `re`; each is searched in each line.

    Raises:
        RedactError: One is not a regular expression, or matches the empty text.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._patterns = [_compiled(pattern) for pattern in patterns]

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def __call__(self, text: str) -> str:
        """Return a text with its secrets masked."""
        masked = self._masked(text)
        if "\x1b" in masked:
            # A colour within a secret would hide it from the pattern; such a text loses all.
            plain = uncoloured(masked)
            uncovered = self._masked(plain)
            if uncovered != plain:
                return uncovered
        return masked

    def lines(self, read: Iterable[Lines]) -> Iterator[Lines]:
        """Yield lines with their secrets masked; a changed line has no original bytes."""
        for lines in read:
            before = lines.text.split("\n")
            places = self._touched(before)
            if not places:
                yield lines
                continue
            after = before.copy()
            for place in places:
                after[place] = self(before[place])
            raws = {
                place: raw for place, raw in lines.raws.items() if after[place] == before[place]
            }
            yield lines._replace(text="\n".join(after), raws=raws)

    def _touched(self, texts: list[str]) -> set[int]:
        """Return the places of texts that may change; all others cost a search per pattern only."""
        places = {place for place, text in enumerate(texts) if "\x1b" in text}
        for pattern in self._patterns:
            found = map(pattern.search, texts)
            places.update(place for place, match in enumerate(found) if match is not None)
        return places

    def _masked(self, text: str) -> str:
        for pattern in self._patterns:
            if spans := [span for match in pattern.finditer(text) for span in _spans(match)]:
                text = _without(text, spans)
        return text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is masked to a parser."""
    parser.add_argument(
        "--redact",
        action="append",
        default=[],
        metavar="REGEX",
        help="mask what this matches, or its groups if it has some; can be repeated",
    )
    parser.add_argument(
        "--redact-file",
        action="append",
        default=[],
        metavar="FILE",
        help="mask what the lines of FILE match, each one a REGEX; can be repeated",
    )


def from_arguments(args: argparse.Namespace) -> Redactor:
    """Return what the options say.

    Raises:
        RedactError: A pattern cannot be used, or a file cannot be read.
    """
    from_files = [pattern for path in args.redact_file for pattern in read_patterns(path)]
    return Redactor([*args.redact, *from_files])


def read_patterns(path: str) -> list[str]:
    """Return the patterns of a file: one per line, without blank lines and those that begin with #.

    Raises:
        RedactError: It cannot be read, or has none.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise RedactError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise RedactError(f"{path}: not UTF-8 at byte {error.start}") from None
    patterns = [line for line in lines if line.strip() and not line.startswith("#")]
    if not patterns:
        raise RedactError(f"{path}: no pattern in it")
    return patterns


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise RedactError(f"--redact: {pattern!r} is no regular expression: {error}") from None
    if compiled.match(""):
        raise RedactError(f"--redact: {pattern!r} matches the empty text, so every line")
    return compiled


def _spans(match: re.Match[str]) -> Iterator[tuple[int, int]]:
    """Yield the places of a match that are secret: those of its groups, or all of it."""
    groups = [match.span(number) for number in range(1, len(match.groups()) + 1)]
    taken = [span for span in groups if span[0] < span[1]]
    yield from taken or [match.span()]


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    """Return a text with the mask in the place of each span; spans may overlap."""
    parts: list[str] = []
    end = 0
    for first, last in sorted(spans):
        if first >= last or last <= end:
            continue  # nothing was matched, or it lies in the span before
        if first >= end:
            parts += (text[end:first], MASK)
        end = last
    return "".join((*parts, text[end:]))
