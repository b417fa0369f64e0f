"""What all ways share."""

import sys
from time import process_time
from typing import Any, NamedTuple

WINDOW = 256
"""How many messages are unacknowledged at a time."""

PATIENCE = 120.0
TEXT = "x" * 72

cpu_at_start = 0.0
"""CPU seconds of this process until it began to send or receive."""


class Task(NamedTuple):
    """What a process has to do."""

    url: str
    events: int
    run: str
    """A name that no other round has, for streams and groups."""


def payload(number: int) -> dict[str, Any]:
    """Return what is sent."""
    return {"number": number, "text": TEXT}


def ready() -> None:
    """Say so, and wait for the signal to begin."""
    global cpu_at_start
    print("ready", flush=True)
    sys.stdin.readline()
    cpu_at_start = process_time()
