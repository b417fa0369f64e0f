"""Subjects of events and filters of consumers: `<namespace>.evt.<type>`.

An event type is a sequence of tokens with dots between them, as a subject is. What a token cannot
contain is percent-encoded; a token without characters, as in `a..b`, is a lone `%`. So every event
type has one subject, and every subject one event type.

A glob is no subject filter: its `*` matches dots too, and it has `?` and `[...]`. A filter may let
more pass than its glob; `Globs` decides.
"""

import fnmatch
import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote, unquote

from brummerbus._arguments import shown

EVENTS = "evt"
DEAD = "dead"

_SAFE = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in "%.*>")
_WILD = re.compile(r"[*?\[]")
_PLAIN = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def check_namespace(value: object) -> str:
    """Return a namespace.

    Raises:
        TypeError, ValueError: It is no string, or not tokens of letters, digits, `-` and `_` with
            dots between them.
    """
    if not isinstance(value, str):
        raise TypeError(f"namespace must be a string, got {shown(value)}")
    if not _PLAIN.fullmatch(value):
        raise ValueError(
            f"namespace must be letters, digits, '-' and '_', with dots between, got {shown(value)}"
        )
    return value


def _token(text: str) -> str:
    return quote(text, safe=_SAFE, errors="surrogatepass") if text else "%"


def _text(token: str) -> str:
    """Return what a token says: the inverse of `_token`; of a stranger's, what can be read."""
    try:
        return "" if token == "%" else unquote(token, errors="surrogatepass")
    except UnicodeDecodeError:
        return unquote(token)


def subject(namespace: str, channel: str, event_type: str) -> str:
    """Return the subject of an event type, in the channel of events or that of dead letters."""
    if not _PLAIN.fullmatch(event_type):
        event_type = ".".join(map(_token, event_type.split(".")))
    return f"{namespace}.{channel}.{event_type}"


def type_of(namespace: str, subject: str) -> str:
    """Return the event type of a subject; the inverse of `subject`."""
    encoded = subject[len(namespace) + 1 :].partition(".")[2]
    if "%" not in encoded:
        return encoded
    return ".".join(map(_text, encoded.split(".")))


def subject_filter(namespace: str, event_type: str) -> str:
    """Return a filter that lets everything pass that an event type or a glob matches.

    Of a glob, the tokens before the first wildcard remain: `process.*` is `process.>`, and `a.b*`
    is `a.>`.
    """
    wildcard = _WILD.search(event_type)
    if wildcard is None:
        return subject(namespace, EVENTS, event_type)
    prefix, dot, _ = event_type[: wildcard.start()].rpartition(".")
    return f"{subject(namespace, EVENTS, prefix)}.>" if dot else f"{namespace}.{EVENTS}.>"


def subject_filters(namespace: str, event_types: Iterable[str]) -> list[str]:
    """Return the filters of several, without those that another one covers."""
    found = dict.fromkeys(subject_filter(namespace, one) for one in event_types)
    return [one for one in found if not any(_covers(other, one) for other in found)]


def _covers(wide: str, narrow: str) -> bool:
    return wide != narrow and wide.endswith(".>") and narrow.startswith(wide[:-1])


class Globs:
    """Event types and globs; says which of them match an event type, as a bus would."""

    def __init__(self, event_types: Sequence[str]) -> None:
        self._match = [re.compile(_regex(one)).fullmatch for one in event_types]
        self._known: dict[str, int | None] = {}

    def first(self, event_type: str) -> int | None:
        """Return the position of the first one that matches, or None."""
        try:
            return self._known[event_type]
        except KeyError:
            matching = (i for i, match in enumerate(self._match) if match(event_type))
            found = next(matching, None)
            if len(self._known) < 1024:
                self._known[event_type] = found
            return found


def _regex(event_type: str) -> str:
    return fnmatch.translate(event_type) if _WILD.search(event_type) else re.escape(event_type)
