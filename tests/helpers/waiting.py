"""Waiting, for a condition or for time to pass, and how long that may take."""

import threading
from collections.abc import Callable
from time import monotonic

HANG = 60.0
"""Seconds after which something counts as hanging; an idle machine needs far less."""


def poll(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds that nothing signals, without keeping the GIL."""
    deadline = monotonic() + HANG
    pause = threading.Event()
    while not condition():
        assert monotonic() < deadline, "this never became true"
        pause.wait(0.001)


def pause(seconds: float) -> None:
    """Wait for that many seconds, where elapsed time is what is tested."""
    threading.Event().wait(seconds)
