"""How many instances of which lines of a Procfile run, each with its `PORT` and its `PS`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from brummerbus.watch.processes import environment
from brummerbus.watch.processes.procfile import Command, CommandError, parse, plan, read_text

_ALL = "all"
_MOST = 1000
"""Instances of one process; more are a mistake."""


def plan_procfile(
    path: str,
    *,
    names: Sequence[str] = (),
    formation: str = "",
    port: int | None = None,
    env_files: Sequence[str] = (),
) -> list[Command]:
    """Return the commands to start; they run in the directory of the Procfile.

    An instance is called `web.1` in the variable `PS`; elsewhere it is `web` if it is the only one.

    Args:
        path: The Procfile.
        names: Only these processes; all if there are none.
        formation: How many of each, such as `web=2,worker=1` or `all=2`.
        port: The port of the first one; from the environment by default.
        env_files: Files with variables; `.env` beside the Procfile by default.

    Raises:
        CommandError: Something cannot be read, is malformed or unknown, or nothing is to run.
    """
    directory = str(Path(path).resolve().parent)
    entries = parse(read_text(path), path)
    counts = _counts(entries, names, parse_formation(formation))
    base = environment.read(env_files, directory)
    first = environment.base_port(port, base)
    commands = []
    for index, (name, line) in enumerate(entries.items()):
        for number in range(1, counts[name] + 1):
            own = environment.port_of(index, number, first)
            if own > 65535:
                raise CommandError(f"{name}: its port would be {own}, beyond 65535")
            variables = {**base, "PORT": str(own), "PS": f"{name}.{number}"}
            shown = name if counts[name] == 1 else f"{name}.{number}"
            command = plan(shown, line, directory=directory, base=variables)
            commands.append(replace(command, type=name, port=own, keeps_stdin=True))
    if not commands:
        raise CommandError(f"{path}: no process of it is to be started")
    return commands


def parse_formation(text: str) -> dict[str, int]:
    """Return the number of instances of each name.

    Raises:
        CommandError: It is not of the form `web=2,worker=1`.
    """
    counts: dict[str, int] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = (word.strip() for word in pair.partition("="))
        if not name or not number.isdecimal() or int(number) > _MOST:
            raise CommandError(f"--formation: expected 'web=2,worker=1', got {pair!r}")
        counts[name] = int(number)
    return counts


def _counts(
    entries: Iterable[str], names: Sequence[str], formation: Mapping[str, int]
) -> dict[str, int]:
    """Return how many instances of each process are to run."""
    entries = list(entries)
    for name in (*names, *formation):
        if name not in entries and name != _ALL:
            raise CommandError(f"no process {name!r}; there are: {', '.join(entries)}")
    # As with foreman: a process that a formation does not name does not run.
    others = formation.get(_ALL, 0 if formation and not names else 1)
    chosen = entries if not names or _ALL in names else names
    return {name: formation.get(name, others) if name in chosen else 0 for name in entries}
