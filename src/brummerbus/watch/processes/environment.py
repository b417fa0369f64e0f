"""The environment of a process: that of the watcher, `.env`, `PORT` and `PS`.

The rules are foreman's, which reads `.env` with the gem dotenv: one `NAME=value` per line, `export`
in front is allowed, `#` begins a comment, `'...'` is literal, `"..."` may have escapes and several
lines, `$NAME` and `${NAME}` are replaced except in `'...'`. Other lines are ignored. `.env` has
precedence over the environment of the watcher.

Own code, although python-dotenv exists: it would be a dependency for these lines, and by its rules
the environment has precedence where it replaces a `${NAME}`.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from brummerbus.watch.processes.procfile import CommandError

PORT = 5000
"""The port of the first process, if neither an option nor the environment says another."""

_PER_PROCESS = 100
"""The distance between the ports of two lines of the Procfile."""

_ENTRY = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)[ \t]*=[ \t]*
    (?: '(?P<literal>[^']*)' | "(?P<quoted>(?:[^"\\]|\\.)*)" | (?P<plain>[^\n\r]*?) )
    [ \t]*(?:(?<=[\s"'=])\#[^\n]*)?\r?$""",
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_REFERENCE = re.compile(r"(\\)?\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_LETTERS = {"n": "\n", "r": "\r", "t": "\t"}


def parse(text: str, base: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a `.env` file; it may refer to those before it, and to `base`."""
    found: dict[str, str] = {}

    def value_of(match: re.Match[str]) -> str:
        if match[1]:
            return match[0][1:]
        name = match[2] or match[3]
        return found.get(name, base.get(name, ""))

    for match in _ENTRY.finditer(text):
        if match["literal"] is not None:
            value = match["literal"]
        elif match["quoted"] is not None:
            value = _REFERENCE.sub(value_of, match["quoted"])
            value = _ESCAPE.sub(lambda escape: _LETTERS.get(escape[1], escape[1]), value)
        else:
            value = _REFERENCE.sub(value_of, match["plain"])
        found[match["name"]] = value
    return found


def read(files: Sequence[str], directory: str) -> dict[str, str]:
    """Return the environment of the watcher with that of these files, later ones last.

    Args:
        files: Their paths; if there are none, `.env` in the directory is read if it exists.
        directory: The directory of the Procfile.

    Raises:
        CommandError: A file cannot be read.
    """
    environment = dict(os.environ)
    default = Path(directory, ".env")
    for path in files or ([str(default)] if default.is_file() else []):
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror or error}") from None
        except UnicodeDecodeError as error:
            raise CommandError(f"{path}: not UTF-8 at byte {error.start}") from None
        environment.update(parse(text, environment))
    return environment


def port_of(index: int, instance: int, base: int) -> int:
    """Return the port of a process: 100 apart for each line of the Procfile, 1 for each instance.

    Args:
        index: The number of its line among the processes of the Procfile, from 0.
        instance: The number of the instance, from 1.
        base: The port of the first instance of the first process.
    """
    return base + index * _PER_PROCESS + instance - 1


def base_port(option: int | None, environment: Mapping[str, str]) -> int:
    """Return the port of the first process: the option's, else `PORT`, else 5000.

    Raises:
        CommandError: `PORT` is no port.
    """
    if option is not None:
        return option
    text = environment.get("PORT") or str(PORT)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise CommandError(f"PORT: expected a number from 1 to 65535, got {text!r}")
    return int(text)
