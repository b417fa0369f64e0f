"""`python -m brummerbus watch`: the command line of the watcher."""

import argparse
import gc
import json
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from brummerbus import BusError
from brummerbus.watch import labels, page, redact
from brummerbus.watch.app import Watch
from brummerbus.watch.interrupts import Interrupts, ending_at_once
from brummerbus.watch.output import Output, standard
from brummerbus.watch.patterns import PatternError, read_patterns
from brummerbus.watch.places import LinkError, Links
from brummerbus.watch.private import private_text
from brummerbus.watch.processes import options
from brummerbus.watch.processes.procfile import CommandError
from brummerbus.watch.redact import RedactError, Redactor
from brummerbus.watch.store import DEFAULT_PATH, LogStore, StoreError, limits
from brummerbus.watch.summary import Shape, as_text
from brummerbus.watch.view import live_view

HELP = "start processes, follow their output, and report"

_TICK = 0.1
_PATIENCE = 0.5
"""Seconds that a reader has after a signal to take the rest of the output."""

_HTML = (".html", ".htm")
_JSON = (".json",)


class _Target(argparse.Action):
    """Takes `PROCFILE [NAME ...] [options]` or `-- COMMAND ARGS...`.

    argparse drops a `--` from ordinary arguments, so a command of one word could not be
    distinguished from a Procfile. A remainder keeps it; what follows a word is then parsed here.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,  # noqa: ARG002 - argparse calls it so
    ) -> None:
        words = [str(word) for word in values or ()]
        if not words:
            return
        if words[0] == "--":
            if namespace.words:
                parser.error(f"expected a Procfile or a command after '--', got {words[1:]!r} too")
            namespace.command_line = words[1:]
            return
        namespace.words = [*(namespace.words or ()), words[0]]
        parser.parse_args(words[1:], namespace)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command to a parser."""
    parser.usage = (
        f"{parser.prog} [OPTIONS] [PROCFILE] [NAME ...]\n"
        f"       {parser.prog} [OPTIONS] -- COMMAND ..."
    )
    parser.description = (
        "Start the processes of a Procfile (by default ./Procfile) in its directory, all or those "
        "that are named, or one command after '--', and watch until all have ended. When one ends, "
        "the others are stopped. Ctrl-C is forwarded to them; a second one kills them. The exit "
        "code is that of the process that failed first."
    )
    parser.add_argument(
        "--db",
        default=DEFAULT_PATH,
        metavar="FILE",
        help="the log store, to which the run is added (default: %(default)s)",
    )
    _add_report_arguments(parser)
    parser.add_argument(
        "--patterns",
        action="append",
        default=[],
        metavar="FILE",
        help="also find the errors that FILE describes; can be repeated",
    )
    parser.add_argument(
        "--relay",
        metavar="URL",
        help="show what watchers on other machines find, and send them what is found here: "
        "nats://host, redis://host, or 'local' for those on this machine",
    )
    parser.add_argument(
        "--color",
        choices=labels.CHOICES,
        default=labels.AUTO,
        help="print colours; auto: on a terminal, unless NO_COLOR is set (default: %(default)s)",
    )
    options.add_arguments(parser)
    limits.add_arguments(parser)
    redact.add_arguments(parser)
    parser.set_defaults(words=None, command_line=None)
    parser.add_argument("target", nargs=argparse.REMAINDER, action=_Target, help=argparse.SUPPRESS)


def _add_report_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is reported, and how."""
    parser.add_argument(
        "--report",
        action="append",
        default=[],
        metavar="FILE",
        help="also write the report to FILE.html or FILE.json; can be repeated",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="write the report as JSON on standard output, and all lines to standard error",
    )
    parser.add_argument(
        "--plain", action="store_true", help="print lines even if a live view is possible"
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="report all errors with their lines, all failed tests and all processes, however "
        "long that is",
    )
    parser.add_argument(
        "--bus", action="store_true", help="also show the figures of the bus that carries the lines"
    )
    parser.add_argument(
        "--links",
        default="file",
        metavar="FORMAT",
        help="what places in files are links to: file, kitty, vscode, none, or a text with "
        "{path}, {line} and {column} (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Watch, report, and return the exit code."""
    mask = Redactor()
    try:
        mask = redact.from_arguments(args)
        setup = _masked(options.setup(args), mask)
        reports = [_checked_report(path) for path in args.report]
        Links({}, args.links)
        patterns = [pattern for path in args.patterns for pattern in read_patterns(path)]
        with ending_at_once():
            store = LogStore(args.db, setup.target, limits.from_arguments(args))
    except (CommandError, LinkError, PatternError, RedactError) as error:
        return _refuse(mask(_storable(str(error))))
    except (StoreError, sqlite3.Error) as error:
        return _refuse(f"{args.db}: {error}")
    # The collector would look at each queued line several times, and a line is in no cycle.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    interrupts = Interrupts()
    out, err = standard()
    watch = Watch(
        setup,
        store=store,
        database=args.db,
        live=not (args.plain or args.json or args.attach) and live_view.available(),
        out=err if args.json else out,
        err=err,
        interrupts=interrupts,
        patterns=patterns,
        redact=mask,
        bus_figures=args.bus,
        links=args.links,
        colour=labels.wanted(args.color, sys.stderr if args.json else sys.stdout),
        advise=args.bus or args.json or bool(reports),
    )
    try:
        if args.relay:
            with ending_at_once():
                watch.join(args.relay)
    except (ImportError, ValueError, BusError) as error:
        store.close()
        return _refuse(f"--relay: {error}")
    with interrupts:
        outcome = watch.run()
        written = [_write(path, outcome.report, err) for path in reports]
        said = _say_report(args, outcome.report, out, err, interrupts)
    code = outcome.exit_code or int(out.failure is not None or not all(written))
    if not (said and outcome.finished):
        os._exit(code)  # the interpreter would wait for threads that stand still
    return code


def _say_report(
    args: argparse.Namespace,
    report: dict[str, Any],
    out: Output,
    err: Output,
    interrupts: Interrupts,
) -> bool:
    """Print the report; return whether all output was written."""
    out.say(json.dumps(report, indent=2) if args.json else _ending(args, report))
    written = _wait_for(out, interrupts)
    if out.failure is not None:
        err.say(f"watch: standard output: {out.failure.strerror or out.failure}")
    return _wait_for(err, interrupts) and written


def _wait_for(output: Output, interrupts: Interrupts) -> bool:
    """Wait until all is written: as long as it takes, or after a signal for a second at most."""
    limit = float("inf")
    while not output.wait(_TICK):
        if interrupts.count:
            limit = min(limit, time.monotonic() + _PATIENCE)
        if time.monotonic() >= limit:
            return False
    return True


def _masked(setup: options.Setup, mask: Redactor) -> options.Setup:
    """Return it without secrets in what is shown of it."""
    commands = [replace(command, line=mask(_storable(command.line))) for command in setup.commands]
    return replace(setup, target=mask(_storable(setup.target)), commands=commands)


def _storable(text: str) -> str:
    """Return a text of the command line as UTF-8 can have it, with other bytes escaped."""
    return os.fsencode(text).decode(errors="backslashreplace")


def _checked_report(name: str) -> Path:
    """Return the file's path if it can be written and drawn, before anything is started."""
    path = Path(name)
    suffix = path.suffix.lower()
    if suffix not in _HTML + _JSON:
        raise CommandError(f"--report: expected a name that ends in .html or .json, got {name!r}")
    if not path.resolve().parent.is_dir():
        raise CommandError(f"--report: no directory {str(path.parent)!r}")
    return path


def _write(path: Path, report: dict[str, Any], err: Output) -> bool:
    """Write a report, which has lines in it, for its owner alone; return whether it worked."""
    html = path.suffix.lower() in _HTML
    text = page.as_html(report) if html else json.dumps(report, indent=2) + "\n"
    try:
        with private_text(path) as out:
            out.write(text)
    except OSError as error:
        err.say(f"watch: {path}: {error.strerror or error}")
        return False
    return True


def _ending(args: argparse.Namespace, report: dict[str, Any]) -> str:
    """Return the report as it fits on the terminal."""
    size = shutil.get_terminal_size()
    width = max(size.columns, 40)
    terminal = sys.stdout.isatty()
    shape = Shape(width, max(size.lines, 12), full=args.full, bus=args.bus, links=terminal)
    return f"\n{as_text(report, shape)}\nThe lines are in {report['database']}"


def _refuse(message: str) -> int:
    print(f"watch: {message}", file=sys.stderr)
    return 2
