"""Build steps of one stream, of the tools in `builds.ini`, each proved by its context.

Many steps are plain English (`Collecting data`, `Compiled successfully`). Such a line counts only
if the same stream has, shortly before or after it, one that no other program prints.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from brummerbus.watch.detect.hints import Hinted
from brummerbus.watch.patterns import table
from brummerbus.watch.patterns.lazy import Lazy
from brummerbus.watch.payloads import BuildEvent, LogLine

_NEAR = 12
"""Lines behind an ambiguous step within which its proof must come."""
_FAR = 20_000
"""Lines for which a proof counts."""
_STATUSES = ("failed", "started", "progress", "finished")


@dataclass(frozen=True, slots=True)
class Tool:
    """One section of `builds.ini`."""

    name: str
    hints: tuple[str, ...]
    steps: tuple[tuple[str, Lazy], ...]
    """Statuses, and the lines that alone are a proof of the tool."""
    vague: tuple[tuple[str, Lazy], ...]
    """Statuses, and lines that need one."""
    proof: Lazy | None
    """Lines that are a proof but no step."""


@cache
def tools() -> tuple[Tool, ...]:
    """Return the table of build tools."""
    parser = table("builds.ini")
    return tuple(
        Tool(
            name,
            tuple(hint for hint in parser[name]["hint"].split("|") if hint),
            _steps(parser[name], ""),
            _steps(parser[name], "vague "),
            Lazy(parser[name]["proof"]) if "proof" in parser[name] else None,
        )
        for name in parser.sections()
    )


def _steps(section: Mapping[str, str], kind: str) -> tuple[tuple[str, Lazy], ...]:
    return tuple(
        (status, Lazy(section[kind + status])) for status in _STATUSES if kind + status in section
    )


@cache
def _hinted() -> Hinted[Tool]:
    return Hinted((tool, tool.hints) for tool in tools())


HINTS = frozenset(hint for tool in tools() for hint in tool.hints)


class BuildDetector:
    """Finds build steps in one stream; feed it the lines that have a hint, in order."""

    def __init__(self) -> None:
        self._proved: dict[str, int] = {}
        """The number of the last line that proved a tool."""
        self._waiting: deque[tuple[int, str, BuildEvent]] = deque()

    def feed(self, line: LogLine, text: str, lowered: str) -> list[BuildEvent]:
        """Return the steps that this line reports, or proves."""
        found: list[BuildEvent] = []
        while self._waiting and line.number - self._waiting[0][0] > _NEAR:
            self._waiting.popleft()
        for tool in _hinted().of(lowered):
            status = _matching(tool.steps, text)
            if status is not None or (tool.proof is not None and tool.proof.match(text)):
                found += self._prove(tool.name, line)
                if status is not None:
                    found.append(_event(line, tool, status, text))
                return found
            status = _matching(tool.vague, text)
            if status is None:
                continue
            event = _event(line, tool, status, text)
            if line.number - self._proved.get(tool.name, -_FAR) < _FAR:
                return [event]
            self._waiting.append((line.number, tool.name, event))
            return found
        return found

    def _prove(self, tool: str, line: LogLine) -> list[BuildEvent]:
        """Note the proof of a tool, and return the steps that waited for it."""
        self._proved[tool] = line.number
        found = [event for _, name, event in self._waiting if name == tool]
        self._waiting = deque(entry for entry in self._waiting if entry[1] != tool)
        return found


def _matching(steps: tuple[tuple[str, Lazy], ...], text: str) -> str | None:
    for status, pattern in steps:
        if pattern.match(text):
            return status
    return None


def _event(line: LogLine, tool: Tool, status: str, text: str) -> BuildEvent:
    return BuildEvent(line.process, tool.name, status, text.strip(), line.time)
