"""Decides for each line which detectors must see it. Most lines need none, and cost 0.3 us.

A line is seen by a detector if it has one of the detector's hints, and what was decided for a
sentence is kept. Lines that were read at once are looked up at once.
"""

import re
from collections.abc import Iterable
from functools import cache

from brummerbus.watch.detect import builds, errors, results
from brummerbus.watch.detect.hints import LONGEST, MOST, any_of, sentence_of

ERRORS, RESULTS, BUILDS = 1, 2, 4
_NUMERIC = 8
"""The line has a level that may be a number, which is looked at each time."""

_MOST_CALM = 15
"""Beginnings of calm lines that are kept, and one more."""
_EXAMINED = 8000
"""Bytes of a line that are examined, the 2,000 characters that detectors examine."""
_CALM = re.compile(
    r"(?:[A-Za-z@][\w.@/-]*\s*\|\s+)?"
    r"[\[(]?\d{2,4}[-/:]\d\d[-/:]\d\d[\d:.,TZ/+ -]*[\])]?(?:\s+\[[^\]]*\])?\s+"
    r"\[?(?:INFO|DEBUG|WARN|WARNING|TRACE|NOTICE)\b[\]:]?\s"
    r"|(?P<json>\{\"level\":(?:[1-4]0|\"(?:info|debug|warn|trace)\"),)"
)
_LOUD = re.compile(r"\"level\": ?[56]")

_Each = tuple[int, re.Pattern[str]]
"""A detector, and the expression that finds its hints."""


def is_calm(text: str) -> bool:
    """Whether it is the common case: a logger's line at a level that is no error's.

    It has a time stamp, perhaps behind the name that compose or foreman writes, or it is JSON.
    """
    return _CALM.match(text) is not None


@cache  # each stream has a gate, and making the expressions takes milliseconds
def _expressions(hints: frozenset[str]) -> tuple[re.Pattern[str], tuple[_Each, ...]]:
    """Return the expression that finds a hint of any detector, and that of each."""
    hints |= errors.HINTS
    each = (
        (ERRORS, any_of(hints)),
        (RESULTS, any_of(results.HINTS, *results.EXPRESSIONS)),
        (BUILDS, any_of(builds.HINTS)),
    )
    return any_of(hints | results.HINTS | builds.HINTS, *results.EXPRESSIONS), each


class Gate:
    """Knows the hints of all detectors. Not thread-safe.

    Args:
        hints: Those of the table of errors.
        always: Whether the table has a pattern without a hint, so that no line can be skipped.
    """

    def __init__(self, hints: Iterable[str], *, always: bool) -> None:
        self._always = ERRORS if always else 0
        self._any, self._each = _expressions(frozenset(hints))
        self._known: dict[bytes, int] = {}
        self._quiet: set[bytes] = set()
        """Those that no detector must see, except calm ones."""
        self._numeric: set[bytes] = set()
        """Those that a detector must see only for a number that is a level."""
        self._calm: tuple[bytes, ...] = ()
        """How calm sentences begin; a program has few such beginnings."""

    def places(self, text: str) -> list[int]:
        """Return which lines a detector must see, as places from 0.

        Args:
            text: Lines with a newline between each two of them.
        """
        sentences = sentence_of(text).split(b"\n")
        quiet, calm = self._quiet, self._calm
        places = [
            place
            for place, sentence in enumerate(sentences)
            if not sentence.startswith(calm) and sentence not in quiet
        ]
        ignored = 0
        if places and not _is_loud(text):
            ignored, numeric = _NUMERIC, self._numeric
            places = [place for place in places if sentences[place] not in numeric]
        if not places:
            return []
        texts = text.split("\n")
        return [
            place
            for place in places
            if self._unless_calm(sentences[place], texts[place]) & ~ignored
        ]

    def detectors(self, text: str) -> int:
        """Return the detectors that must see a line, as a sum of `ERRORS`, `RESULTS`, `BUILDS`."""
        wanted = self._wanted(sentence_of(text))
        if wanted & _NUMERIC:
            wanted = (wanted & ~_NUMERIC) | (ERRORS if _is_loud(text) else 0)
        return wanted

    def _unless_calm(self, sentence: bytes, text: str) -> int:
        match = _CALM.match(text)
        if match is None:
            return self._wanted(sentence)
        start = sentence_of(match[0])
        if start not in self._calm and len(start) <= LONGEST and not match["json"]:
            self._calm = (*self._calm[-_MOST_CALM:], start)
        return 0

    def _wanted(self, sentence: bytes) -> int:
        """Return what was decided for a sentence, or decide."""
        wanted = self._known.get(sentence)
        if wanted is None:
            wanted = self._decide(sentence[:_EXAMINED].decode(errors="ignore").lower())
            if len(self._known) >= MOST:
                self._known.clear()
                self._quiet.clear()
                self._numeric.clear()
            if len(sentence) <= LONGEST:
                self._known[sentence] = wanted
                if not wanted:
                    self._quiet.add(sentence)
                elif wanted == _NUMERIC:
                    self._numeric.add(sentence)
        return wanted

    def _decide(self, sentence: str) -> int:
        wanted = self._always
        if self._any.search(sentence):
            for detector, hint in self._each:
                if hint.search(sentence):
                    wanted |= detector
        if sentence.startswith(errors.STARTS):
            wanted |= ERRORS
        if sentence.strip() == "..":  # the plan of TAP, `1..4`
            wanted |= RESULTS
        if '"level":' in sentence:
            wanted |= _NUMERIC
        return wanted


def _is_loud(text: str) -> bool:
    """Whether a level that is a number may be that of an error."""
    return _LOUD.search(text) is not None
