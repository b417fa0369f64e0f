"""What stands where in the documents that tools print as JSON: the table `documents.ini`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from brummerbus.watch.detect.reasons import reason
from brummerbus.watch.detect.runs import Report
from brummerbus.watch.patterns import example_of, table
from brummerbus.watch.patterns.lazy import Lazy
from brummerbus.watch.payloads import ErrorFound, LogLine

_IN_FRONT = 200
"""Characters that may stand in front of a document in its line, as of a row of dots."""
_DEEPEST = 60
"""Levels of a document that are looked at."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one kind of object in a document says."""

    section: Mapping[str, str]

    def paths(self, key: str) -> list[str]:
        """Return the words of a key of the section."""
        return self.section.get(key, "").split()


@dataclass(frozen=True, slots=True)
class Shape:
    """One section of `documents.ini` with a `start`."""

    framework: str
    hints: tuple[str, ...]
    head: Lazy
    """The beginning of a document that is one line."""
    key: Lazy
    """A line of a document that has one for each value; all before it is not needed."""
    live: bool
    certain: bool
    """Whether no other tool prints such a document."""
    example: str
    finds: tuple[int, int]
    """Passed and failed tests in the example."""
    fails: tuple[tuple[str, str], ...]
    """Its failed tests and their reasons."""
    errors: tuple[tuple[str, str], ...]
    """Its errors and their places."""
    entries: list[Entry] = field(default_factory=list)

    @property
    def tests(self) -> bool:
        """Whether it is a run of tests."""
        return any("outcome" in entry.section for entry in self.entries)


@cache
def shapes() -> tuple[Shape, ...]:
    """Return the table of documents."""
    parser = table("documents.ini")
    found = {
        name: _shape(name, parser[name]) for name in parser.sections() if "start" in parser[name]
    }
    for name in parser.sections():
        section = dict(parser[name])
        for where in section.get("in", name).split("|"):
            if "keys" in section:
                found[where].entries.append(Entry(section))
    return tuple(found.values())


def _shape(name: str, section: Mapping[str, str]) -> Shape:
    passed, failed = section["finds"].split()
    start = section["start"]
    return Shape(
        section.get("framework", name),
        tuple(hint for hint in section["hint"].split("|") if hint),
        Lazy(rf".{{0,{_IN_FRONT}}}?(?P<json>[\[{{]\s*(?:\{{\s*)?(?:{start}))"),
        Lazy(rf"(?P<indent>\s+)(?:{start})"),
        section.get("live") == "yes",
        section.get("certain") != "no",
        example_of(section["example"]),
        (int(passed), int(failed)),
        _pairs(section.get("fails", "")),
        _pairs(section.get("errors", "")),
    )


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for line in text.split("\n"):
        first, _, second = line.strip().partition(" = ")
        if first:
            pairs.append((first, second))
    return tuple(pairs)


def read(shape: Shape, value: Any, line: LogLine, report: Report) -> None:
    """Add to a report what a document says.

    Args:
        shape: Which document it is.
        value: What its JSON is.
        line: The line for times and numbers.
        report: To what is added.
    """
    for found, around, key in _objects(value, (), ""):
        for entry in shape.entries:
            if all(name in found for name in entry.paths("keys")):
                _Reader(entry, found, around, key).add(line, report)


def _objects(
    value: Any, around: tuple[Mapping[str, Any], ...], key: str
) -> Iterator[tuple[Mapping[str, Any], tuple[Mapping[str, Any], ...], str]]:
    """Yield each object, those around it, the nearest first, and the key under which it stands."""
    if len(around) > _DEEPEST:
        return
    if isinstance(value, dict):
        yield value, around, key
        for name, item in value.items():
            if isinstance(item, dict | list):
                yield from _objects(item, (value, *around), name)
    elif isinstance(value, list):
        first = value[0] if value else None
        for item in value:
            yield from _objects(item, around, first if isinstance(first, str) else key)


class _Reader:
    """One entry."""

    def __init__(
        self,
        entry: Entry,
        value: Mapping[str, Any],
        around: tuple[Mapping[str, Any], ...],
        key: str,
    ) -> None:
        self._entry = entry
        self._value = value
        self._around = around
        self._key = key

    def add(self, line: LogLine, report: Report) -> None:
        """Add it to a report."""
        section = self._entry.section
        if self._first("unless") is not None or self._first("empty"):
            return
        if "outcome" in section:
            self._test(line, report)
            return
        severity = self._first("severity")
        if severity is not None and str(severity).lower() not in self._entry.paths("bad"):
            return
        message = reason(str(self._first("message") or ""))
        if message:
            code = self._first("code")
            said = message if code is None else f"{code} {message}"
            report.error(
                ErrorFound(line.process, line.stream, line.number, line.number, line.time,
                           section.get("kind", report.framework), said, self._place(), said)
            )  # fmt: skip

    def _test(self, line: LogLine, report: Report) -> None:
        values: list[Any] = next(filter(None, map(self._at, self._entry.paths("outcome"))), [])
        outcomes = {str(value).lower() for value in values}
        bad = bool(outcomes & set(self._entry.paths("failed"))) or bool(self._first("failing"))
        if not bad and not (outcomes and outcomes <= set(self._entry.paths("passed"))):
            return
        name = self._entry.section.get("joined", " ").strip('"').join(map(str, self._all("name")))
        why = "" if not bad else reason(str(self._first("why") or ""))
        report.add(line, name, passed=not bad, detail=why)

    def _place(self) -> str:
        """Return file, line and column, as far as they are known."""
        place = str(self._first("file") or "").removeprefix("file://")
        add = 1 if self._entry.section.get("from zero") == "yes" else 0
        for key in ("line", "column"):
            number = self._first(key)
            if place and isinstance(number, int):
                place += f":{number + add}"
        return place

    def _first(self, key: str) -> Any:
        """Return the first value to which a path of this key leads."""
        return next(iter(self._all(key)), None)

    def _all(self, key: str) -> list[Any]:
        return [value for path in self._entry.paths(key) for value in self._at(path)]

    def _at(self, path: str) -> list[Any]:
        """Return the values to which a path leads."""
        if path == "^":
            return [self._key]
        if path.startswith("^"):
            return [outer[path[1:]] for outer in self._around if path[1:] in outer][:1]
        values: list[Any] = [self._value]
        for step in path.split("."):
            values = [inner for value in values for inner in _inside(value, step)]
        return [value for value in values if value is not None]


def _inside(value: Any, step: str) -> list[Any]:
    if isinstance(value, list):
        if step == "*":
            return value
        return value[int(step) : int(step) + 1] if step.isdecimal() else []
    return [value[step]] if isinstance(value, dict) and step in value else []


HINTS = frozenset(hint for shape in shapes() for hint in shape.hints)
