"""The options of `log`, and what they say as a selection of lines or errors."""

import argparse
import re
import time
from datetime import datetime

from brummerbus.watch import labels, redact
from brummerbus.watch.log.formats import WRITERS
from brummerbus.watch.store import DEFAULT_PATH, LAST, Selection

_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_TIME = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?")
_RUNS = {"last": LAST, "all": None}
_STREAMS = {"out": "stdout", "err": "stderr", "stdout": "stdout", "stderr": "stderr"}

_APART = (
    (
        "runs",
        (
            "follow",
            "export",
            "process",
            "from",
            "stream",
            "grep",
            "errors",
            "tail",
            "since",
            "until",
        ),
    ),
    ("follow", ("export", "until")),
    ("export", ("json",)),
)
"""Options, and those that have no meaning beside them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command to a parser."""
    when = "'2024-05-17 09:30', '09:30' for today, or '10m' for ten minutes ago (s, m, h, d)"
    add = parser.add_argument
    add("--db", default=DEFAULT_PATH, metavar="FILE", help="the log store (default: %(default)s)")
    add("--runs", action="store_true", help="list the runs in the file, instead of lines")
    add("--errors", action="store_true", help="errors instead of all lines")
    add("-f", "--follow", action="store_true", help="go on with what comes, until Ctrl-C")
    add("--process", action="append", metavar="NAME", help="only this process; can be repeated")
    add("--from", metavar="HOST", help="only what a watcher there has sent (--relay)")
    add("--stream", type=_stream, metavar="out|err", help="only standard output, or error")
    add("--grep", type=_expression, metavar="REGEX", help="only what this finds something in")
    add("--tail", type=_count, metavar="N", help="only the last N lines or errors")
    add("--since", type=_moment, metavar="TIME", help=f"from then on: {when}")
    add("--until", type=_moment, metavar="TIME", help="before then")
    add(
        "--run",
        dest="which",
        type=_run,
        default=LAST,
        metavar="RUN",
        help="which run in the file: 'last' (the default), 'all', or its number",
    )
    add("--json", action="store_true", help="one JSON object per line")
    suffixes = ", ".join(WRITERS)
    add("--export", type=_exported, metavar="FILE", help=f"write to a file, by suffix: {suffixes}")
    add(
        "--color",
        choices=labels.CHOICES,
        default=labels.AUTO,
        help="print colours; auto: on a terminal, unless NO_COLOR is set (default: %(default)s)",
    )
    redact.add_arguments(parser)


def conflict(args: argparse.Namespace) -> str | None:
    """Return what is wrong with options that were given together, if anything."""
    for name, others in _APART:
        for other in others:
            if getattr(args, name) and getattr(args, other):
                return f"--{other} has no meaning with --{name}"
    return None


def selection(args: argparse.Namespace) -> Selection:
    """Return what the options ask for."""
    return Selection(
        run=args.which,
        processes=args.process,
        host=getattr(args, "from"),
        stream=args.stream,
        since=args.since,
        until=args.until,
        grep=args.grep,
        tail=args.tail,
        errors=args.errors,
    )


def _count(text: str) -> int:
    count = int(text) if text.isdecimal() else 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1 up, got {text!r}")
    return count


def _run(text: str) -> int | None:
    if text in _RUNS:
        return _RUNS[text]
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected 'last', 'all' or a number, got {text!r}")
    return int(text)


def _stream(text: str) -> str:
    if text not in _STREAMS:
        raise argparse.ArgumentTypeError(f"expected 'out' or 'err', got {text!r}")
    return _STREAMS[text]


def _expression(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        message = f"expected a regular expression, got {text!r}: {error}"
        raise argparse.ArgumentTypeError(message) from None


def _exported(text: str) -> str:
    if not text.lower().endswith(tuple(WRITERS)):
        suffixes = ", ".join(WRITERS)
        raise argparse.ArgumentTypeError(f"expected a name that ends in {suffixes}, got {text!r}")
    return text


def _moment(text: str) -> float:
    """Return a time as seconds since the epoch; local unless it has a zone."""
    if match := _AGO.fullmatch(text):
        return time.time() - float(match[1]) * _UNITS[match[2]]
    now = datetime.now().astimezone()
    try:
        if _TIME.fullmatch(text):
            moment = datetime.fromisoformat(f"{now:%Y-%m-%d} {text.zfill(5)}")
        else:
            moment = datetime.fromisoformat(text)
    except ValueError:
        message = f"expected a time such as 09:30, 2024-05-17T09:30 or 10m, got {text!r}"
        raise argparse.ArgumentTypeError(message) from None
    return moment.timestamp()
