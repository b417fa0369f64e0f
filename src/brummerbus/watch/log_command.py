"""`python -m brummerbus log`: finds lines and errors in the store written by `watch`."""

import argparse
import os
import re
import sqlite3
import sys
import time
from datetime import datetime
from pathlib import Path

from brummerbus.watch.line_printer import clock
from brummerbus.watch.store import DEFAULT_PATH, Row, processes, read

NAME = "log"
HELP = "show stored lines or errors, by process and time"

_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_TIME = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?")
_RUNS = {"last": -1, "all": None}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command to a parser."""
    when = "'2024-05-17 09:30', '09:30' for today, or '10m' for ten minutes ago (s, m, h, d)"
    parser.add_argument(
        "--db", default=DEFAULT_PATH, metavar="FILE", help="the log store (default: %(default)s)"
    )
    parser.add_argument("--process", metavar="NAME", help="only this process")
    parser.add_argument("--errors", action="store_true", help="errors instead of all lines")
    parser.add_argument("--tail", type=_count, metavar="N", help="only the last N lines or errors")
    parser.add_argument("--since", type=_moment, metavar="TIME", help=f"from then on: {when}")
    parser.add_argument("--until", type=_moment, metavar="TIME", help="before then")
    parser.add_argument(
        "--run",
        dest="which",
        type=_run,
        default=-1,
        metavar="RUN",
        help="which run in the file: 'last' (the default), 'all', or its number",
    )


def run(args: argparse.Namespace) -> int:
    """Print the selected lines or errors and return the exit code."""
    try:
        if not Path(args.db).is_file():
            return _refuse(f"{args.db}: no such file; 'watch' writes it")
        names = processes(args.db)
        if args.process is not None and args.process not in names:
            known = ", ".join(sorted(names)) or "none"
            return _refuse(f"no process {args.process!r} in {args.db}; known: {known}")
        rows = read(
            args.db,
            run=args.which,
            process=args.process,
            errors=args.errors,
            since=args.since,
            until=args.until,
            tail=args.tail,
        )
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="backslashreplace")
        for row in rows:
            print(_shown(row))
        sys.stdout.flush()
    except sqlite3.Error as error:
        return _refuse(f"{args.db}: {error}")
    except BrokenPipeError:
        # The reader has closed the pipe; without this the interpreter's exit would fail as well.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _shown(row: Row) -> str:
    """Return a row in the format of `watch`; an error has several lines."""
    head = f"{clock(row.time)} {row.process} | "
    return "\n".join(head + line for line in row.text.split("\n"))


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


def _refuse(message: str) -> int:
    print(f"log: {message}", file=sys.stderr)
    return 2
