"""`python -m brummerbus watch`: the command line of the watcher."""

import argparse
import gc
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from brummerbus.watch import page, redact
from brummerbus.watch.app import Watch
from brummerbus.watch.patterns import PatternError, read_patterns
from brummerbus.watch.places import LinkError, Links
from brummerbus.watch.private import private_text
from brummerbus.watch.procfile import Command, CommandError, plan_arguments, read_procfile
from brummerbus.watch.redact import RedactError, Redactor
from brummerbus.watch.store import DEFAULT_PATH, LogStore, StoreError, limits
from brummerbus.watch.summary import Shape, as_text
from brummerbus.watch.view import live_view

NAME = "watch"
HELP = "start processes, follow their output, and report"

_HTML = (".html", ".htm")
_JSON = (".json",)


class _Target(argparse.Action):
    """Takes `PROCFILE [options]` or `-- COMMAND ARGS...`.

    argparse drops a `--` from ordinary arguments, so a command of one word could not be
    distinguished from a Procfile. A remainder keeps it; the options after a Procfile are then
    parsed here.
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
        if namespace.procfile is not None:
            parser.error(f"expected one Procfile, or a command after '--', got also {words[0]!r}")
        if words[0] == "--":
            namespace.command_line = words[1:]
            return
        namespace.procfile = words[0]
        parser.parse_args(words[1:], namespace)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command to a parser."""
    parser.usage = (
        f"{parser.prog} [--db FILE] [--report FILE] [--patterns FILE] [--redact REGEX] [--json] "
        "[--plain] [--full] [--bus] [--links FORMAT] [PROCFILE | -- COMMAND ...]"
    )
    parser.description = (
        "Start the processes of a Procfile (by default ./Procfile) in its directory, or one "
        "command after '--', and watch until all have ended. Ctrl-C is forwarded to them; a "
        "second one kills them. The exit code is that of the process that failed first."
    )
    parser.add_argument(
        "--db",
        default=DEFAULT_PATH,
        metavar="FILE",
        help="the log store, to which the run is added (default: %(default)s)",
    )
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
    parser.add_argument(
        "--patterns",
        action="append",
        default=[],
        metavar="FILE",
        help="also find the errors that FILE describes; can be repeated",
    )
    limits.add_arguments(parser)
    redact.add_arguments(parser)
    parser.set_defaults(procfile=None, command_line=None)
    parser.add_argument("target", nargs=argparse.REMAINDER, action=_Target, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Watch, report, and return the exit code."""
    try:
        mask = redact.from_arguments(args)
        target, commands = _commands(args, mask)
        reports = [_checked_report(path) for path in args.report]
        Links({}, args.links)
        patterns = [pattern for path in args.patterns for pattern in read_patterns(path)]
        store = LogStore(args.db, target, limits.from_arguments(args))
    except (CommandError, LinkError, PatternError, RedactError) as error:
        return _refuse(str(error))
    except (StoreError, sqlite3.Error) as error:
        return _refuse(f"{args.db}: {error}")
    out = sys.stderr if args.json else sys.stdout
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # for what the terminal cannot show
    watch = Watch(
        commands,
        target=target,
        store=store,
        database=args.db,
        live=not (args.plain or args.json) and live_view.available(),
        out=out,
        patterns=patterns,
        redact=mask,
        bus_figures=args.bus,
        links=args.links,
        advise=args.bus or args.json or bool(reports),
    )
    # The collector would look at each queued line several times, and a line is in no cycle.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    outcome = watch.run()
    written = [_write(path, outcome.report) for path in reports]
    ending = json.dumps(outcome.report, indent=2) if args.json else _ending(args, outcome.report)
    complete = _print(ending) and all(written)
    return outcome.exit_code or int(not complete)


def _print(text: str) -> bool:
    """Print the report; return whether standard output took it, if anyone reads it."""
    try:
        print(text)
        sys.stdout.flush()
    except OSError as error:
        # The interpreter's exit would fail as well on what is buffered.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return True  # the reader has closed the pipe
        print(f"watch: standard output: {error.strerror or error}", file=sys.stderr)
        return False
    return True


def _commands(args: argparse.Namespace, mask: Redactor) -> tuple[str, list[Command]]:
    """Return the run's name, and what to start; what is shown of it has no secrets."""
    if args.command_line is not None:
        commands = [plan_arguments(args.command_line, directory=str(Path.cwd()))]
        target = commands[0].line
    else:
        target = args.procfile or "Procfile"
        commands = read_procfile(target)
    shown = [replace(command, line=mask(_storable(command.line))) for command in commands]
    return mask(_storable(target)), shown


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


def _write(path: Path, report: dict[str, Any]) -> bool:
    """Write a report, which has lines in it, for its owner alone; return whether it worked."""
    html = path.suffix.lower() in _HTML
    text = page.as_html(report) if html else json.dumps(report, indent=2) + "\n"
    try:
        with private_text(path) as out:
            out.write(text)
    except OSError as error:
        print(f"watch: {path}: {error.strerror or error}", file=sys.stderr)
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
