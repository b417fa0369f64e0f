"""`log --from HOST`: what a watcher on another machine has sent."""

import argparse
from pathlib import Path

import pytest

from brummerbus import Event
from brummerbus.watch.log import command
from brummerbus.watch.payloads import ErrorFound, LogLine
from brummerbus.watch.store import LogStore

from ..helpers import lines_event  # noqa: TID252

NAMES = ("api", "api@box", "api@box.2", "api@attic")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A store with a line and an error of a process here and of three elsewhere."""
    path = tmp_path / "brummerbus.db"
    with LogStore(path) as store:
        for number, name in enumerate(NAMES):
            line = LogLine(name, "stdout", 0, f"line of {name}", 1000.0 + number)
            store.on_lines([lines_event(line)])
            error = ErrorFound(name, "stdout", 0, 0, 1000.0 + number, "log", name, "", name)
            store.on_errors([Event("error.detected", error)])
    return path


def shown(database: Path, capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Run the command; return the names of the processes of what it prints."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.run(parser.parse_args(["--db", str(database), *words])) == 0
    return [line.split()[1] for line in capsys.readouterr().out.splitlines()]


def test_only_lines_of_that_machine_are_shown(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(database, capsys) == list(NAMES)
    assert shown(database, capsys, "--from", "box") == ["api@box", "api@box.2"]
    assert shown(database, capsys, "--from", "attic") == ["api@attic"]
    assert shown(database, capsys, "--from", "nowhere") == []


def test_and_only_its_errors(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(database, capsys, "--errors", "--from", "attic") == ["api@attic"]
