"""Checks of arguments that several calls share."""

from math import isnan
from typing import Any


def check_timeout(name: str, value: Any) -> float:
    """Return a time-out in seconds; infinity stands for no limit.

    Raises:
        TypeError: It is not a number; a bool is not a number here.
        ValueError: It is negative or not a number (NaN).
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, got {value!r}")
    if isnan(value) or value < 0:
        raise ValueError(f"{name} must be at least 0 seconds, got {value!r}")
    return float(value) if value < 1e18 else float("inf")


def check_hook(name: str, value: Any) -> None:
    """Raise `TypeError` unless the hook is callable or None."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be callable or None, got {value!r}")
