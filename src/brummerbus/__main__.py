"""The command line: `python -m brummerbus size | watch | log`."""

import argparse
import sys
from collections.abc import Sequence

from brummerbus._cli import size
from brummerbus.watch import command as watch_command
from brummerbus.watch.log import command as log_command

_COMMANDS = (watch_command, log_command, size)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; wrong usage exits with code 2."""
    parser = argparse.ArgumentParser(prog="brummerbus", description="An in-process event bus.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        sub = commands.add_parser(command.NAME, help=command.HELP, description=command.HELP)
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    arguments = parser.parse_args(argv)
    code: int = arguments.run(arguments)
    return code


if __name__ == "__main__":
    sys.exit(main())
