"""Documents in the output, JSON and JUnit XML: their lines are kept together and read at the end.

A document of JSON is one line, or has a line for each value, so that the line that ends it stands
less far to the right than its first key; no bracket must be counted.
"""

import json
import re
from functools import cache

from brummerbus.watch.detect.hints import EXAMINED, Hinted
from brummerbus.watch.detect.junit import Junit
from brummerbus.watch.detect.runs import Held, Report
from brummerbus.watch.detect.shapes import Shape, read, shapes
from brummerbus.watch.payloads import Found, LogLine

_LONGEST = 16 * 1024 * 1024
"""Characters of a document of JSON; in a longer one nothing is found."""
_VALUE = re.compile(r"(?P<indent>\s*)(?:\"|[\]}],?\s*$|[\[{]|-?\d|true|false|null)")
_END = re.compile(r"(?P<bracket>[\]}]),?\s*$")


@cache
def _hinted() -> Hinted[Shape]:
    return Hinted((shape, shape.hints) for shape in shapes())


class Documents:
    """Finds the documents in one stream; feed it every line in order."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self._junit = Junit(held)
        self._shape: Shape | None = None
        self._line: LogLine | None = None
        self._lines: list[str] = []
        self._size = 0
        self._indent = 0

    @property
    def open(self) -> bool:
        """Whether the next lines belong to a document."""
        return self._shape is not None or self._junit.open

    def feed(self, line: LogLine, text: str, lowered: str) -> list[Found] | None:
        """Return what this line completes, or None if it belongs to no document."""
        if self._shape is not None:
            found = self._value(self._shape, line, text)
            if found is not None:
                return found
        if self._junit.open or "<testsuite" in lowered:
            return self._junit.feed(line, _whole(line, text))
        if '"' not in text:
            return None
        for shape in _hinted().of(lowered):
            if match := shape.head.match(text):
                return self._one_line(shape, line, _whole(line, text)[match.start("json") :])
            if not shape.live and (match := shape.key.match(text)):
                self._shape, self._line = shape, line
                self._indent = len(match["indent"])
                self._lines, self._size = [], 0
                return self._value(shape, line, text)
        return None

    def finish(self) -> None:
        """End a document that is cut off."""
        self._shape = None
        self._lines = []
        self._junit.finish()

    def _value(self, shape: Shape, line: LogLine, text: str) -> list[Found] | None:
        """Take a line with one value; None if it belongs to no document, which is then given up."""
        match = _VALUE.match(text)
        indent = len(match["indent"]) if match else -1
        if indent >= self._indent:
            whole = _whole(line, text)
            self._size += len(whole)
            if self._size <= _LONGEST:
                self._lines.append(whole)
            else:
                self._lines = []
            return []
        first, self._shape = self._line, None
        lines, self._lines = self._lines, []
        end = _END.match(text.strip())
        if match is None or end is None or first is None:
            return None
        if self._size > _LONGEST:
            return []
        try:
            value = json.loads("\n".join(["{", *lines, "}"]))
        except (ValueError, RecursionError):
            return []
        return self._read(shape, value, first, line)

    def _one_line(self, shape: Shape, line: LogLine, text: str) -> list[Found] | None:
        if len(text) > _LONGEST:
            return []
        try:
            value, _ = json.JSONDecoder().raw_decode(text)
        except (ValueError, RecursionError):
            return None
        return self._read(shape, value, line, line)

    def _read(self, shape: Shape, value: object, first: LogLine, last: LogLine) -> list[Found]:
        report = Report(shape.framework, first, certain=shape.certain, end=last.number)
        read(shape, value, first, report)
        if shape.tests and not shape.live:
            self._held.hold(report)
            return []
        return report.found()


def _whole(line: LogLine, text: str) -> str:
    """Return a line with what is not examined of a long one."""
    return text if len(line.text) <= EXAMINED else text + line.text[EXAMINED:]
