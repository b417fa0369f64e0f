"""Limits and checks that several modules share; messages name the argument, its value and range."""

from typing import Any

MAX_WORKERS = 1024
"""Maximum number of workers of a bus."""

MAX_QUEUE_SIZE = 16_777_216  # 2**24
"""Maximum number of slots of a queue."""


def check_int(name: str, value: object, low: int, high: int | None = None) -> int:
    """Return `value` as a plain int.

    Raises:
        TypeError: It is not an int. A bool is rejected too: in practice it is a mistake.
        ValueError: It is below `low`, or above `high`.
    """
    wanted = f"of at least {low}" if high is None else f"from {low} to {high}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int {wanted}, got {shown(value)}")
    number = int.__int__(value)  # a subclass may override comparison
    if number < low or (high is not None and number > high):
        raise ValueError(f"{name} must be an int {wanted}, got {shown(value)}")
    return number


def setting_int(name: str, value: object, low: int, high: int) -> int:
    """Return `value` as a plain int; of a setting, a wrong type is a `ValueError` too."""
    try:
        return check_int(name, value, low, high)
    except TypeError as error:
        raise ValueError(str(error)) from None


def check_bool(name: str, value: object) -> bool:
    """Return `value`; raise `TypeError` unless it is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")
    return value


def shown(value: object) -> str:
    """Return a value's `repr`, shortened, for an error message; never raises.

    The message must name the argument even if `repr` fails, as it does for an int of more than
    `sys.get_int_max_str_digits()` digits.
    """
    try:
        text = repr(value)
    except Exception:
        digits = f" of {value.bit_length()} bits" if isinstance(value, int) else ""
        text = f"<{type(value).__name__}{digits}>"
    return text if len(text) <= 100 else f"{text[:100]}..."


def check_timeout(name: str, value: Any) -> float:
    """Return a time-out in seconds; infinity means no limit.

    Raises:
        TypeError: It is not a number, or a bool.
        ValueError: It is negative or NaN.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, at least 0, got {shown(value)}")
    # A subclass may override comparison.
    plain = int.__int__(value) if isinstance(value, int) else float.__float__(value)
    if not plain >= 0:  # also true for NaN
        raise ValueError(f"{name} must be a number of seconds, at least 0, got {shown(value)}")
    return float(plain) if plain < 1e18 else float("inf")


def check_seconds(name: str, value: Any) -> float:
    """Return a number of seconds that has an end.

    Raises:
        TypeError: It is not a number, or a bool.
        ValueError: It is negative, NaN, or 1e18 or more.
    """
    seconds = check_timeout(name, value)
    if seconds == float("inf"):
        raise ValueError(
            f"{name} must be a finite number of seconds below 1e18, got {shown(value)}"
        )
    return seconds
