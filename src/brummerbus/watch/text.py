"""Text for reports and messages."""

import re
import unicodedata

_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")
"""A sequence for a terminal: CSI, OSC, or a short one."""
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
_CONTROLS[ord("\t")] = " "
_CONTROLS[ord("\r")] = " "
_CONTROLS[ord("\n")] = " "


def counted(n: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun: "1 line", "2,000 lines"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {plural or noun + 's'}"


def repeated(message: str, count: int) -> str:
    """Return a message with how often it occurred, if more than once: "no route (x8)"."""
    return message if count < 2 else f"{message} (x{count:,})"


def printable(text: str) -> str:
    """Return one line that controls no terminal: white space is a space, controls are in hex."""
    return text.translate(_CONTROLS)


def uncoloured(text: str) -> str:
    """Return a text without colours and other sequences for a terminal."""
    return _SEQUENCE.sub("", text) if "\x1b" in text else text


def only_coloured(text: str) -> str:
    """Return a text of whose sequences for a terminal only the colours are left."""
    return _SEQUENCE.sub(_kept, text) if "\x1b" in text else text


def _kept(match: "re.Match[str]") -> str:
    sequence = match[0]
    return sequence if sequence.startswith("\x1b[") and sequence.endswith("m") else ""


def cells(text: str) -> int:
    """Return how many columns of a terminal a text takes: East Asian characters take two."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.combining(character) > 0 for character in text)


def shortened(text: str, width: int) -> str:
    """Return a text in at most `width` columns, its end replaced by an ellipsis if need be."""
    if cells(text) <= width:
        return text
    kept = text[: max(width - 1, 0)]
    while kept and cells(kept) > width - 1:
        kept = kept[:-1]
    return kept + "…" if width > 0 else ""


def shortened_place(place: str, width: int) -> str:
    """Return a place in at most `width` columns: its end, with file name and line, is kept."""
    if cells(place) <= width:
        return place
    kept = place[len(place) - max(width - 1, 0) :]
    while kept and cells(kept) > width - 1:
        kept = kept[1:]
    return "…" + kept if width > 0 else ""


def is_from(process: str, host: str) -> bool:
    """Whether a process was watched on that host."""
    _, at, where = process.rpartition("@")
    name, dot, number = where.rpartition(".")
    return bool(at) and (where == host or (bool(dot) and name == host and number.isdecimal()))
