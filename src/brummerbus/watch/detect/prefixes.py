"""What others write in front of a process's line: compose, journald, CI, concurrently, foreman.

A prefix is removed before anything is detected, and lines with different prefixes are different
streams: `api-1 | Traceback` does not continue with a line of `web-1 |`. A time stamp is removed
too, but distinguishes nothing.
"""

import json
import re
from typing import NamedTuple

_DEEPEST = 4
"""Prefixes in front of each other that are removed, as of a foreman in a container in a CI job."""
_WIDEST = 128
"""Characters within which a prefix ends."""

_DAY = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\ [ \d]\d"
_CLOCK = r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
_ZONE = r"(?:\ ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d)(?![\w-]))?"
_ISO = rf"\d{{4}}[-/]\d\d[-/]\d\d[T ,]\ ?{_CLOCK}{_ZONE}"
_LEVEL = (
    r"(?:err(?:or)?s?|e|fatal|crit(?:ical)?|panic|emerg|alert|severe|w|warn(?:ing)?|i|info|notice|"
    r"d|debug|trace|verbose|fail(?:ed|ure)?|ftl|wrn|inf|dbg|success|ok|usage|note|hint|help)"
)
"""Words that are a level, not the name of a process."""

_STAMP = re.compile(
    rf"""
      \[(?:{_ISO}|{_CLOCK}|\d\d-\w{{3}}-\d{{4}}\ {_CLOCK}{_ZONE}|\w{{3}}\ {_DAY}\ {_CLOCK}\ \d{{4}}
         |\ *\d+\.\d+)\]\s?
    | (?:{_ISO}|{_CLOCK}|\d\d-\w{{3}}-\d{{4}}\ {_CLOCK}|\d\d-\d\d\ {_CLOCK}|{_DAY}\ {_CLOCK}
         |\d\d/\d\d/\d\d\ {_CLOCK})(?:[,:]?\s|$)
    """,
    re.VERBOSE,
)
_NAMED = re.compile(
    rf"""
      (?P<pipe>(?:{_CLOCK}\s+)?(?:\d+\|)?(?!(?:{_LEVEL}|std(?:out|err))\s*\|)[A-Za-z@][\w.@/-]*)
        \s*\|(?:\s(?!(?-i:PASS|FAIL|SKIP)\ \|\s*$)|$)
    | \[(?P<bracket>(?!(?:gw\d+|doctest)\])(?!(?:[\w.-]+:)?{_LEVEL}\s*\])
        (?:\d+|(?-i:[a-z@])[\w.@/:-]*))\s*\](?:\s|$)
    | (?:<\d{{1,3}}>)?{_DAY}\ \d\d:\d\d:\d\d\s+
        (?P<syslog>(?!{_LEVEL}\s)[\w.-]+\s[^\s\[\]:]+(?:\[\d+\])?):(?:\s|$)
    | {_ISO}\s+(?P<journal>(?!{_LEVEL}\s)[\w.-]+\s[^\s\[\]:]+\[\d+\]):(?:\s|$)
    | <\d{{1,3}}>1\s\S+\s(?P<rfc5424>\S+\s\S+\s\S+)\s\S+\s(?:-|\[.*?\])\s
    | {_ISO}\s+(?P<dyno>[a-z]+\[[\w.-]+\]):\s
    | {_ISO}\ std(?P<cri>out|err)\ [FP]\s
    | \#(?P<buildkit>\d+)\ \d+\.\d+\s
    | (?P<task>(?:@[\w.-]+/)?(?!{_LEVEL}:)[A-Za-z][\w.-]*
        :(?!{_LEVEL}:)[A-Za-z][\w-]*(?::(?!{_LEVEL}:)[A-Za-z][\w-]*)*):(?:\s|$)
    | (?P<internal>INTERNALERROR)>\s?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_DOCKER_FILE = '{"log":"'
_PLAIN_STARTS = frozenset(("", " ", "\t", *"-=+*()}/.\"'"))
"""No prefix begins with these; most continued lines do."""


class Stripped(NamedTuple):
    """A line without its prefixes."""

    key: str
    """What distinguishes its stream: the names in the prefixes, empty without one."""
    text: str
    stamped: bool = False
    """Whether a time stamp was removed: such a line is a logger's."""


def strip(text: str) -> Stripped:
    """Return a line without its prefixes, and what they name."""
    if text[:1] in _PLAIN_STARTS:
        return Stripped("", text)
    key = ""
    stamped = False
    rest = text
    for _ in range(_DEEPEST):
        if rest.startswith(_DOCKER_FILE) and '"stream":"std' in rest:
            rest = _docker_line(rest)
        match = _NAMED.match(rest, 0, _WIDEST)
        if match is not None and match.lastgroup is not None:
            key += f"{match[match.lastgroup]}\n"
        else:
            match = _STAMP.match(rest, 0, _WIDEST)
            if match is None:
                break
            stamped = True
        rest = rest[match.end() :]
    return Stripped(key, rest, stamped)


def _docker_line(text: str) -> str:
    """Return the line inside a record of Docker's json-file driver."""
    try:
        record = json.loads(text)
    except ValueError:
        return text
    line = record.get("log") if isinstance(record, dict) else None
    return line.rstrip("\r\n") if isinstance(line, str) else text
