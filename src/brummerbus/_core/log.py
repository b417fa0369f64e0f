"""The logger of the library, and the format of events in its messages."""

import reprlib
from typing import Any

from brummerbus._core import deferred
from brummerbus._events import Event

INFO, WARNING, ERROR = 20, 30, 40
"""The levels of `logging`, which is imported with the first bus."""

MAX_SHOWN = 200
"""Characters of an event in a log line."""

_PLAIN = (int, float, complex, bool, type(None))
_SIZED = (str, bytes, bytearray)
_CONTAINERS = (list, tuple, dict, set, frozenset)


def log(level: int, message: str, *arguments: object, **options: Any) -> None:
    """Log where only a KeyboardInterrupt may be raised: a logging handler may raise anything."""
    try:
        deferred.logger.log(level, message, *arguments, **options)
    except KeyboardInterrupt:
        raise
    except BaseException:
        pass


class _Shortener(reprlib.Repr):
    """Formats builtin values, shortened before their repr is computed; of others only the class.

    A repr defined by the program may take long, or take a lock that the publisher holds.
    """

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxlist = self.maxtuple = self.maxdict = 4
        self.maxstring = self.maxother = 80

    def repr1(self, x: Any, level: int) -> str:
        cls = type(x)
        if cls in _SIZED:
            return _sized(x, self.maxstring)
        if cls is int and x.bit_length() > 1000:  # Python may refuse to convert it to digits
            return f"<int of {x.bit_length():,} bits>"
        if cls in _PLAIN:
            return super().repr_int(x, level) if cls is int else repr(x)
        if cls in _CONTAINERS:
            return super().repr1(x, level)
        return f"<{cls.__module__}.{cls.__qualname__} object>"

    # As lists: reprlib would sort them, that is, compare their items.
    def repr_set(self, x: Any, level: int) -> str:
        return "{" + self.repr_list(list(x), level)[1:-1] + "}" if x else "set()"

    def repr_frozenset(self, x: Any, level: int) -> str:
        return "frozenset({" + self.repr_list(list(x), level)[1:-1] + "})"

    def repr_dict(self, x: Any, level: int) -> str:
        if level <= 0 or not x:
            return "{...}" if x else "{}"
        items = [(key, x[key]) for _, key in zip(range(self.maxdict), x, strict=False)]
        pieces = [f"{self.repr1(k, level - 1)}: {self.repr1(v, level - 1)}" for k, v in items]
        return "{" + ", ".join([*pieces, *(["..."] if len(x) > self.maxdict else [])]) + "}"


def _sized(value: Any, limit: int) -> str:
    text = repr(value[:limit])
    return f"{text}... ({len(value):,} long)" if len(value) > limit else text


_shortener = _Shortener()


def shown_event(event: object) -> str:
    """Format an event for a log line: type, id and data, at most 200 characters.

    It runs no code of the program: it may be called where the publisher holds locks.
    """
    try:
        if isinstance(event, Event):
            data = _shortener.repr(event.data)
            text = f"<{type(event).__name__} #{event.id} {event.type[:80]} {data}>"
        else:
            text = f"<{type(event).__module__}.{type(event).__qualname__} object>"
    except Exception:
        text = f"<{type(event).__qualname__}>"
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 4]}...>"
