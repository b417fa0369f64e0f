"""Finds errors, test results and build steps in lines. Pure: no threads, no clock, no bus.

    blocks      what an error of several lines is       errors     starts and ends them
    python      tracebacks                              results    pytest, unittest, go, TAP, jest
    compilers   gcc, clang, rustc, tsc, go, webpack     builds     make, cargo, tsc, webpack,
    traces      Go, Rust, Java and JavaScript                      vite, pip

Every format is recognised by its own shape, so a line that only resembles one is passed over.
What is found is a convenience: the lines themselves are all in the store.
"""

import re

from brummerbus.watch.detect.builds import BuildDetector
from brummerbus.watch.detect.errors import ErrorDetector
from brummerbus.watch.detect.results import ResultDetector
from brummerbus.watch.payloads import Found, LogLine

MAX_LENGTH = 2000
"""Characters of a line that are looked at; patterns on a line of megabytes cost seconds."""

_COLOUR = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")


class StreamDetector:
    """Finds what one stream of one process says. Feed it every line, in order, one at a time."""

    def __init__(self) -> None:
        self._errors = ErrorDetector()
        self._results = ResultDetector()
        self._builds = BuildDetector()
        self.last_time = 0.0

    def feed(self, line: LogLine) -> list[Found]:
        """Return what this line completes."""
        self.last_time = line.time
        text = line.text if len(line.text) <= MAX_LENGTH else line.text[:MAX_LENGTH]
        if "\x1b" in text:
            text = _COLOUR.sub("", text)
        results, claimed = self._results.feed(line, text)
        # A line that reports a test is not an error of its own, though it may say ERROR.
        found: list[Found] = [*results, *self._errors.feed(line, text, claimed=claimed)]
        step = self._builds.feed(line, text)
        if step is not None:
            found.append(step)
        return found

    @property
    def waits(self) -> bool:
        """Whether an error is complete and only the next line can tell if more belongs to it."""
        return self._errors.waits

    def settle(self) -> list[Found]:
        """Return the error that `waits`; call it when no next line seems to come."""
        return list(self._errors.finish()) if self.waits else []

    def finish(self) -> list[Found]:
        """Return what was still open at the end of the stream."""
        return [*self._results.finish(), *self._errors.finish()]
