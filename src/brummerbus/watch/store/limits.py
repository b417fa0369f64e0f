"""What of earlier runs a store keeps: as options say it, and as numbers."""

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kMG]?)B?", re.IGNORECASE)
_SIZES = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3}
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True)
class Limits:
    """What of earlier runs is kept; whole runs go, the oldest first, never one that goes on."""

    size: int | None = None
    """Bytes of the file that are in use; None: any number."""
    age: float | None = None
    """Seconds since a run's end; None: any time."""


NO_LIMITS = Limits()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is kept to a parser."""
    parser.add_argument(
        "--keep-size",
        type=_option(size),
        metavar="SIZE",
        help="delete the oldest runs from the log store while it has more, such as 500M",
    )
    parser.add_argument(
        "--keep-age",
        type=_option(age),
        metavar="TIME",
        help="delete runs from the log store that ended longer ago, such as 7d",
    )


def from_arguments(args: argparse.Namespace) -> Limits:
    """Return what the options say."""
    return Limits(args.keep_size, args.keep_age)


def size(text: str) -> int:
    """Return a number of bytes, such as that of `500M`.

    Raises:
        ValueError: It is no size.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"expected a size such as 500M or 2G, got {text!r}")
    return int(float(match[1]) * _SIZES[match[2].lower()])


def age(text: str) -> float:
    """Return a time in seconds, such as that of `7d`.

    Raises:
        ValueError: It is no time.
    """
    match = _AGE.fullmatch(text)
    if match is None:
        raise ValueError(f"expected a time such as 12h, 7d or 4w, got {text!r}")
    return float(match[1]) * _SECONDS[match[2]]


def _option(read: Callable[[str], float]) -> Callable[[str], float]:
    """Return how argparse reads an option, with the message of the error."""

    def option(text: str) -> float:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return option
