"""The reason in what a document says of a failure: one line of a message, a report or a trace."""

import re

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PANIC = re.compile(r"thread '.*?' (?:\(\d+\) )?panicked at (?P<place>\S+?):?$")
_RAISED = re.compile(r"E {2,}(?P<reason>\S.*)")
_NOTHING = re.compile(r"●|collection failure$|[-=_*~]+$|stderr:?$|stdout:?$")
"""Lines that say no more than that it failed."""
_PLACE = re.compile(r"(?:\S+:\d+|unknown file|Failure(?: \(.*\))?:?|Error|Failed)$")
"""Lines that are a reason with the next one only."""
_EXAMINED = 20_000
_LONGEST = 500


def reason(text: str, name: str = "") -> str:
    """Return the line that says why.

    Args:
        text: A message, a report or a trace, of any size.
        name: The test's own, which some repeat in a line of its own.
    """
    lines = [line.strip() for line in _COLOUR.sub("", text[:_EXAMINED]).splitlines()]
    lines = [line for line in lines if line and not _NOTHING.match(line)]
    if name and lines and lines[0].startswith(name):
        del lines[0]
    if not lines:
        return ""
    for number, line in enumerate(lines):
        if match := _RAISED.match(line):
            return match["reason"][:_LONGEST]
        if (match := _PANIC.match(line)) and number + 1 < len(lines):
            return f"{match['place']}: {lines[number + 1]}"[:_LONGEST]
    if len(lines) > 1 and (lines[0].endswith(":") or _PLACE.match(lines[0])):
        return f"{lines[0].rstrip(':')}: {lines[1]}"[:_LONGEST]
    return lines[0][:_LONGEST]
