"""When a process is ready, and so those that are started after it may start."""

import re
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from brummerbus.watch.processes.procfile import Command, CommandError

_ANSWER = 0.05
"""Seconds to connect to a port of this machine, which answers or refuses at once."""

_LONGEST = 64 * 1024
"""Bytes of a line without an end in which a pattern is searched."""


@dataclass(frozen=True)
class Readiness:
    """A condition; without any part a process is ready once it was started."""

    pattern: re.Pattern[bytes] | None = None
    """It has printed a line in which this is found."""
    port: int | None = None
    """A port of this machine accepts connections."""
    at_exit: bool = False
    """It has ended with code 0."""


AT_ONCE = Readiness()


def parse(text: str, command: Command) -> Readiness:
    """Return the condition for a process.

    Args:
        text: `port` (its own `PORT`), `:5432`, `exit`, or else a regular expression.
        command: The process.

    Raises:
        CommandError: It is none of them.
    """
    if text == "exit":
        return Readiness(at_exit=True)
    if text == "port":
        if command.port is None:
            raise CommandError(f"--ready: {command.name} has no PORT")
        return Readiness(port=command.port)
    if text.startswith(":"):
        if not text[1:].isdecimal() or not 0 < int(text[1:]) < 65536:
            raise CommandError(f"--ready: expected a port from 1 to 65535, got {text!r}")
        return Readiness(port=int(text[1:]))
    try:
        return Readiness(pattern=re.compile(text.encode()))
    except re.error as error:
        raise CommandError(f"--ready: {error} in {text!r}") from None


def answers(port: int) -> bool:
    """Return whether a port of this machine accepts connections."""
    for host in ("127.0.0.1", "::1"):
        with suppress(OSError), socket.create_connection((host, port), _ANSWER):
            return True
    return False


class Search:
    """Searches the lines of one stream for a pattern, as they come, once."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self._pattern = pattern
        self._line = b""

    def feed(self, chunk: bytes) -> bool:
        """Return whether it is found in a line that the chunk ends, continues or begins."""
        text = self._line + chunk
        self._line = text[text.rfind(b"\n") + 1 :][-_LONGEST:]
        return any(map(self._pattern.search, text.splitlines()))


def check_order(after: Mapping[str, Sequence[str]]) -> None:
    """Refuse processes that wait for each other.

    Raises:
        CommandError: There is a circle.
    """
    try:
        TopologicalSorter(after).prepare()
    except CycleError as error:
        circle = " after ".join(reversed(error.args[1]))
        raise CommandError(f"--after: these wait for each other: {circle}") from None
