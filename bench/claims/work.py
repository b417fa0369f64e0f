"""The handlers' work, the same for every contestant: files, HTTP and regular expressions."""

import re
import subprocess
import sys
from collections import Counter
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any

from brummerbus import Event

DEMO = Path(__file__).resolve().parents[1] / "demo"

PATTERNS = {
    "passed": re.compile(r"\bPASSED\b"),
    "failed": re.compile(r"\b(?:FAILED|ERROR)\b"),
    "test": re.compile(r"(?P<file>[\w/.-]+\.py)::(?P<name>test_\w+)"),
    "frame": re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)(?:, in (?P<name>\S+))?'),
    "error": re.compile(r"^(?:E\s+)?(?P<type>\w+(?:Error|Exception)): (?P<text>.*)$"),
    "progress": re.compile(r"\[\s*(?P<percent>\d{1,3})%\]"),
    "seconds": re.compile(r"\bin (?P<seconds>\d+\.\d+)s\b"),
    "url": re.compile(r"\bhttps?://(?P<host>[\w.-]+)(?P<path>/\S*)?"),
}
"""What a development tool searches for in its processes' output."""


def write_log_text(path: Path) -> None:
    """Write the output of the demo's processes: passing and failing tests, a chained traceback."""
    flags = ["-p", "no:cacheprovider", "-c", "suite/pytest.ini", "-v", "suite"]
    commands = [[sys.executable, "-m", "pytest", *flags], [sys.executable, "fail.py"]]
    with path.open("w", encoding="utf-8") as file:
        for command in commands:
            done = subprocess.run(command, cwd=DEMO, capture_output=True, check=False)
            file.write((done.stdout + done.stderr).decode(errors="replace"))


class Work:
    """The three handlers, with the file and the connections they use.

    Args:
        log: The file to which lines are appended.
        text: The lines of real output to parse.
        lines: The number of lines that each call parses, from the calibration.
        port: The server's port.
    """

    def __init__(self, log: Path, text: list[str], lines: int, port: int) -> None:
        self.text = text
        self.lines = lines
        self.port = port
        self.found: Counter[str] = Counter()
        self._file = log.open("ab")
        self._idle: list[HTTPConnection] = []

    def __enter__(self) -> "Work":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._file.close()
        for connection in self._idle:
            connection.close()

    def warm_up(self) -> None:
        """Call each handler once: it triggers late imports, which fail in a limited process."""
        event = Event("work.warm_up", (0, self.line(0)))
        for handler in (self.store, self.parse, self.fetch):
            handler(event)

    def line(self, number: int) -> str:
        """Return the text of an event: a new string, as if read from a pipe."""
        return f"{number} {self.text[number % len(self.text)]}"

    def store(self, event: Any) -> None:
        """Append the event's line to the log, up to the system's cache."""
        self._file.write(f"{event.type} {event.data[1]}\n".encode())
        self._file.flush()

    def parse(self, event: Any) -> None:
        """Search the event's line, and the following lines of the text, for the patterns."""
        number, line = event.data[1].split(" ", 1)
        start = int(number) % len(self.text)
        for other in (line, *self.text[start + 1 : start + self.lines]):
            for name, pattern in PATTERNS.items():
                match = pattern.search(other)
                if match is not None:
                    self.found[name] += 1
                    match.groupdict()

    def fetch(self, event: Any) -> None:
        """Request from the server, over an idle connection or a new one."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", f"/mcp?line={event.id}")
        response = connection.getresponse()
        body = response.read()
        if response.status != 200 or b"ready" not in body:
            raise OSError(f"the server answered {response.status}")
        self._idle.append(connection)
