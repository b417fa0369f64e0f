"""How long tests wait: for what must become true, and for time to pass."""

import threading
from collections.abc import Callable
from time import monotonic

HANG = 30.0
"""Seconds after which something hangs; on an idle machine everything takes far less."""


def poll(condition: Callable[[], bool]) -> None:
    """Wait for a condition that no event tells of, without holding the interpreter."""
    deadline = monotonic() + HANG
    pause = threading.Event()
    while not condition():
        assert monotonic() < deadline, "this never became true"
        pause.wait(0.001)


def pause(seconds: float) -> None:
    """Let time pass, because time is what is measured."""
    threading.Event().wait(seconds)
