"""Finds errors, test results and build steps in lines. Pure: no threads, no clock, no bus.

    prefixes    what others write in front of a line    levels     the level of a log line
    errors      starts and ends errors                  blocks     an error of several lines
    python      tracebacks                              traces     Go, Rust, Java, JavaScript
    table       errors that `patterns` describes        builds     build steps, by context
    results     runners that name tests                 closings   runners' closing lines
    gate        which detectors must see a line     hints      and by which words
    pytest, unit, jest, reports: one runner each, or one report each
    documents   JSON and JUnit XML                  runs       runs that are reported twice

Every format is recognised by its exact shape, so a line that only resembles one is skipped.
Detection is a convenience: all lines are in the store.
"""

import re
from collections.abc import Sequence

from brummerbus.watch.detect import prefixes
from brummerbus.watch.detect.builds import BuildDetector
from brummerbus.watch.detect.errors import RECENT, ErrorDetector
from brummerbus.watch.detect.gate import BUILDS, ERRORS, RESULTS, Gate, is_calm
from brummerbus.watch.detect.hints import EXAMINED
from brummerbus.watch.detect.results import ResultDetector
from brummerbus.watch.detect.runs import Held, Runs
from brummerbus.watch.detect.table import Table
from brummerbus.watch.patterns import Pattern, builtin
from brummerbus.watch.payloads import Found, LogLine, LogLines

_MOST_STREAMS = 200
"""Prefixes that are distinguished in one stream; lines with further ones are examined together."""

_FAR = 20_000
"""Lines behind a document after which the lines no longer repeat what it says."""

_COLOUR = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\))")


class _State:
    """The detectors of the lines that have one prefix."""

    def __init__(self, table: Table, runs: Runs) -> None:
        self.errors = ErrorDetector(table)
        self.held = Held(runs)
        self.results = ResultDetector(self.held)
        self.builds = BuildDetector()

    @property
    def idle(self) -> bool:
        """Whether a line without a hint changes nothing."""
        return self.errors.idle and self.results.idle


class StreamDetector:
    """Detects in one stream of one process. Feed it every line, in order, one at a time.

    Args:
        patterns: A user's own, which are tried before those of the package.
        runs: What the streams of the process share; not to be used by two threads at once.
    """

    def __init__(self, patterns: Sequence[Pattern] = (), runs: Runs | None = None) -> None:
        self._table = Table((*patterns, *builtin()))
        self._gate = Gate(self._table.hints, always=self._table.always)
        self._runs = runs or Runs()
        self._states: dict[str, _State] = {"": _State(self._table, self._runs)}
        self._busy: set[str] = set()
        """Prefixes whose state is not idle."""
        self._last = ""
        self.last_time = 0.0

    def feed_many(self, lines: LogLines) -> list[Found]:
        """Return what these lines complete, in order; the same as `feed` for each of them."""
        if lines.count == 1:
            return self.feed(lines.line(0, lines.text))
        self.last_time = lines.time
        text = _COLOUR.sub("", lines.text) if "\x1b" in lines.text else lines.text
        places = self._gate.places(text)
        if not places and not self._busy:
            # The common case, without making a string for each line.
            self._pass_by(text.rsplit("\n", RECENT)[-RECENT:])
            return []
        return self._feed_some(lines, text.split("\n"), places)

    def _feed_some(self, lines: LogLines, texts: list[str], places: list[int]) -> list[Found]:
        """Feed the lines at these places, and those that follow while something is open."""
        found: list[Found] = []
        busy = self._busy
        done = 0  # the lines before it were fed, or passed by
        for place in (*places, len(texts)):
            while busy and done < place:
                found += self.feed(lines.line(done, texts[done]))
                done += 1
            if done < place:
                self._pass_by(texts[max(done, place - RECENT) : place])
            if place < len(texts):
                found += self.feed(lines.line(place, texts[place]))
                done = place + 1
        return found

    def _pass_by(self, texts: list[str]) -> None:
        """Note lines that no detector must see."""
        self._states[self._last].errors.pass_by(text[:EXAMINED] for text in texts)

    def feed(self, line: LogLine) -> list[Found]:
        """Return what this line completes."""
        self.last_time = line.time
        text = line.text if len(line.text) <= EXAMINED else line.text[:EXAMINED]
        if "\x1b" in text:
            text = _COLOUR.sub("", text)
        if "\r" in text:  # a progress bar that is written over: the last text is what stays
            text = text.rstrip("\r").rpartition("\r")[2]
        wanted = 0 if not self._busy and is_calm(text) else self._gate.detectors(text)
        if not wanted and not self._busy:
            self._states[self._last].errors.pass_by((text,))
            return []
        return self._examine(line, text, wanted)

    def _examine(self, line: LogLine, text: str, wanted: int) -> list[Found]:
        """Show a line to the detectors that want it, and to those that are not idle."""
        key, text, stamped = prefixes.strip(text)
        key = self._known(key)
        state = self._states[key]
        if key != self._last:
            if not key:
                self._states[self._last].errors.hand_over(state.errors, text)
                self._note(self._last)
            self._last = key
        lowered = text.lower()
        found: list[Found] = []
        claimed = False
        if wanted & RESULTS or not state.results.idle:
            found, claimed = state.results.feed(line, text, lowered)
        # A line that reports a test is not an error of its own, even if it contains ERROR.
        if wanted & ERRORS or not state.errors.idle:
            found += state.errors.feed(line, text, stamped=stamped, claimed=claimed)
        else:
            state.errors.pass_by((text,))
        if wanted & BUILDS:
            found += state.builds.feed(line, text, lowered)
        if state.held and line.number - state.held.first() > _FAR:
            found += state.held.release()
        self._note(key)
        return found

    @property
    def waits(self) -> bool:
        """Whether only the next lines can show if an error continues, or a run is repeated."""
        return self.holds or any(
            self._states[key].errors.waits or self._states[key].results.waits
            for key in list(self._busy)
        )

    @property
    def holds(self) -> bool:
        """Whether results of a document are held that lines may repeat."""
        return any(state.held for state in list(self._states.values()))

    def settle(self, *, release: bool = True) -> list[Found]:
        """Return what `waits`; call it if no next line arrives.

        Args:
            release: Whether also what is held, for which another stream may be waited for.
        """
        found: list[Found] = []
        for key in list(self._busy):
            state = self._states[key]
            found += state.results.settle()
            if state.errors.waits:
                found += state.errors.finish()
            self._note(key)
        return found + self.release() if release else found

    def finish(self, *, release: bool = True) -> list[Found]:
        """Return what is still open at the end of the stream; `release` is that of `settle`."""
        found: list[Found] = []
        for state in self._states.values():
            found += state.results.finish()
            found += state.errors.finish(ended=True)
        return found + self.end() if release else found

    def end(self) -> list[Found]:
        """Return what no stream of the process has named or repeated; all have finished."""
        found = self.release()
        for state in self._states.values():
            found += state.results.leftover()
        return found

    def release(self) -> list[Found]:
        """Return what documents say that no line has repeated, in any stream of the process."""
        return [found for state in self._states.values() for found in state.held.release()]

    def _known(self, key: str) -> str:
        """Return a prefix that has a state: its own, unless there are too many."""
        if key not in self._states:
            if len(self._states) >= _MOST_STREAMS:
                return ""
            self._states[key] = _State(self._table, self._runs.of(key))
        return key

    def _note(self, key: str) -> None:
        if self._states[key].idle:
            self._busy.discard(key)
        else:
            self._busy.add(key)
