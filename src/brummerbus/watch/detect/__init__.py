"""Finds errors, test results and build steps in lines. Pure: no threads, no clock, no bus.

    blocks      errors of several lines                 errors     starts and ends them
    python      tracebacks                              results    pytest, unittest, go, TAP, jest
    compilers   gcc, clang, rustc, tsc, go, webpack     builds     make, cargo, tsc, webpack,
    traces      Go, Rust, Java and JavaScript                      vite, pip

Every format is recognised by its exact shape, so a line that only resembles one is skipped.
Detection is a convenience: all lines are in the store.
"""

import re

from brummerbus.watch.detect.builds import BuildDetector
from brummerbus.watch.detect.errors import ErrorDetector
from brummerbus.watch.detect.results import ResultDetector
from brummerbus.watch.payloads import Found, LogLine

MAX_LENGTH = 2000
"""Characters of a line that are examined; patterns on a line of megabytes cost seconds."""

_COLOUR = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")


class StreamDetector:
    """Detects in one stream of one process. Feed it every line, in order, one at a time."""

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
        # A line that reports a test is not an error of its own, even if it contains ERROR.
        found: list[Found] = [*results, *self._errors.feed(line, text, claimed=claimed)]
        step = self._builds.feed(line, text)
        if step is not None:
            found.append(step)
        return found

    @property
    def waits(self) -> bool:
        """Whether an error is complete and only the next line can show whether it continues."""
        return self._errors.waits

    def settle(self) -> list[Found]:
        """Return the error that `waits`; call it if no next line arrives."""
        return list(self._errors.finish()) if self.waits else []

    def finish(self) -> list[Found]:
        """Return what is still open at the end of the stream."""
        return [*self._results.finish(), *self._errors.finish()]
