"""What the user of the view has chosen: process, filter, place in the output. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto


class Wish(Enum):
    """What a key asks of the watcher, beyond the view itself."""

    QUIT = auto()
    RESTART = auto()
    STOP = auto()


_ALL = 10**9
_STEPS = {
    "up": (-1, 0), "k": (-1, 0), "down": (1, 0), "j": (1, 0),
    "page up": (0, -1), "page down": (0, 1), " ": (0, 1),
    "home": (-_ALL, 0), "g": (-_ALL, 0), "end": (_ALL, 0), "G": (_ALL, 0),
}  # fmt: skip
"""Lines and pages that a key scrolls."""
_CHOOSE = {"right": 1, "tab": 1, "l": 1, "left": -1, "back tab": -1, "h": -1}
WISHES = {"q": Wish.QUIT, "r": Wish.RESTART, "s": Wish.STOP}
_ONE_PROCESS = ("r", "s")
"""Keys that mean the chosen process."""


@dataclass
class Choice:
    """The state of the view; `press` changes it."""

    names: Sequence[str]
    wishes: frozenset[Wish] = frozenset(Wish)
    """What the watcher can do; other keys have no effect."""
    process: str = ""
    """Empty: all processes."""
    filter: str = ""
    """Only lines with this text, in any case."""
    typing: bool = False
    """Whether keys are the text of the filter."""
    end: int | None = None
    """The number of the first line below the window; None: the window follows the newest line."""
    errors: bool = False
    """Errors with all their lines instead of the output."""
    bus: bool = False
    """The bus's own figures."""
    said: str = ""
    """A message about the last key."""
    page: int = 10
    """Lines that the window shows; set by who draws it."""
    shown: tuple[int, ...] = ()
    """Numbers of the lines that may be shown, in order; set by who draws them."""

    def press(self, key: str) -> Wish | None:
        """Take a key; return what it asks of the watcher."""
        self.said = ""
        if self.typing:
            self._type(key)
            return None
        if key in _STEPS:
            step, pages = _STEPS[key]
            self._scroll(step + pages * self.page)
        elif key in _CHOOSE:
            self._choose(_CHOOSE[key])
        elif key in WISHES and WISHES[key] not in self.wishes:
            pass
        elif key in _ONE_PROCESS and not self.process:
            self.said = "choose a process first, with the keys ← and →"
        elif key in WISHES:
            return WISHES[key]
        else:
            self._switch(key)
        return None

    def _switch(self, key: str) -> None:
        """Take a key that turns something on or off."""
        if key == "/":
            self.typing, self.end = True, None
        elif key == "e":
            self.errors, self.end = not self.errors, None
        elif key == "b":
            self.bus = not self.bus
        elif key == "escape":
            self.process, self.filter, self.errors, self.end = "", "", False, None

    def _type(self, key: str) -> None:
        """Take a key of the filter's text."""
        if key == "enter":
            self.typing = False
        elif key == "escape":
            self.typing, self.filter = False, ""
        elif key == "backspace":
            self.filter = self.filter[:-1]
        elif key == "clear":
            self.filter = ""
        elif len(key) == 1:
            self.filter += key

    def _choose(self, step: int) -> None:
        places = ["", *self.names]
        at = places.index(self.process) if self.process in places else 0
        self.process = places[(at + step) % len(places)]
        self.end = None

    def _scroll(self, step: int) -> None:
        """Move the window; at the newest line it follows again."""
        if not self.shown:
            return
        below = len(self.shown)
        if self.end is not None:
            below = sum(number < self.end for number in self.shown)
        below = max(min(below + step, len(self.shown)), min(self.page, len(self.shown)))
        self.end = None if below == len(self.shown) else self.shown[below]
