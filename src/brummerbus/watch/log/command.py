"""The command line of `log`: finds lines, errors and runs in the store written by `watch`."""

import argparse
import os
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from brummerbus.watch import redact
from brummerbus.watch.labels import Labels, wanted
from brummerbus.watch.log.arguments import add_arguments, conflict, selection
from brummerbus.watch.log.following import follow
from brummerbus.watch.log.formats import (
    WRITERS,
    as_json,
    as_printed,
    runs_as_json,
    runs_as_table,
)
from brummerbus.watch.private import private_text
from brummerbus.watch.redact import RedactError, Redactor
from brummerbus.watch.store import Reader, Stored, StoredLine, StoredRun, StoreError

__all__ = ["HELP", "add_arguments", "run"]

HELP = "show stored lines, errors or runs, by process, text and time"

_INTERRUPTED = 130
"""As a shell shows the end by Ctrl-C."""


def run(args: argparse.Namespace) -> int:
    """Print what is asked for and return the exit code."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        if wrong := conflict(args):
            return _refuse(wrong)
        mask = redact.from_arguments(args)
        labels = _labels(args)
        if args.follow:
            return _follow(args, mask, labels)
        with Reader(args.db) as reader:
            if args.runs:
                return _print(_runs(args, reader.runs(), mask))
            rows = _masked(reader.select(selection(args)), mask)
            return _export(args.export, rows) if args.export else _print(_lines(args, rows, labels))
    except RedactError as error:
        return _refuse(str(error))
    except (StoreError, sqlite3.Error) as error:
        return _refuse(f"{args.db}: {error}")
    except BrokenPipeError:
        _leave_output()  # the reader has closed the pipe
        return 0
    except OSError as error:
        _leave_output()
        print(f"log: standard output: {error.strerror or error}", file=sys.stderr)
        return 1


def _follow(args: argparse.Namespace, mask: Redactor, labels: Labels) -> int:
    try:
        for rows in follow(Path(args.db), selection(args)):
            _print(_lines(args, _masked(rows, mask), labels))
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


def _lines(args: argparse.Namespace, rows: Iterable[Stored], labels: Labels) -> Iterator[str]:
    return as_json(rows) if args.json else as_printed(rows, labels)


def _labels(args: argparse.Namespace) -> Labels:
    """Return the labels of all processes that are asked for."""
    with Reader(args.db) as reader:
        known, names = reader.processes(), reader.processes(args.which)
    for name in args.process or ():
        if name not in known and not args.follow:
            raise StoreError(f"no process {name!r} in it; known: {', '.join(known) or 'none'}")
    return Labels(args.process or names, colour=wanted(args.color, sys.stdout))


def _runs(args: argparse.Namespace, runs: list[StoredRun], mask: Redactor) -> Iterator[str]:
    if mask:
        runs = [
            replace(
                run,
                target=mask(run.target),
                processes=[each._replace(command=mask(each.command)) for each in run.processes],
            )
            for run in runs
        ]
    return runs_as_json(runs) if args.json else runs_as_table(runs)


def _masked(rows: Iterable[Stored], mask: Redactor) -> Iterable[Stored]:
    return (_masked_row(row, mask) for row in rows) if mask else rows


def _masked_row(row: Stored, mask: Redactor) -> Stored:
    if isinstance(row, StoredLine):
        text = mask(row.text)
        return row if text == row.text else row._replace(text=text, raw=None)
    text = "\n".join(map(mask, row.text.split("\n")))
    return row._replace(text=text, message=mask(row.message), location=mask(row.location))


def _print(lines: Iterable[str]) -> int:
    sys.stdout.writelines(lines)
    sys.stdout.flush()
    return 0


def _leave_output() -> None:
    """Send what is buffered nowhere; the interpreter's exit would fail as well on it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _export(name: str, rows: Iterable[Stored]) -> int:
    writer = WRITERS[Path(name).suffix.lower()]
    try:
        with private_text(name, newline="") as out:
            writer(rows, out)
    except OSError as error:
        print(f"log: {name}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


def _refuse(message: str) -> int:
    print(f"log: {message}", file=sys.stderr)
    return 2
