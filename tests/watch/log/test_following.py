"""`log --follow`: what a watcher writes, as it comes."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from brummerbus.watch.log.following import follow
from brummerbus.watch.payloads import LogLine
from brummerbus.watch.store import LAST, LogStore, Selection, StoreError

from ..helpers import TIMEOUT, lines_event  # noqa: TID252


def store_line(store: LogStore, number: int, text: str) -> None:
    """Store one line."""
    store.on_lines([lines_event(LogLine("api", "stdout", number, text, float(number)))])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of one run, which has ended."""
    path = tmp_path / "log.db"
    with LogStore(path) as store:
        store_line(store, 0, "earlier")
    return path


def texts(following: Iterator[Iterator[object]]) -> list[str]:
    """Return what has come until the next look."""
    return [row.text for row in next(following)]  # type: ignore[attr-defined]


def test_lines_come_as_they_are_stored(path: Path) -> None:
    def sleep(_: float) -> None:
        if later:
            text = later.pop()
            store_line(store, 2 - len(later), text)

    with LogStore(path) as store:
        store_line(store, 0, "first")
        later = ["third", "second"]
        following = follow(path, Selection(run=LAST), sleep)
        assert [texts(following) for _ in range(3)] == [["first"], ["second"], ["third"]]


def test_nothing_new_is_no_reason_to_read(path: Path) -> None:
    looks = 0

    def sleep(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 5:
            store_line(store, 1, "new")

    with LogStore(path) as store:
        store_line(store, 0, "first")
        following = follow(path, Selection(run=LAST), sleep)
        assert [texts(following), texts(following)] == [["first"], ["new"]]
        assert looks == 5


def test_the_next_run_is_followed_too(path: Path) -> None:
    def sleep(_: float) -> None:
        with LogStore(path) as store:
            store_line(store, 0, "next run")

    following = follow(path, Selection(run=LAST), sleep)
    assert texts(following) == ["earlier"]
    assert texts(following) == ["next run"]


def test_a_new_file_of_the_same_name_is_followed(path: Path) -> None:
    steps = ["delete", "write"]

    def sleep(_: float) -> None:
        if steps.pop(0) == "delete":
            path.unlink()
        else:
            with LogStore(path) as store:
                store_line(store, 0, "new file")
            steps.append("end")

    following = follow(path, Selection(run=LAST), sleep)
    assert texts(following) == ["earlier"]
    assert texts(following) == ["new file"]


def test_a_run_with_a_number_is_followed_to_its_end(path: Path) -> None:
    def sleep(_: float) -> None:
        store_line(store, 1, "last")
        store.close()

    store = LogStore(path)
    store_line(store, 0, "first")
    assert [[row.text for row in rows] for rows in follow(path, Selection(run=2), sleep)] == [
        ["first"],
        ["last"],
    ]


def test_a_store_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such file"):
        next(follow(tmp_path / "none.db", Selection()))


@pytest.mark.slow
def test_ctrl_c_ends_it(path: Path) -> None:
    """With the code of a shell, and without a traceback."""
    process = subprocess.Popen(
        [sys.executable, "-m", "brummerbus", "log", "-f", "--db", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().endswith(" api | earlier\n")
    with LogStore(path) as store:
        store_line(store, 0, "live")
        assert process.stdout.readline().endswith(" api | live\n")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, err) == (130, "")
