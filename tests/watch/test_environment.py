"""`.env`, `PORT` and `PS`, by the rules of foreman."""

import os
from pathlib import Path

import pytest

from brummerbus.watch.processes import environment
from brummerbus.watch.processes.environment import parse
from brummerbus.watch.processes.formation import parse_formation, plan_procfile
from brummerbus.watch.processes.procfile import CommandError


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=1", "1"),
        ("export A=1", "1"),
        ("  A = 1  ", "1"),
        ("A=", ""),
        ("A=two words", "two words"),
        ("A='two  words # and this'", "two  words # and this"),
        ('A="two words"', "two words"),
        ("A=1 # a comment", "1"),
        ("A='1' # a comment", "1"),
        ("A=# a comment", ""),
        ("A=a#b", "a#b"),
        ("A=postgres://u:p@host/db?x=1&y=2", "postgres://u:p@host/db?x=1&y=2"),
        (r'A="one\ntwo\t\"quoted\""', 'one\ntwo\t"quoted"'),
        (r"A='one\ntwo'", r"one\ntwo"),
        ('A="one\ntwo"', "one\ntwo"),
        ("A=$HOST:1", "example:1"),
        ('A="${HOST}:1"', "example:1"),
        ("A='$HOST'", "$HOST"),
        (r"A=\$HOST", "$HOST"),
        ("A=$NONE.", "."),
        ("A=costs 5$", "costs 5$"),
        ("A=1\r", "1"),
    ],
)
def test_a_line_says_a_value(line: str, value: str) -> None:
    text = f"# first\n{line}\nnonsense\n=\nB=2\n"
    assert parse(text, {"HOST": "example"}) == {"A": value, "B": "2"}


def test_a_value_may_refer_to_one_before_it() -> None:
    assert parse("A=1\nB=${A}2\nA=3\n", {"A": "0"}) == {"A": "3", "B": "12"}


def write(directory: Path, procfile: str = "web: true\nworker: true\n", **files: str) -> str:
    """Write a Procfile, and files beside it; return the path of the Procfile."""
    for name, text in files.items():
        (directory / f".{name}").write_text(text)
    (directory / "Procfile").write_text(procfile)
    return str(directory / "Procfile")


def test_the_file_beside_the_procfile_is_read_and_has_precedence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A", "from the shell")
    monkeypatch.setenv("B", "from the shell")
    [web, _] = plan_procfile(write(tmp_path, env="A=from the file\n"))
    assert (web.environment["A"], web.environment["B"]) == ("from the file", "from the shell")


def test_other_files_are_read_instead_the_last_one_last(tmp_path: Path) -> None:
    path = write(tmp_path, env="A=0\nC=0\n", one="A=1\nB=1\n", two="B=2\n")
    files = [str(tmp_path / ".one"), str(tmp_path / ".two")]
    [web, _] = plan_procfile(path, env_files=files)
    assert [web.environment.get(name) for name in "ABC"] == ["1", "2", None]


def test_a_file_that_is_named_and_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        plan_procfile(write(tmp_path), env_files=[str(tmp_path / ".missing")])


def test_a_command_is_looked_up_with_the_path_of_the_file(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    [command] = plan_procfile(write(tmp_path, "web: tool\n", env=f"PATH={tmp_path}\n"))
    assert command.executable == str(tool)


def ports(path: str, **options: object) -> dict[str, tuple[str, str]]:
    """Return `PORT` and `PS` of each command, by its name."""
    return {
        command.name: (command.environment["PORT"], command.environment["PS"])
        for command in plan_procfile(path, **options)  # type: ignore[arg-type]
    }


@pytest.fixture(autouse=True)
def _no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PORT", raising=False)


def test_ports_are_100_apart_and_instances_1(tmp_path: Path) -> None:
    assert ports(write(tmp_path), formation="web=2,worker=1") == {
        "web.1": ("5000", "web.1"),
        "web.2": ("5001", "web.2"),
        "worker": ("5100", "worker.1"),
    }


def test_a_port_depends_on_the_place_in_the_procfile_not_on_what_runs(tmp_path: Path) -> None:
    assert ports(write(tmp_path), names=["worker"]) == {"worker": ("5100", "worker.1")}


@pytest.mark.parametrize(
    ("shell", "file", "option", "expected"),
    [
        (None, "", None, "5000"),
        ("6000", "", None, "6000"),
        ("6000", "PORT=7000\n", None, "7000"),
        ("6000", "PORT=7000\n", 8000, "8000"),
    ],
)
def test_the_first_port_is_the_options_or_the_environments(
    shell: str | None,
    file: str,
    option: int | None,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if shell is not None:
        monkeypatch.setenv("PORT", shell)
    assert ports(write(tmp_path, env=file), port=option)["web"] == (expected, "web.1")


@pytest.mark.parametrize("value", ["http", "0", "65536", "-1"])
def test_a_port_that_is_none_is_refused(value: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="PORT: expected a number from 1 to 65535"):
        plan_procfile(write(tmp_path, env=f"PORT={value}\n"))


def test_ports_beyond_the_last_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="worker: its port would be 65600"):
        plan_procfile(write(tmp_path), port=65500)


@pytest.mark.parametrize(
    ("names", "formation", "expected"),
    [
        ([], "", ["web", "worker"]),
        (["worker"], "", ["worker"]),
        ([], "web=2", ["web.1", "web.2"]),
        ([], "all=1,web=2", ["web.1", "web.2", "worker"]),
        ([], "all=2", ["web.1", "web.2", "worker.1", "worker.2"]),
        ([], "web=0,worker=1", ["worker"]),
        (["web"], "all=2", ["web.1", "web.2"]),
        (["web", "worker"], "web=2", ["web.1", "web.2", "worker"]),
        ([], " web = 2 , ", ["web.1", "web.2"]),
    ],
)
def test_a_formation_says_how_many_of_which_run(
    names: list[str], formation: str, expected: list[str], tmp_path: Path
) -> None:
    commands = plan_procfile(write(tmp_path), names=names, formation=formation)
    assert [command.name for command in commands] == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["wep"]}, "no process 'wep'; there are: web, worker"),
        ({"formation": "wep=1"}, "no process 'wep'; there are: web, worker"),
        ({"formation": "web=x"}, "--formation: expected 'web=2,worker=1', got 'web=x'"),
        ({"formation": "web=1001"}, "--formation: expected"),
        ({"formation": "web"}, "--formation: expected"),
        ({"formation": "web=0"}, "no process of it is to be started"),
    ],
)
def test_what_cannot_be_run_is_refused(
    options: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(CommandError, match=message):
        plan_procfile(write(tmp_path), **options)  # type: ignore[arg-type]


def test_the_environment_of_the_watcher_is_not_changed(tmp_path: Path) -> None:
    before = dict(os.environ)
    plan_procfile(write(tmp_path, env="NEVER_SET=1\n"))
    assert dict(os.environ) == before


def test_a_formation_without_anything_names_nothing() -> None:
    assert parse_formation("") == {}
    assert environment.port_of(2, 3, 5000) == 5202
