"""Decides for each line which detectors must see it. Most lines need none, and cost a microsecond.

A line is seen by a detector if it has one of the detector's hints. Logs repeat the same sentences
with other numbers, so what was decided for a line is kept for all that differ in digits only.
"""

from collections.abc import Iterable

from brummerbus.watch.detect import builds, errors, results

ERRORS, RESULTS, BUILDS = 1, 2, 4
_NUMERIC = 8
"""The line has a level that may be a number, which is looked at each time."""

_MOST = 8192
"""Sentences that are kept."""
_NO_DIGITS = str.maketrans("", "", "0123456789")
_LOUD = ('"level":5', '"level":6', '"level": 5', '"level": 6')


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
        self._known: dict[str, int] = {}

    def detectors(self, text: str) -> int:
        """Return the detectors that must see a line, as a sum of `ERRORS`, `RESULTS`, `BUILDS`."""
        sentence = text.translate(_NO_DIGITS)
        wanted = self._known.get(sentence)
        if wanted is None:
            if len(self._known) >= _MOST:
                self._known.clear()
            wanted = self._known[sentence] = self._decide(sentence.lower())
        if wanted & _NUMERIC:
            wanted = (wanted & ~_NUMERIC) | (ERRORS if any(part in text for part in _LOUD) else 0)
        return wanted

    def _decide(self, sentence: str) -> int:
        wanted = self._always
        for detector, hints in self._hints:
            if any(hint in sentence for hint in hints):
                wanted |= detector
        if sentence.startswith(errors.STARTS):
            wanted |= ERRORS
        if sentence.lstrip().startswith(".."):  # the plan of TAP, `1..4`
            wanted |= RESULTS
        if '"level":' in sentence:
            wanted |= _NUMERIC
        return wanted


def _shortest(hints: Iterable[str]) -> tuple[str, ...]:
    """Return the hints that contain no other: if one of them is in a line, so is the shorter."""
    chosen: list[str] = []
    for hint in sorted({hint.translate(_NO_DIGITS) for hint in hints}, key=lambda h: (len(h), h)):
        if not any(shorter in hint for shorter in chosen):
            chosen.append(hint)
    return tuple(chosen)
