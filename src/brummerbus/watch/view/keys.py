"""Bytes of a terminal's keyboard to names of keys."""

import codecs

_SEQUENCES = {
    "[A": "up", "[B": "down", "[C": "right", "[D": "left",
    "OA": "up", "OB": "down", "OC": "right", "OD": "left",
    "[H": "home", "[F": "end", "OH": "home", "OF": "end",
    "[1~": "home", "[4~": "end", "[7~": "home", "[8~": "end",
    "[5~": "page up", "[6~": "page down", "[Z": "back tab",
}  # fmt: skip
"""What follows ESC, in the normal and the application mode of cursor keys."""

_CONTROLS = {
    "\t": "tab", "\r": "enter", "\n": "enter", "\x7f": "backspace", "\x08": "backspace",
    "\x15": "clear",
}  # fmt: skip


class Keys:
    """Decodes what is read from a terminal; a character of several bytes may come in pieces."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")

    def feed(self, data: bytes) -> list[str]:
        """Return the keys: printable characters as they are, others by name; unknown ones not.

        A terminal sends a sequence at once, so an ESC at the end is the key itself.
        """
        text = self._decoder.decode(data)
        keys: list[str] = []
        at = 0
        while at < len(text):
            character = text[at]
            at += 1
            if character == "\x1b":
                key, at = _sequence(text, at)
            else:
                key = character if character.isprintable() else _CONTROLS.get(character, "")
            if key:
                keys.append(key)
        return keys


def _sequence(text: str, at: int) -> tuple[str, int]:
    """Return the key whose sequence begins behind an ESC, and where the next one begins."""
    if at == len(text) or text[at] not in "[O":
        return "escape", at
    end = at + 1
    while end < len(text) and not "@" <= text[end] <= "~":
        end += 1
    return _SEQUENCES.get(text[at : end + 1], ""), end + 1
