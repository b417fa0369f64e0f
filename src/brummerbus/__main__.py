"""The command line: `python -m brummerbus size | watch | log`."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

_COMMANDS = {
    "watch": "brummerbus.watch.command",
    "log": "brummerbus.watch.log.command",
    "size": "brummerbus._cli.size",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; wrong usage exits with code 2."""
    parser = argparse.ArgumentParser(prog="brummerbus", description="An in-process event bus.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    words = sys.argv[1:] if argv is None else argv
    # The other commands are not imported: that takes longer than most of what `size` does.
    used = words[:1] if words and words[0] in _COMMANDS else _COMMANDS
    for name in used:
        command = import_module(_COMMANDS[name])
        sub = commands.add_parser(name, help=command.HELP, description=command.HELP)
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    arguments = parser.parse_args(argv)
    code: int = arguments.run(arguments)
    return code


if __name__ == "__main__":
    sys.exit(main())
