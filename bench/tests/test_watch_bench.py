"""The benchmark of the watcher, with a short log."""

import sys
from pathlib import Path

import pytest

from bench.watch import log
from bench.watch.__main__ import EMIT, contestants, measure

LINES = 3000
CHILD = [sys.executable, str(EMIT), "log", "cpu"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with a log, and a Procfile that prints it."""
    log.write(tmp_path / "log", LINES)
    (tmp_path / "Procfile").write_text(f"log: {' '.join(CHILD)}\n", encoding="utf-8")
    return tmp_path


def test_the_log_is_always_the_same_and_has_lines_of_ordinary_length(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    log.write(first, 20_000)
    log.write(second, 20_000)
    text = first.read_text(encoding="utf-8")
    assert text == second.read_text(encoding="utf-8")
    assert 90 < len(text) / text.count("\n") < 98
    assert text.count("Traceback") == 1  # the one behind line 20,000 is cut off
    assert 20 < text.count(" ERROR ") < 120


def test_contestants_that_are_not_installed_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.watch.__main__.shutil.which", lambda word: word == "sh" or None)
    monkeypatch.setattr("bench.watch.__main__.sysconfig.get_path", lambda _: str(tmp_path))
    assert list(contestants(CHILD, tmp_path)) == ["a pipe to cat"]


@pytest.mark.parametrize("who", ["brummerbus watch", "a pipe to cat"])
@pytest.mark.parametrize("flush", [False, True])
def test_a_contestant_s_lines_are_counted(who: str, flush: bool, directory: Path) -> None:
    child = [*CHILD, *(["--flush"] if flush else [])]
    cost = measure(contestants(child, directory)[who], directory)
    assert LINES <= cost.lines < LINES + 200
    assert cost.seconds > 0
    assert cost.megabytes > 1
