"""What to run: the Procfile of foreman and honcho, and how each of its lines is started.

A Procfile has one `name: command` per line; blank lines and lines that start with `#` are skipped.
A command runs without a shell unless it needs one: that saves a process, and signals and the exit
code are the program's own.
"""

import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_ENTRY = re.compile(r"(?P<name>[A-Za-z0-9_-]+)\s*:\s*(?P<command>\S.*)")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_SHELL_CHARACTERS = frozenset("|&;<>()$`*?[]{}!~#")
_WORDS = (
    ". : [ alias bg break case cd command continue eval exec exit export fg for function hash if "
    "jobs local read readonly return set shift source test time times trap type ulimit umask "
    "unalias unset until wait while"
)
_SHELL_WORDS = frozenset(_WORDS.split())
"""Shell builtins and keywords; as the first word they require a shell."""


class CommandError(Exception):
    """Something cannot be run, in one line. Raised before any process is started."""


@dataclass(frozen=True)
class Command:
    """One process to start, validated as far as possible without starting it."""

    name: str
    line: str
    """As the user wrote it."""
    argv: tuple[str, ...]
    executable: str
    """The absolute path of the program, or of the shell."""
    environment: Mapping[str, str]
    directory: str
    keeps_stdin: bool = False
    """Whether its standard input stays open, as that of a terminal. Otherwise it is at its end."""
    type: str = ""
    """The name in the Procfile; `name` is that of the instance, such as `web.2`."""
    port: int | None = None
    """Its `PORT`."""


def read_text(path: str) -> str:
    """Return the text of a Procfile.

    Raises:
        CommandError: The file cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise CommandError(f"{path}: not UTF-8 at byte {error.start}") from None


def parse(text: str, path: str = "Procfile") -> dict[str, str]:
    """Return the command line of each name, in the order of the text.

    Raises:
        CommandError: A line is malformed, a name occurs twice, or there is no process.
    """
    entries: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _ENTRY.fullmatch(line)
        if match is None:
            raise CommandError(f"{path}:{number}: expected 'name: command', got {line!r}")
        name = match["name"]
        if name in entries:
            raise CommandError(f"{path}:{number}: the name {name!r} is used twice")
        entries[name] = match["command"]
    if not entries:
        raise CommandError(f"{path}: no process is named in it")
    return entries


def plan(name: str, line: str, *, directory: str, base: Mapping[str, str] | None = None) -> Command:
    """Return how to start one line of a Procfile.

    Args:
        name: The process's name.
        line: The command line.
        directory: Where it will run.
        base: The environment it inherits; this process's own by default.

    Raises:
        CommandError: A quote is not closed, or the program or the shell does not exist.
    """
    environment = _environment(base)
    if needs_shell(line):
        return _planned(name, line, _shell(line), environment, directory)
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise CommandError(f"{name}: {str(error).lower()} in {line!r}") from None
    while words and _ASSIGNMENT.match(words[0]):
        variable, _, value = words.pop(0).partition("=")
        environment[variable] = value
    if not words:
        raise CommandError(f"{name}: no command in {line!r}")
    if words[0] in _SHELL_WORDS:
        return _planned(name, line, _shell(line), environment, directory)
    return _planned(name, line, words, environment, directory)


def plan_arguments(
    arguments: Sequence[str], *, directory: str, base: Mapping[str, str] | None = None
) -> Command:
    """Return how to start one program with its arguments, never through a shell."""
    if not arguments:
        raise CommandError("no command after '--'")
    name = Path(arguments[0]).name or arguments[0]
    line = shlex.join(arguments)
    return _planned(name, line, arguments, _environment(base), directory)


def needs_shell(line: str) -> bool:
    """Return whether a shell must interpret a part of the line.

    That is a special character outside quotes, or a `$` or backtick within double quotes.
    """
    quote = ""
    escaped = False
    for character in line:
        if escaped:
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = True
        elif quote:
            if character == quote:
                quote = ""
            elif quote == '"' and character in "$`":
                return True
        elif character in "'\"":
            quote = character
        elif character in _SHELL_CHARACTERS:
            return True
    return False


def _environment(base: Mapping[str, str] | None) -> dict[str, str]:
    environment = dict(os.environ if base is None else base)
    # Python buffers output to a pipe in blocks; the watcher needs each line when it is written.
    environment.setdefault("PYTHONUNBUFFERED", "1")
    return environment


def _shell(line: str) -> list[str]:
    if os.name == "nt":
        return [os.environ.get("COMSPEC", "cmd.exe"), "/c", line]
    return ["/bin/sh", "-c", line]


def _planned(
    name: str,
    line: str,
    argv: Sequence[str],
    environment: Mapping[str, str],
    directory: str,
) -> Command:
    # Look up what will be started: with the child's PATH and directory.
    program = argv[0]
    if Path(program).name != program:
        program = str(Path(directory, program))
    executable = shutil.which(program, path=environment.get("PATH", os.defpath))
    if executable is None:
        raise CommandError(f"{name}: command not found: {argv[0]}")
    # Not `resolve`: Python finds its virtual environment by the link through which it is started.
    executable = str(Path(executable).absolute())
    return Command(name, line, tuple(argv), executable, environment, directory, type=name)
