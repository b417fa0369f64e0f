"""Limits of size and age: earlier runs go, whole and in small steps."""

import argparse
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from brummerbus.watch.store import Limits, LogStore, Reader, limits, pruning, writer

from .helpers import error, lines, rows, texts

DAY = 86_400.0


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the end of a run prune as long as it takes, on a slow machine too."""
    monkeypatch.setattr(writer, "_CHORES", 60.0)


def write_run(path: Path, target: str, count: int = 100, ended: float | None = None) -> None:
    """Write a run of that many lines, of two processes, and errors."""
    with LogStore(path, target) as store:
        store.on_lines(lines(*range(count), text=target * 20))
        store.on_lines(lines(*range(count), text=target * 20, process="web"))
        store.on_errors([error(0), error(1)])
    if ended is not None:
        change(path, "UPDATE runs SET ended = ?, seen = ? WHERE target = ?", ended, ended, target)


def change(path: Path, statement: str, *values: object) -> None:
    """Change a store as no watcher would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement, values)


def targets(path: Path) -> list[str]:
    """Return the targets of the runs that readers see."""
    with Reader(path) as reader:
        return [run.target for run in reader.runs()]


def used(path: Path) -> int:
    """Return how many bytes of the file are in use."""
    [(pages,)], [(free,)] = rows(path, "PRAGMA page_count"), rows(path, "PRAGMA freelist_count")
    return int((pages - free) * 4096)


def test_without_limits_all_is_kept(path: Path) -> None:
    write_run(path, "old", ended=1.0)
    with LogStore(path) as store:
        for _ in range(5):
            store.tick()
    assert len(texts(path, run=1)) == 200


def test_runs_that_ended_too_long_ago_go(path: Path) -> None:
    now = time.time()
    for target, ended in (("older", now - 9 * DAY), ("old", now - 8 * DAY), ("new", now - 6 * DAY)):
        write_run(path, target, ended=ended)
    LogStore(path, "this", Limits(age=7 * DAY)).close()
    assert targets(path) == ["new", "this"]
    for table in ("streams", "processes", "errors"):
        assert rows(path, f"SELECT count(*) FROM {table} WHERE run < 3") == [(0,)]
    assert rows(path, "SELECT count(*) FROM line_data") == [(200,)]


def test_the_oldest_runs_go_while_the_file_is_too_large(path: Path) -> None:
    sizes = []
    for target in "abcd":
        write_run(path, target, count=2000)
        sizes.append(used(path))
    LogStore(path, "this", Limits(size=sizes[1] + 50_000)).close()
    assert targets(path) == ["c", "d", "this"]
    assert used(path) <= sizes[1] + 50_000


def test_the_file_becomes_smaller(path: Path) -> None:
    write_run(path, "large", count=5000)
    before = path.stat().st_size
    LogStore(path, "this", Limits(size=100_000)).close()
    assert path.stat().st_size < 100_000 < before


def test_a_run_that_is_too_large_by_itself_is_kept_until_the_next(path: Path) -> None:
    with LogStore(path, "this", Limits(size=1000, age=0.0)) as store:
        store.on_lines(lines(*range(3000)))
        for _ in range(5):
            store.tick()
        assert store.count() == 3000
    assert len(texts(path)) == 3000


def test_a_run_of_another_watcher_is_not_touched(path: Path) -> None:
    """However old its last sign of life is: its process is there."""
    with LogStore(path, "other") as other:
        change(path, "UPDATE runs SET seen = 1")
        LogStore(path, "this", Limits(size=1, age=0.0)).close()
        other.on_lines(lines(0))
    assert targets(path) == ["other", "this"]


def test_a_run_whose_process_is_elsewhere_lives_by_its_signs(path: Path) -> None:
    """In a container its process has a number that means nothing here."""
    write_run(path, "elsewhere")
    change(path, "UPDATE runs SET ended = NULL, pid = 0")
    LogStore(path, "this", Limits(size=1)).close()
    assert targets(path) == ["elsewhere", "this"]
    change(path, "UPDATE runs SET seen = seen - 3600")
    LogStore(path, "next", Limits(size=1)).close()
    assert targets(path) == ["next"]


def test_a_pid_that_is_used_again_is_no_sign_of_life(path: Path) -> None:
    write_run(path, "killed")
    began = psutil.Process().create_time() - 60
    change(
        path,
        "UPDATE runs SET ended = NULL, pid = ?, pid_started = ?, seen = 1",
        os.getpid(),
        began,
    )
    LogStore(path, "this", Limits(size=1)).close()
    assert targets(path) == ["this"]


def test_a_run_that_goes_on_says_so_each_minute(
    store: LogStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr("brummerbus.watch.store.writer.time.time", lambda: now + 61)
    store.tick()
    assert rows(path, "SELECT seen FROM runs") == [(now + 61,)]


def test_it_is_done_in_steps_between_which_lines_are_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step deletes a bounded number of rows, and readers see none of the run any more."""
    write_run(path, "old", count=1000, ended=1.0)
    monkeypatch.setattr(pruning, "_ROWS", 300)
    with LogStore(path, "this", Limits(age=DAY)) as store:
        store.tick()  # marks it
        assert targets(path) == ["this"]
        assert texts(path) == []
        left = [2000]
        while left[-1]:
            store.on_lines(lines(len(left)))
            store.tick()
            [(count,)] = rows(path, "SELECT count(*) FROM line_data WHERE text LIKE 'old%'")
            assert left[-1] - count <= 300
            left.append(count)
        assert len(left) > 7


def test_what_one_watcher_has_not_finished_the_next_one_does(path: Path) -> None:
    """Also without limits of its own."""
    write_run(path, "old")
    change(path, "UPDATE runs SET pruned = 1")
    LogStore(path, "this").close()
    assert rows(path, "SELECT id FROM runs") == [(2,)]
    assert rows(path, "SELECT count(*) FROM line_data") == [(0,)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], Limits()),
        (["--keep-size", "500M", "--keep-age", "7d"], Limits(500_000_000, 7 * DAY)),
        (["--keep-size", "1.5GB"], Limits(1_500_000_000)),
        (["--keep-size", "20k"], Limits(20_000)),
        (["--keep-age", "36h"], Limits(None, 1.5 * DAY)),
        (["--keep-age", "2w"], Limits(None, 14 * DAY)),
    ],
)
def test_limits_are_options(arguments: list[str], expected: Limits) -> None:
    parser = argparse.ArgumentParser()
    limits.add_arguments(parser)
    assert limits.from_arguments(parser.parse_args(arguments)) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--keep-size", "much"], "expected a size such as 500M or 2G, got 'much'"),
        (["--keep-size", "-5M"], "expected"),
        (["--keep-age", "7"], "expected a time such as 12h, 7d or 4w, got '7'"),
    ],
)
def test_other_limits_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    limits.add_arguments(parser)
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(arguments)
    assert message in capsys.readouterr().err
