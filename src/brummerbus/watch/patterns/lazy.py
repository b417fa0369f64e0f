"""Expressions that are compiled when they are first used: a run uses few of those in the tables."""

import re
from collections.abc import Callable


class Lazy:
    """A regular expression. Thread-safe: two threads that use it first both compile it.

    Args:
        text: The expression; that it is one shows when it is used.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.match: Callable[[str], re.Match[str] | None] = self._first_match

    def _first_match(self, text: str) -> re.Match[str] | None:
        self.match = re.compile(self.text).match
        return self.match(text)
