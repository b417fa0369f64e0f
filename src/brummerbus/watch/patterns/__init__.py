"""The declarative tables of what is found in lines, and the reader of a user's own table.

    errors.ini      errors, by language and tool
    documents.ini   documents of JSON, by their keys
    runners.ini     closing lines of test runners
    builds.ini      build steps

A table is an INI file, since a regular expression needs no escapes in it.
"""

import re
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from configparser import Error as ConfigError
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from brummerbus.watch.patterns.lazy import Lazy

_REGEXES = (
    "start",
    "more",
    "chain",
    "until",
    "after",
    "hold",
    "message",
    "place",
    "heading",
    "confirm",
    "unless",
)
_FLAGS = ("blank", "paragraph", "strong", "ignore", "last", "trace", "deepest", "adjacent", "xml")
_TEXTS = ("kind", "hint", "example", "says", "at", "finds")
_MARGIN = re.compile(r"\|(?: |$)")


class PatternError(Exception):
    """A table that cannot be used; the message names file, section, key and what is accepted."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One section of a table of errors. docs/watch.md explains the keys."""

    name: str
    kind: str
    hints: tuple[str, ...]
    """Lower-case texts of which a line must have one; without any, every line is tried."""
    regexes: Mapping[str, Lazy]
    flags: frozenset[str]
    example: str = ""
    says: str = ""
    at: str = ""

    @property
    def start(self) -> Lazy:
        """What the first line of the error matches."""
        return self.regexes["start"]

    def get(self, key: str) -> Lazy | None:
        """Return an optional expression."""
        return self.regexes.get(key)


@cache
def builtin() -> tuple[Pattern, ...]:
    """Return the table that comes with the package."""
    return tuple(_patterns(table("errors.ini"), "errors.ini"))


def table(name: str) -> ConfigParser:
    """Return one of the package's own tables."""
    parser = _parser()
    parser.read_string((files(__name__) / name).read_text(encoding="utf-8"), name)
    return parser


def read_patterns(path: str | Path) -> tuple[Pattern, ...]:
    """Return a user's own table.

    Raises:
        PatternError: The file cannot be read, or has something that is not understood.
    """
    parser = _parser()
    try:
        parser.read_string(Path(path).read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise PatternError(f"--patterns {path}: {error}") from None
    except ConfigError as error:
        raise PatternError(f"--patterns {path}: {error.message}") from None
    patterns = tuple(_patterns(parser, f"--patterns {path}"))
    for pattern in patterns:
        for key, regex in pattern.regexes.items():
            _check(regex, key, f"--patterns {path}: [{pattern.name}]")
    return patterns


def example_of(text: str) -> str:
    """Return an example without the margin that keeps its indentation and its blank lines."""
    return "\n".join(_MARGIN.sub("", line, count=1) for line in text.strip("\n").split("\n"))


def _parser() -> ConfigParser:
    return ConfigParser(
        delimiters=("=",), comment_prefixes=("#",), interpolation=None, empty_lines_in_values=False
    )


def _patterns(parser: ConfigParser, where: str) -> Iterator[Pattern]:
    for name in parser.sections():
        section = parser[name]
        place = f"{where}: [{name}]"
        for key in section:
            if key not in _REGEXES + _FLAGS + _TEXTS:
                accepted = ", ".join(_REGEXES + _FLAGS + _TEXTS)
                raise PatternError(f"{place}: unknown key {key!r}; accepted are {accepted}")
        if "start" not in section:
            raise PatternError(f"{place}: 'start' is missing, what the first line matches")
        hints = tuple(part.lower() for part in section.get("hint", "").split("|") if part)
        yield Pattern(
            name,
            section.get("kind", name),
            hints,
            {key: Lazy(section[key]) for key in _REGEXES if key in section},
            frozenset(key for key in _FLAGS if _flag(section, key, place)),
            example_of(section.get("example", "")),
            section.get("says", ""),
            section.get("at", ""),
        )


def _check(regex: Lazy, key: str, place: str) -> None:
    """Refuse what is no regular expression."""
    try:
        re.compile(regex.text)
    except re.error as error:
        raise PatternError(
            f"{place}: {key!r} is no regular expression: {error}, got {regex.text!r}"
        ) from None


def _flag(section: Mapping[str, str], key: str, place: str) -> bool:
    value = section.get(key, "no")
    if value not in ("yes", "no"):
        raise PatternError(f"{place}: {key!r}: expected 'yes' or 'no', got {value!r}")
    return value == "yes"
