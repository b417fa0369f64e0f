"""Shared by the tests of the watcher: lines, detectors, and the real command in a real process."""

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil

from brummerbus import Event
from brummerbus.watch.detect import StreamDetector
from brummerbus.watch.payloads import BuildEvent, ErrorFound, Found, LogLine, LogLines, TestResult
from helpers.waiting import poll

TIMEOUT = 60
"""Seconds after which a watcher hangs; a passing test takes a second or two."""


Refusal = Callable[..., str]
"""The fixture `refusal`."""


def make_lines(text: str, *, process: str = "api", stream: str = "stdout") -> list[LogLine]:
    """Return the lines of a text, as a reader would number them."""
    return [
        LogLine(process, stream, number, line, 1000.0 + number)
        for number, line in enumerate(text.splitlines())
    ]


def lines_event(*lines: LogLine) -> Event:
    """Return the event of lines that were read at once."""
    return Event("log.line", LogLines.of(lines), source=lines[0].process)


class Findings:
    """The results of the detectors for a text."""

    def __init__(self, found: Iterable[Found]) -> None:
        self.all = list(found)

    @property
    def errors(self) -> list[ErrorFound]:
        """The errors."""
        return [item for item in self.all if isinstance(item, ErrorFound)]

    @property
    def results(self) -> list[TestResult]:
        """The results of tests."""
        return [item for item in self.all if isinstance(item, TestResult)]

    @property
    def tests(self) -> list[tuple[str, bool]]:
        """Names of tests, and whether they passed."""
        results = [item for item in self.all if isinstance(item, TestResult)]
        return [(item.name, item.passed) for item in results if item.count]

    @property
    def figures(self) -> tuple[int, int]:
        """How many tests passed and failed, those without a name counted in."""
        results = [item for item in self.all if isinstance(item, TestResult)]
        return (
            sum(item.count for item in results if item.passed),
            sum(item.count for item in results if not item.passed),
        )

    @property
    def frameworks(self) -> set[str]:
        """The test frameworks."""
        return {item.framework for item in self.all if isinstance(item, TestResult)}

    @property
    def builds(self) -> list[tuple[str, str]]:
        """Tools and statuses."""
        return [(item.tool, item.status) for item in self.all if isinstance(item, BuildEvent)]


def find(text: str) -> Findings:
    """Feed a text to a new detector, to its end."""
    detector = StreamDetector()
    found: list[Found] = []
    for line in make_lines(text):
        found += detector.feed(line)
    return Findings(found + detector.finish())


class Watcher:
    """`python -m brummerbus watch` in a separate directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.database = directory / "log.db"
        self._running: list[subprocess.Popen[str]] = []

    def procfile(self, **commands: str) -> str:
        """Write a Procfile in which {python} stands for this interpreter."""
        text = "".join(
            f"{name}: {command.replace('{python}', sys.executable)}\n"
            for name, command in commands.items()
        )
        (self.directory / "Procfile").write_text(text)
        return "Procfile"

    def script(self, name: str, source: str) -> str:
        """Write a Python program and return the command that runs it."""
        (self.directory / name).write_text(source)
        return f"{sys.executable} {name}"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start it, with a pipe on both streams."""
        process = subprocess.Popen(
            [sys.executable, "-m", "brummerbus", "watch", "--db", "log.db", *arguments],
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self._running.append(process)
        return process

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=TIMEOUT)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def report(self, *arguments: str) -> dict[str, Any]:
        """Run it and return its report."""
        result = self.run("--json", *arguments)
        report: dict[str, Any] = json.loads(result.stdout)
        return report

    def rows(self, query: str, *values: object) -> list[Any]:
        """Query the store."""
        connection = sqlite3.connect(self.database)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def close(self) -> None:
        """Stop what a failed test has left running."""
        for process in self._running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=TIMEOUT)
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


def wait_for(process: subprocess.Popen[str], *parts: str) -> list[str]:
    """Read a watcher's output until each part has occurred in a line."""
    assert process.stdout is not None
    missing, seen = set(parts), []
    while missing:
        line = process.stdout.readline()
        assert line, f"ended before {missing}: {seen}"
        seen.append(line)
        missing -= {part for part in missing if part in line}
    return seen


def has_ended(pid: int) -> bool:
    """Return whether a process is gone, or waits to be reaped."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def ended(pid: int) -> bool:
    """Return whether a process has ended after some time; its adoptive parent reaps it."""
    poll(lambda: has_ended(pid))
    return True
