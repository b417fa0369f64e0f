"""Decides for each line which detectors must see it. Most lines need none, and cost 0.3 us.

A line is seen by a detector if it has one of the detector's hints. Logs repeat the same sentences
with other numbers, so what was decided for a line is kept for all that differ in digits only. Lines
that were read at once are looked up at once.
"""

import re
from collections.abc import Iterable

from brummerbus.watch.detect import builds, errors, results

ERRORS, RESULTS, BUILDS = 1, 2, 4
_NUMERIC = 8
"""The line has a level that may be a number, which is looked at each time."""

_MOST = 8192
"""Sentences that are kept."""
_MOST_CALM = 15
"""Beginnings of calm lines that are kept, and one more."""
_LONGEST = 500
"""Bytes of a sentence that is kept."""
_EXAMINED = 8000
"""Bytes of a line that are examined, the 2,000 characters that detectors examine."""
_DIGITS = b"0123456789"
_NO_DIGITS = str.maketrans("", "", "0123456789")
_CALM = re.compile(
    r"[\[(]?\d{2,4}[-/:]\d\d[-/:]\d\d[\d:.,TZ/+ -]*[\])]?(?:\s+\[[^\]]*\])?\s+"
    r"\[?(?:INFO|DEBUG|WARN|WARNING|TRACE|NOTICE)\b[\]:]?\s"
)
_LOUD = ('"level":5', '"level":6', '"level": 5', '"level": 6')


def is_calm(text: str) -> bool:
    """Whether it is the common case: a logger's line with a time stamp and a level, no error's."""
    return _CALM.match(text) is not None


class Gate:
    """Knows the hints of all detectors. Not thread-safe.

    Args:
        hints: Those of the table of errors.
        always: Whether the table has a pattern without a hint, so that no line can be skipped.
    """

    def __init__(self, hints: Iterable[str], *, always: bool) -> None:
        self._always = ERRORS if always else 0
        self._hints = (
            (ERRORS, _shortest({*errors.HINTS, *hints})),
            (RESULTS, _shortest(results.HINTS)),
            (BUILDS, _shortest(builds.HINTS)),
        )
        self._any = re.compile(_one_of({hint for _, some in self._hints for hint in some}))
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
        # Bytes, since removing digits from a text that is not ASCII is slow.
        sentences = text.encode().translate(None, _DIGITS).split(b"\n")
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
        wanted = self._wanted(text.encode().translate(None, _DIGITS))
        if wanted & _NUMERIC:
            wanted = (wanted & ~_NUMERIC) | (ERRORS if _is_loud(text) else 0)
        return wanted

    def _unless_calm(self, sentence: bytes, text: str) -> int:
        match = _CALM.match(text)
        if match is None:
            return self._wanted(sentence)
        start = match[0].encode().translate(None, _DIGITS)
        if start not in self._calm and len(start) <= _LONGEST:
            self._calm = (*self._calm[-_MOST_CALM:], start)
        return 0

    def _wanted(self, sentence: bytes) -> int:
        """Return what was decided for a sentence, or decide."""
        wanted = self._known.get(sentence)
        if wanted is None:
            wanted = self._decide(sentence[:_EXAMINED].decode(errors="ignore").lower())
            if len(self._known) >= _MOST:
                self._known.clear()
                self._quiet.clear()
                self._numeric.clear()
            if len(sentence) <= _LONGEST:
                self._known[sentence] = wanted
                if not wanted:
                    self._quiet.add(sentence)
                elif wanted == _NUMERIC:
                    self._numeric.add(sentence)
        return wanted

    def _decide(self, sentence: str) -> int:
        wanted = self._always
        if self._any.search(sentence):
            for detector, hints in self._hints:
                if any(hint in sentence for hint in hints):
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
    return any(part in text for part in _LOUD)


def _shortest(hints: Iterable[str]) -> tuple[str, ...]:
    """Return the hints that contain no other: if one of them is in a line, so is the shorter."""
    chosen: list[str] = []
    for hint in sorted({hint.translate(_NO_DIGITS) for hint in hints}, key=lambda h: (len(h), h)):
        if not any(shorter in hint for shorter in chosen):
            chosen.append(hint)
    return tuple(chosen)


def _one_of(words: Iterable[str]) -> str:
    """Return an expression for any of these words, a tree by their characters.

    It is four times as fast as a list of alternatives, which are tried one by one.
    """
    rests: dict[str, set[str]] = {}
    for word in words:
        if not word:
            return ""
        rests.setdefault(word[0], set()).add(word[1:])
    branches = [re.escape(first) + _one_of(rest) for first, rest in sorted(rests.items())]
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"
