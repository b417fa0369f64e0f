"""The events of pytest-reportlog as the lines in which pytest's own summary names tests."""

import json
import re

from brummerbus.watch.detect.hints import EXAMINED
from brummerbus.watch.payloads import LogLine

HINT = '"longrepr":'
_EVENT = re.compile(r'[.FEsxXpP]{0,80}(?=\{"\w+": )')
_LONGEST = 1024 * 1024


def as_line(line: LogLine, text: str) -> str:
    """Return a line as it is, or what an event says of a test: `FAILED test_a.py::test - why`.

    pytest prints a letter for each test into the same lines, and closes with the figures.
    """
    if HINT not in text or len(line.text) > _LONGEST or (match := _EVENT.match(text)) is None:
        return text
    try:
        event = json.loads(text[match.end() :] + line.text[EXAMINED:])
    except ValueError:
        return text
    if "$report_type" not in event:
        return text
    outcome, when = event.get("outcome"), event.get("when", "collect")
    if outcome == "failed":
        status = "FAILED" if when == "call" else "ERROR"
        why = _why(event.get("longrepr"))
        return f"{status} {event.get('nodeid')}{f' - {why}' if why else ''}"
    return f"PASSED {event.get('nodeid')}" if outcome == "passed" and when == "call" else ""


def _why(report: object) -> str:
    """Return the message of what pytest tells of a failure."""
    crash = report.get("reprcrash") if isinstance(report, dict) else None
    message = crash.get("message") if isinstance(crash, dict) else report
    return str(message).split("\n", 1)[0][:300] if isinstance(message, str) else ""
