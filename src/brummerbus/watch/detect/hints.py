"""Hints: texts of which a line must have one to be looked at, and a memory of who has one where.

Logs repeat the same sentences with other numbers. What was decided for a sentence is kept for all
lines that differ from it in digits only, so hints are compared without digits, too.
"""

import re
from collections.abc import Iterable
from typing import Generic, TypeVar

EXAMINED = 2000
"""Characters of a line that are examined; patterns on a line of megabytes cost seconds."""
MOST = 8192
"""Sentences that are kept."""
LONGEST = 500
"""Bytes of a sentence that is kept."""

_DIGITS = b"0123456789"
_NO_DIGITS = str.maketrans("", "", "0123456789")
_Entry = TypeVar("_Entry")


def sentence_of(text: str) -> bytes:
    """Return a text without its digits."""
    # Bytes, since removing digits from a text that is not ASCII is slow.
    return text.encode().translate(None, _DIGITS)


class Hinted(Generic[_Entry]):
    """The entries of a table, by the hints of which a line must have one.

    Thread-safe: threads share only a dictionary of what each of them would compute again.

    Args:
        entries: In order, each with its hints in lower case; without any, it is for every line.
    """

    def __init__(self, entries: Iterable[tuple[_Entry, Iterable[str]]]) -> None:
        self._entries = tuple((entry, _shortest(hints)) for entry, hints in entries)
        self._known: dict[bytes, tuple[_Entry, ...]] = {}

    def of(self, lowered: str) -> tuple[_Entry, ...]:
        """Return the entries that have a hint in a line, and perhaps some that differ in digits.

        Args:
            lowered: The line in lower case.
        """
        sentence = sentence_of(lowered)
        found = self._known.get(sentence)
        if found is None:
            found = self._look(sentence.decode())
            if len(self._known) >= MOST:
                self._known.clear()
            if len(sentence) <= LONGEST:
                self._known[sentence] = found
        return found

    def _look(self, sentence: str) -> tuple[_Entry, ...]:
        found = []
        for entry, hints in self._entries:
            for hint in hints:  # a loop costs a fifth of `any`
                if hint in sentence:
                    found.append(entry)
                    break
            else:
                if not hints:
                    found.append(entry)
        return tuple(found)


def any_of(hints: Iterable[str], *more: str) -> re.Pattern[str]:
    """Return the expression that finds a hint in a sentence.

    Args:
        hints: In lower case.
        more: Expressions that count as hints.
    """
    words = set(_shortest(hints))
    return re.compile("|".join([*([_tree(words)] if words else []), *more]) or "(?!)")


def _shortest(hints: Iterable[str]) -> tuple[str, ...]:
    """Return the hints that contain no other: if one of them is in a line, so is the shorter."""
    chosen: list[str] = []
    for hint in sorted({hint.translate(_NO_DIGITS) for hint in hints}, key=lambda h: (len(h), h)):
        if not any(shorter in hint for shorter in chosen):
            chosen.append(hint)
    return tuple(chosen)


def _tree(words: Iterable[str]) -> str:
    """Return an expression for any of these words, a tree by their characters.

    It is four times as fast as a list of alternatives, which are tried one by one.
    """
    rests: dict[str, set[str]] = {}
    for word in words:
        if not word:
            return ""
        rests.setdefault(word[0], set()).add(word[1:])
    branches = [re.escape(first) + _tree(rest) for first, rest in sorted(rests.items())]
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"
