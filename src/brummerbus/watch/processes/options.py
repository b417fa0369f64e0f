"""The options of `watch` that say which processes run, and how."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from brummerbus.watch.processes import ready
from brummerbus.watch.processes.formation import plan_procfile
from brummerbus.watch.processes.manager import KILL_TIMEOUT, Plan
from brummerbus.watch.processes.procfile import (
    Command,
    CommandError,
    parse,
    plan_arguments,
    read_text,
)
from brummerbus.watch.processes.ready import Readiness
from brummerbus.watch.processes.restart import DELAY, Policy

_DEFAULT = "Procfile"


@dataclass(frozen=True)
class Setup:
    """What to run, and how."""

    target: str
    """The name of the run: the Procfile, or the command."""
    commands: Sequence[Command]
    plan: Plan = field(default_factory=Plan)
    readiness: Mapping[str, Readiness] = field(default_factory=dict)
    """When a process is ready; otherwise once it was started."""
    terminal: bool = False
    """Whether the streams of the processes are terminals."""
    attached: str | None = None
    """The process that gets the standard input of the watcher."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options to a parser."""
    group = parser.add_argument_group("processes")
    group.add_argument(
        "-f", "--procfile", metavar="FILE", help=f"the Procfile (default: {_DEFAULT})"
    )
    group.add_argument(
        "-m",
        "--formation",
        default="",
        metavar="NAME=N,...",
        help="how many of which processes run, 'all' for the others (default: all=1)",
    )
    group.add_argument(
        "-p",
        "--port",
        type=_port,
        metavar="N",
        help="PORT of the first process; 100 more for each further one (default: PORT, or 5000)",
    )
    group.add_argument(
        "-e",
        "--env",
        action="append",
        default=[],
        metavar="FILE",
        help="read variables from FILE; can be repeated (default: .env beside the Procfile)",
    )
    _add_life_arguments(group)
    group.add_argument(
        "--pty",
        action="store_true",
        help="give each process terminals, so that it prints colours",
    )
    group.add_argument("--attach", metavar="NAME", help="forward standard input to this process")


def _add_life_arguments(group: "argparse._ArgumentGroup") -> None:
    """Add the options that say when processes are started, restarted and stopped."""
    group.add_argument(
        "--restart",
        action="append",
        default=[],
        metavar="[NAME=]POLICY",
        help="restart what has ended: never, on-failure or always; can be repeated",
    )
    group.add_argument(
        "--restart-delay",
        type=seconds,
        default=DELAY,
        metavar="SECONDS",
        help="wait before the first restart; it doubles with each (default: %(default)s)",
    )
    group.add_argument(
        "--ready",
        action="append",
        default=[],
        metavar="NAME=CONDITION",
        help="when a process is ready: a regular expression found in its output, 'port' (its PORT "
        "answers), ':N' (port N answers), or 'exit' (it ends with code 0); can be repeated",
    )
    group.add_argument(
        "--after",
        action="append",
        default=[],
        metavar="NAME=OTHER,...",
        help="start a process once others are ready; can be repeated",
    )
    group.add_argument(
        "--keep-going",
        action="store_true",
        help="let the other processes go on when one ends",
    )
    group.add_argument(
        "-t",
        "--kill-timeout",
        type=seconds,
        default=KILL_TIMEOUT,
        metavar="SECONDS",
        help="kill what has not ended so long after it was asked to (default: %(default)s)",
    )


def setup(args: argparse.Namespace) -> Setup:
    """Return what the options say.

    Raises:
        CommandError: Something in them cannot be run, is malformed or unknown.
    """
    if args.command_line is not None:
        command = plan_arguments(args.command_line, directory=str(Path.cwd()))
        target, commands = command.line, [command]
    else:
        target, names = _procfile(args.procfile, args.words or [])
        commands = plan_procfile(
            target,
            names=names,
            formation=args.formation,
            port=args.port,
            env_files=[file for files in args.env for file in files.split(",")],
        )
    attached = None
    if args.attach is not None:
        attached = _instances("--attach", args.attach, commands)[0].name
        commands = [
            replace(command, keeps_stdin=command.keeps_stdin or command.name == attached)
            for command in commands
        ]
    plan = Plan(
        kill_timeout=args.kill_timeout,
        keep_going=args.keep_going,
        restart=_policies(args.restart, commands),
        restart_delay=args.restart_delay,
        after=_order(args.after, commands),
    )
    readiness = {
        command.name: ready.parse(condition, command)
        for name, condition in _pairs("--ready", args.ready)
        for command in _instances("--ready", name, commands)
    }
    return Setup(target, commands, plan, readiness, args.pty, attached)


def seconds(text: str) -> float:
    """Return a finite number of seconds, 0 or more, for argparse."""
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected seconds, 0 or more, got {text!r}")
    return number


def _port(text: str) -> int:
    number = int(text)
    if not 0 < number < 65536:
        raise argparse.ArgumentTypeError(f"expected a port from 1 to 65535, got {text!r}")
    return number


def _procfile(option: str | None, words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return the Procfile, and the names of the processes to start.

    The first word is the Procfile, unless `-f` has named it, or no such file exists and ./Procfile
    has a process of that name.
    """
    if option is not None:
        return option, words
    if not words:
        return _DEFAULT, []
    is_name = not Path(words[0]).exists() and Path(_DEFAULT).is_file()
    if is_name and words[0] in parse(read_text(_DEFAULT)):
        return _DEFAULT, words
    return words[0], words[1:]


def _policies(texts: Iterable[str], commands: Sequence[Command]) -> dict[str, Policy]:
    policies: dict[str, Policy] = {}
    for text in texts:
        name, equals, word = text.rpartition("=")
        chosen = _instances("--restart", name, commands) if equals else commands
        try:
            policy = Policy(word)
        except ValueError:
            expected = ", ".join(policy.value for policy in Policy)
            raise CommandError(f"--restart: expected one of {expected}, got {word!r}") from None
        policies.update((command.name, policy) for command in chosen)
    return policies


def _order(texts: Iterable[str], commands: Sequence[Command]) -> dict[str, list[str]]:
    after: dict[str, list[str]] = {}
    for name, others in _pairs("--after", texts):
        before = [
            command.name
            for other in others.split(",")
            for command in _instances("--after", other, commands)
        ]
        for command in _instances("--after", name, commands):
            after[command.name] = after.get(command.name, []) + before
    ready.check_order(after)
    return after


def _pairs(option: str, texts: Iterable[str]) -> list[tuple[str, str]]:
    pairs = []
    for text in texts:
        name, _, value = text.partition("=")
        if not name or not value:
            raise CommandError(f"{option}: expected 'NAME=...', got {text!r}")
        pairs.append((name, value))
    return pairs


def _instances(option: str, name: str, commands: Sequence[Command]) -> list[Command]:
    """Return the commands of this name, of the Procfile or of an instance."""
    found = [command for command in commands if name in (command.name, command.type)]
    if not found:
        known = ", ".join(command.name for command in commands)
        raise CommandError(f"{option}: no process {name!r}; there are: {known}")
    return found
