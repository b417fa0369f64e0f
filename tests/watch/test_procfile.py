"""The Procfile: what a line means, and what is rejected before anything starts."""

import os
import sys
from pathlib import Path

import pytest

from brummerbus.watch.processes.formation import plan_procfile
from brummerbus.watch.processes.procfile import (
    CommandError,
    needs_shell,
    parse,
    plan,
    plan_arguments,
)

SHELL = ("/bin/sh", "-c")


def test_names_and_commands_come_in_the_order_of_the_file() -> None:
    """Comments, blank lines, spaces around and Windows line ends change nothing."""
    text = "# what runs\n\nweb: serve --port 80\r\n  worker:work\nclock : tick a:b # c\n"
    expected = {"web": "serve --port 80", "worker": "work", "clock": "tick a:b # c"}
    assert expected == parse(text)
    assert list(expected) == list(parse(text))


@pytest.mark.parametrize("line", ["serve", "web serve", ": serve", "web:", "web:   ", "w b: serve"])
def test_a_malformed_line_is_named_with_its_number(line: str) -> None:
    with pytest.raises(CommandError, match=r"Procfile:2: expected 'name: command'"):
        parse(f"good: true\n{line}\n")


def test_a_name_that_occurs_twice_is_refused() -> None:
    with pytest.raises(CommandError, match=r"Procfile:2: the name 'web' is used twice"):
        parse("web: a\nweb: b\n")


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
def test_a_file_without_processes_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="no process is named"):
        parse(text)


@pytest.mark.parametrize(
    "line",
    [
        "serve --port 80",
        "serve 'a | b' \"c & d\"",
        r"serve a\ b \$HOME \"quoted\"",
        "PORT=80 serve",
        "serve 'costs $5'",
        'serve "it\'s"',
    ],
)
def test_a_line_without_special_characters_needs_no_shell(line: str) -> None:
    assert not needs_shell(line)


@pytest.mark.parametrize(
    "line",
    [
        "a | b",
        "a && b",
        "a; b",
        "a > out",
        "a < in",
        "echo $HOME",
        'echo "$HOME"',
        'echo "`date`"',
        "ls *.py",
        "ls file?.py",
        "ls ~",
        "(a)",
        "echo {1,2}",
        "a # comment",
        "'quoted' | b",
    ],
)
def test_a_line_with_something_for_the_shell_needs_one(line: str) -> None:
    assert needs_shell(line)


def test_a_plain_command_is_started_itself(tmp_path: Path) -> None:
    command = plan("web", f"{sys.executable} -c 'print(1)'", directory=str(tmp_path))
    assert (sys.executable, "-c", "print(1)") == command.argv
    assert sys.executable == command.executable


def test_variables_in_front_of_a_command_go_to_its_environment(tmp_path: Path) -> None:
    line = f"A=1 B='two words' {sys.executable} C=3"
    command = plan("web", line, directory=str(tmp_path), base={"A": "0", "PATH": os.defpath})
    assert {name: command.environment[name] for name in "AB"} == {"A": "1", "B": "two words"}
    assert (sys.executable, "C=3") == command.argv


def test_python_children_are_asked_not_to_buffer(tmp_path: Path) -> None:
    """Lines come when they are written, unless the user says otherwise."""
    base = {"PATH": os.defpath}
    plain = plan("web", sys.executable, directory=str(tmp_path), base=base)
    own = plan("web", f"PYTHONUNBUFFERED= {sys.executable}", directory=str(tmp_path), base=base)
    assert plain.environment["PYTHONUNBUFFERED"] == "1"
    assert own.environment["PYTHONUNBUFFERED"] == ""


@pytest.mark.skipif(os.name != "posix", reason="the shell of POSIX")
@pytest.mark.parametrize("line", ["a | b", "exec serve", "cd web", ". ./env", "A=1 exec serve"])
def test_a_shell_line_goes_to_the_shell_whole(line: str, tmp_path: Path) -> None:
    assert (*SHELL, line) == plan("web", line, directory=str(tmp_path)).argv


@pytest.mark.parametrize("line", ["no-such-command -x", "./missing", "A=1 no-such-command"])
def test_an_unknown_command_is_refused(line: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="web: command not found: "):
        plan("web", line, directory=str(tmp_path))


def test_a_file_that_is_not_executable_is_an_unknown_command(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    with pytest.raises(CommandError, match="command not found"):
        plan("web", "./tool", directory=str(tmp_path))


@pytest.mark.skipif(os.name != "posix", reason="an executable bit")
def test_a_relative_command_is_looked_up_where_it_will_run(tmp_path: Path) -> None:
    """Not in the directory that the watcher was started in."""
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    assert str(tool) == plan("web", "./tool", directory=str(tmp_path)).executable


def test_a_command_is_looked_up_on_its_own_path(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="command not found: python3"):
        plan("web", f"PATH={tmp_path} python3", directory=str(tmp_path))


@pytest.mark.parametrize("line", ["echo 'open", 'echo "open'])
def test_an_open_quote_is_refused(line: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="web: no closing quotation"):
        plan("web", line, directory=str(tmp_path))


def test_variables_alone_are_no_command(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="web: no command in 'A=1'"):
        plan("web", "A=1", directory=str(tmp_path))


def test_arguments_are_never_read_by_a_shell(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", "print('a | b')", "$HOME", "*"]
    command = plan_arguments(arguments, directory=str(tmp_path))
    assert tuple(arguments) == command.argv
    assert Path(sys.executable).name == command.name


def test_no_arguments_are_no_command(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no command"):
        plan_arguments([], directory=str(tmp_path))


def test_processes_run_in_the_directory_of_their_procfile(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text(f"web: {sys.executable}\n")
    [command] = plan_procfile(str(tmp_path / "Procfile"))
    assert str(tmp_path) == command.directory


def test_a_missing_file_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file") as caught:
        plan_procfile(str(tmp_path / "Procfile"))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_bytes(b"web: \xff\n")
    with pytest.raises(CommandError, match="not UTF-8 at byte 5"):
        plan_procfile(str(tmp_path / "Procfile"))


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text(f"\ufeffweb: {sys.executable}\n", encoding="utf-8")
    assert [command.name for command in plan_procfile(str(tmp_path / "Procfile"))] == ["web"]
