"""The level of a log line: the first level word of the line decides, where loggers write it.

A line at INFO, DEBUG or WARN is no error, whatever its sentence says.
"""

import json
import re
from enum import Enum, auto
from typing import Any, NamedTuple

_HEADER = 120
"""A level is near the start of its line; further on the word is part of a sentence."""

_BAD = (
    r"ERROR|ERRO|ERR!?|EROR|FATAL|FATA|FTL|CRITICAL|CRIT|DPANIC|PANIC|PANI|SEVERE|EMERGENCY|EMERG|"
    r"ALERT"
)
_CALM = (
    r"WARNING|WARN|WRN|INFORMATION|INFO|INF|NOTICE|DEBUG|DEBU|DBG|TRACE|TRAC|TRC|FINEST|FINER|"
    r"FINE|CONFIG|VERBOSE|VRB|SUCCESS|DETAIL|HINT|STATEMENT|LOG"
)


class Level(Enum):
    """What a level says about its line."""

    ERROR = auto()
    CALM = auto()


class Parsed(NamedTuple):
    """The level of a line, and what the line says."""

    level: Level
    message: str


_WORDS = re.compile(rf"(?:(?P<bad>{_BAD})|{_CALM})\Z", re.IGNORECASE)
_JSON_KEYS = ("level", "lvl", "severity", "log.level", "levelname", "@l", "Level", "s", "loglevel",
              "log_level", "level_name", "severity_text", "severityText", "LEVEL", "Severity",
              "PRIORITY", "@level")  # fmt: skip
_JSON = re.compile(
    r"\"(?:" + "|".join(re.escape(key) for key in _JSON_KEYS) + r")\" ?: ?"
    r"(?:\"(?P<word>\w+)\"|(?P<number>\d+)|\{)"
)
_JSON_MESSAGES = (
    "msg",
    "message",
    "event",
    "@mt",
    "@m",
    "@message",
    "MessageTemplate",
    "text",
    "err",
    "error",
)
_LOUD = 50
"""Pino's and bunyan's error; 60 is fatal."""

_LOGFMT = re.compile(r"(?:^|\s)(?:level|lvl|severity|log\.level|loglevel)=[\"']?(?P<word>\w+)\b")
_LOGFMT_PAIR = re.compile(r"(?:^|\s)[\w.@-]+=[\"'\w{\[]")
_LOGFMT_MESSAGE = re.compile(
    r"(?:^|\s)(?:msg|message|event|err|error)=(?:\"(?P<d>(?:[^\"\\]|\\.)*)\"|'(?P<s>[^']*)'|(?P<w>\S+))"
)

_FORMS = re.compile(
    rf"""
      (?P<klog>[EFWI])\d{{4}}(?:\d{{4}})?\ \d\d:\d\d:\d\d\.\d+\ +\d+\ \S+\]\ ?
    | (?P<android>[VDIWEFA])/[^()\s]+\ *\(\ *\d+\):\ ?
    | \ *\d+\ +\d+\ (?P<logcat>[VDIWEFA])\ [^:]+:\ ?
    | <(?P<pri>\d{{1,3}})>(?!\d\ )
    | (?P<ruby>[DIWEFAU]),\ \[[^\]]*\]\s+\w+\ --\ [^:]*:\ ?
    | (?P<dotnet>fail|crit|info|warn|dbug|trce):\ (?=[\w.+`]+\[\d+\]\s*$)
    | \[(?:[\d\-T:.,Z+/]+\ )+(?P<inside>{_BAD}|{_CALM})(?:(?:\ +|/)[\w:.-]+)?\ *\]:?\ ?
    | \[?(?P<letter>[DIWECF])\ (?=(?:\d{{4}}-\d\d-\d\d|\d{{6}}|)\ ?\d\d:\d\d:\d\d)
        (?:[\d.,:-]+\ ){{1,2}}
    | \ {{11,25}}(?P<rich>CRITICAL|ERROR\ {{3}}|WARNING\ |INFO\ {{4}}|DEBUG\ {{3}})\ (?=\S)
    | (?:[\w-]+\.)(?P<dotted>{_BAD}|{_CALM}):\ ?
    | (?P<logrus>[A-Z]{{4}})\[\d{{4,}}\]\ ?
    | (?P<geth>[A-Z]{{4,5}})\ *\[\d\d-\d\d\|[\d:.]+\]\ ?
    | \d+:[MSCX]\ \d\d\ \w{{3}}\ \d{{4}}\ [\d:.]+\ (?P<redis>[.*\#-])(?:\ )
    | [\w.-]+/(?P<slashed>{_BAD}|{_CALM})/[\w.]+:\ ?
    | (?:\[\w+\]\ ›\ )?[✘✖⨯×]\ {{0,2}}\[?(?P<mark>ERROR|error|fatal|WARNING|warning)\b[\]:]?\ *
    """,  # noqa: RUF001
    re.VERBOSE,
)
_LETTERS = {"E": Level.ERROR, "F": Level.ERROR, "A": Level.ERROR, "C": Level.ERROR}
_SYSLOG_ERROR = 3

_WORD = re.compile(
    rf"""
      \[(?:[\w.-]+[:\#])?(?P<bracket>{_BAD}|{_CALM})\s*\]:?
    | (?<![\w./=\-"'\[<])(?P<upper>(?-i:{_BAD}|{_CALM}))(?![\w./=("'\-]|\ ?[=]|\s*\])
    | <(?P<angle>{_BAD}|{_CALM})>:?(?![^<]*</)
    | (?<=\|\ )(?P<piped>{_BAD}|{_CALM})(?=\s*\|)
    | (?<=-\ )(?P<dashed>{_BAD}|{_CALM})(?=\s+-\ )
    | (?:^|(?<=[\]|)]\ ))
        (?P<lone>(?-i:[Ee]rror|[Ff]atal|[Cc]ritical|[Ww]arn(?:ing)?|[Ii]nfo|[Dd]ebug|[Nn]otice))
        (?=\s*[:|\t]|\s\s|\s*$)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_FIRST = re.compile(
    r"(?P<word>(?:(?:Fatal|fatal) )?(?:error|Error|ERROR)|fatal|Fatal|critical|panic|severe|"
    r"crit|emergency|emerg|alert|"
    r"warning|Warning|warn|info|Info|debug|Debug|notice|Notice|note|hint|verbose|trace)"
    r"(?P<code>\[\w+\])?\ *:(?:\s+|$)(?P<message>.*)"
)
_YARN = re.compile(r"(?P<word>error|warning|info)\s+(?P<message>(?:[A-Z]|TS\d).+)")
_PROGRAM = re.compile(
    r"(?P<program>[\w./+-]+(?:\[\d+\])?): "
    r"(?P<word>[Ff]atal error|[Ee]rror|ERROR|[Ff]atal|FATAL|[Ww]arning|WARNING|[Nn]ote): "
    r"(?P<message>.+)"
)
_DATED = re.compile(r"\d{4}[-./]\d\d[-./]\d\d|\d\d:\d\d:\d\d")
_NOTHING = re.compile(r"(?:0|none|null|nil|false|no|undefined|''|\"\")?\s*\.?$", re.IGNORECASE)
"""What stands behind `error:` where there was none."""

_TOKEN = re.compile(
    r"[\[({<|].*|[\d.:,/T+Z-]+\d[\w.:,/+-]*|.*[\])}>:|,;]|-+|\||[A-Z][A-Z0-9_-]*|[\w$]*[\d._/@#$-][\w.$/@:#-]*"
)
"""What may stand in a header in front of a level without being a word of a sentence."""


def parse(text: str, *, stamped: bool = False) -> Parsed | None:
    """Return the level of a line without prefixes, or None if it has none.

    Args:
        text: The line, without colours, prefixes and time stamp.
        stamped: Whether a time stamp was in front of it.
    """
    if text.startswith("{"):
        return _json(text)
    return _form(text) or _first(text) or _logfmt(text) or _header(text, stamped)


def _of_word(word: str) -> Level | None:
    match = _WORDS.match(word)
    if match is None:
        return None
    return Level.ERROR if match["bad"] else Level.CALM


def _form(text: str) -> Parsed | None:
    """Recognise the formats in which the level is not a word, or not one of its own."""
    match = _FORMS.match(text)
    if match is None or match.lastgroup is None:
        return None
    form, value = match.lastgroup, match[match.lastgroup]
    level: Level | None
    if form in ("klog", "android", "logcat", "ruby", "letter"):
        level = _LETTERS.get(value, Level.CALM)
    elif form == "pri":
        level = Level.ERROR if int(value) % 8 <= _SYSLOG_ERROR else Level.CALM
    elif form == "dotnet":
        level = Level.ERROR if value in ("fail", "crit") else Level.CALM
    elif form == "redis":
        level = Level.ERROR if text[match.end() :].startswith("Fatal") else Level.CALM
    else:
        level = _of_word(value.rstrip())
    if level is None:
        return None
    return Parsed(level, text[match.end() :].strip() or text.strip())


def _first(text: str) -> Parsed | None:
    """Recognise `error: ...` at the start of a line, and `program: error: ...`."""
    match = _FIRST.match(text) or _YARN.match(text) or _PROGRAM.match(text)
    if match is None:
        return None
    word = match["word"].lower()
    bad = word.removeprefix("fatal ") in (
        "error",
        "fatal",
        "critical",
        "crit",
        "panic",
        "severe",
        "emerg",
        "emergency",
        "alert",
    )
    message = match["message"].strip()
    if bad and _NOTHING.match(message):
        return Parsed(Level.CALM, message) if message else None
    return Parsed(Level.ERROR if bad else Level.CALM, message or text.strip())


def _logfmt(text: str) -> Parsed | None:
    """Recognise `level=error` among other pairs."""
    if "=" not in text or (match := _LOGFMT.search(text)) is None:
        return None
    level = _of_word(match["word"])
    if level is None or sum(1 for _ in _LOGFMT_PAIR.finditer(text)) < 2:
        return None
    said = _LOGFMT_MESSAGE.search(text)
    return Parsed(level, (said[said.lastgroup or 0] if said else "") or text.strip())


def _header(text: str, stamped: bool) -> Parsed | None:  # noqa: FBT001
    """Find the first level word where nothing but a logger's header stands in front of it."""
    match = _WORD.search(text, 0, _HEADER)
    if match is None or match.lastgroup is None:
        return None
    before = text[: match.start()].split()
    stamped = stamped or _DATED.search(text, 0, match.start()) is not None
    if before and not _is_header(before, stamped):
        return None
    if not stamped and _is_prose(text, match):
        return None
    level = _of_word(match[match.lastgroup])
    if level is None:
        return None
    message = text[match.end() :].lstrip(" \t:|,-").strip()
    if level is Level.ERROR and match.lastgroup != "bracket" and not (message or stamped):
        return None  # the word alone is a heading, and at the end of a line something's value
    return Parsed(level, message or text.strip())


def _is_prose(text: str, match: re.Match[str]) -> bool:
    """Whether a line without a time stamp is a table, code, or an indented sentence."""
    if text.startswith("|"):
        return True
    word = match[match.lastgroup or 0]
    if match.lastgroup == "lone" and word[0].isupper():
        return True
    indented = text[:1].isspace() and not text[: match.start()].strip()
    return indented and re.match(r":|\]|\s\s", text[match.end() :]) is None


def _is_header(tokens: list[str], stamped: bool) -> bool:  # noqa: FBT001
    """Whether these are what loggers write in front of a level: names, numbers, brackets."""
    plain = 0
    for number, token in enumerate(tokens):
        if _TOKEN.fullmatch(token):
            continue
        if number + 1 < len(tokens) and tokens[number + 1] in ("-", "|", ":"):
            continue  # `my app - ERROR`
        if tokens[0][:1] in "[(<":
            continue  # inside a bracket with spaces, such as a thread's name
        plain += 1
    if plain > (1 if stamped else 0):
        return False
    if stamped:
        return True
    # Without a time stamp a header shows itself by a bracket, a number or a separator.
    return any(not token.isalpha() for token in tokens) and tokens[-1][-1:] in "])}>:|-0123456789"


def _json(text: str) -> Parsed | None:
    match = _JSON.search(text)
    if match is None:
        return None
    try:
        record = json.loads(text)
    except ValueError:
        # A line that was cut: the first key decides.
        level = _of_word(match["word"]) if match["word"] else _of_number(match["number"])
        return None if level is None else Parsed(level, text.strip())
    return _of_record(record, text) if isinstance(record, dict) else None


def _of_record(record: dict[str, Any], text: str) -> Parsed | None:
    nested = (record.get("record"), record.get("log"))
    for place in (record, *(one for one in nested if isinstance(one, dict))):
        for key in _JSON_KEYS:
            if key in place and (level := _of_value(key, place[key])) is not None:
                return Parsed(level, _said(record) or text.strip())
    return None


def _of_value(key: str, value: Any) -> Level | None:
    if isinstance(value, dict):
        value = value.get("name", value.get("level"))
    if isinstance(value, str):
        if key == "s":
            return _LETTERS.get(value, Level.CALM) if len(value) == 1 else None
        if key == "PRIORITY" and value.isdecimal():
            return Level.ERROR if int(value) <= _SYSLOG_ERROR else Level.CALM
        return _of_word(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _of_number(value)
    return None


def _of_number(value: str | int | None) -> Level | None:
    if value is None:
        return None
    return Level.ERROR if int(value) >= _LOUD else Level.CALM


def _said(record: dict[str, Any]) -> str:
    for key in _JSON_MESSAGES:
        value = record.get(key)
        if isinstance(value, dict):
            value = value.get("message")
        if isinstance(value, str) and value.strip():
            return value.strip()
    fields = record.get("fields")  # of Rust's tracing
    return _said(fields) if isinstance(fields, dict) else ""
