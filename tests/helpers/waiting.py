"""Waiting in tests: for a condition, and for time to pass."""

import threading
from collections.abc import Callable
from time import monotonic

HANG = 30.0
"""Seconds after which something hangs; on an idle machine everything is far faster."""


def poll(condition: Callable[[], bool]) -> None:
    """Wait for a condition without an event, without holding the GIL."""
    deadline = monotonic() + HANG
    pause = threading.Event()
    while not condition():
        assert monotonic() < deadline, "this never became true"
        pause.wait(0.001)


def pause(seconds: float) -> None:
    """Let time pass, because the test is about time."""
    threading.Event().wait(seconds)
