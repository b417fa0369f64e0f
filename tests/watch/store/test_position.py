"""Finding lines and errors by process, stream, time and text, and going on behind them."""

import re
from pathlib import Path
from typing import Any

import pytest

from brummerbus.watch.store import LAST, LogStore, Reader, Selection, position

from .helpers import error, line, lines, texts


@pytest.fixture
def written(store: LogStore) -> LogStore:
    """A store with three lines of each of two processes, of which one writes to both streams."""
    for number in reversed(range(3)):
        store.on_lines([line(number, f"w{number}", process="web")])
    store.on_lines([line(number, f"a{number}") for number in range(3)])
    store.on_lines([line(0, "warn \x1b[31mred\x1b[0m", stream="stderr", time=1.5)])
    return store


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"stream": "stdout"}, ["a0", "w0", "a1", "w1", "a2", "w2"]),
        ({"processes": ["web"]}, ["w0", "w1", "w2"]),
        ({"processes": ["web", "api"], "stream": "stdout", "tail": 2}, ["a2", "w2"]),
        ({"since": 1.0, "stream": "stdout"}, ["a1", "w1", "a2", "w2"]),
        ({"until": 1.0}, ["a0", "w0"]),
        ({"since": 1.0, "until": 2.0, "processes": ["web"]}, ["w1"]),
        ({"tail": 3, "stream": "stdout"}, ["w1", "a2", "w2"]),
        ({"tail": 1, "processes": ["api"]}, ["a2"]),
        ({"tail": 99, "stream": "stdout"}, ["a0", "w0", "a1", "w1", "a2", "w2"]),
        ({"tail": 1, "until": 2.0, "processes": ["web"]}, ["w1"]),
        ({"processes": ["none"]}, []),
        ({"stream": "stderr"}, ["warn \x1b[31mred\x1b[0m"]),
        ({"grep": re.compile("^a[12]$")}, ["a1", "a2"]),
        ({"grep": re.compile("^a"), "tail": 1}, ["a2"]),
        ({"grep": re.compile("warn red$")}, ["warn \x1b[31mred\x1b[0m"]),
    ],
)
@pytest.mark.parametrize("page", [1, 2, 500])
@pytest.mark.usefixtures("written")
def test_lines_are_found_by_process_stream_time_and_text(
    page: int,
    conditions: dict[str, Any],
    expected: list[str],
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many are read at once. Colours are no part of the text that is searched."""
    monkeypatch.setattr(position, "_PAGE", page)
    assert texts(path, **conditions) == expected


def test_lines_of_one_moment_come_in_the_order_of_their_numbers(
    store: LogStore, path: Path
) -> None:
    for number in (2, 0, 1, 10):
        store.on_lines([line(number, str(number), time=5.0)])
    assert texts(path) == ["0", "1", "2", "10"]
    assert texts(path, tail=2) == ["2", "10"]


def test_lines_stay_in_the_order_of_their_stream_when_the_clock_is_set_back(
    store: LogStore, path: Path
) -> None:
    store.on_lines([line(0, "before", time=9.0), line(1, "after", time=5.0)])
    assert texts(path) == ["before", "after"]


def test_errors_are_found_apart_from_lines(store: LogStore, path: Path) -> None:
    store.on_lines([line(0)])
    store.on_errors([error(1, "web"), error(0), error(2, text="other")])
    assert texts(path, errors=True) == ["bad\nmore", "bad\nmore", "other"]
    assert texts(path, errors=True, processes=["web"], tail=5) == ["bad\nmore"]
    assert texts(path, errors=True, tail=1) == ["other"]
    assert texts(path, errors=True, grep=re.compile("^more$"), since=0.5) == ["bad\nmore"]
    assert texts(path, errors=True, stream="stdout") == []


def test_runs_are_found_by_number(path: Path) -> None:
    for run in ("first", "second"):
        with LogStore(path) as store:
            store.on_lines([line(0, run)])
            store.on_errors([error(0, text=run)])
    for errors in (False, True):
        assert texts(path, errors=errors) == ["first", "second"]
        assert texts(path, run=LAST, errors=errors) == ["second"]
        assert texts(path, run=1, errors=errors) == ["first"]
        assert texts(path, run=7, errors=errors) == []


def test_a_reader_that_pauses_holds_no_transaction(store: LogStore, path: Path) -> None:
    """It would keep the log beside the file growing for as long as a pager stands still."""
    store.on_lines(lines(*range(2000)))
    with Reader(path) as reader:
        rows = reader.select(Selection())
        next(rows)
        busy, *_ = store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert not busy
        assert len(list(rows)) == 1999


class TestGoingOn:
    """Reading a position again."""

    def test_it_yields_what_has_come_since(self, store: LogStore, path: Path) -> None:
        """Also of a process that was not there before."""
        store.on_lines(lines(0, 1))
        with Reader(path) as reader:
            place = reader.position(Selection())
            assert len(list(place.advance())) == 2
            assert list(place.advance()) == []
            store.on_lines([line(0, "new", process="web"), line(2, "next")])
            assert [row.text for row in place.advance()] == ["new", "next"]

    def test_the_tail_is_of_what_was_there(self, store: LogStore, path: Path) -> None:
        """What comes later is yielded whole."""
        store.on_lines([line(n, str(n)) for n in range(5)])
        with Reader(path) as reader:
            place = reader.position(Selection(tail=2))
            assert [row.text for row in place.advance()] == ["3", "4"]
            store.on_lines([line(n, str(n)) for n in range(5, 8)])
            assert [row.text for row in place.advance()] == ["5", "6", "7"]

    def test_errors_go_on_as_well(self, store: LogStore, path: Path) -> None:
        """In the order in which they are found."""
        store.on_errors([error(5), error(6)])
        with Reader(path) as reader:
            place = reader.position(Selection(errors=True, tail=1))
            assert [row.time for row in place.advance()] == [6.0]
            store.on_errors([error(2)])
            assert [row.time for row in place.advance()] == [2.0]

    def test_the_last_run_goes_on_with_the_runs_behind_it(self, path: Path) -> None:
        """The watcher is started again, and the reader need not be."""
        with LogStore(path) as first:
            first.on_lines([line(0, "first")])
        with LogStore(path) as second:
            second.on_lines([line(0, "second")])
            with Reader(path) as reader:
                place = reader.position(Selection(run=LAST))
                only_second = reader.position(Selection(run=2))
                assert [row.text for row in place.advance()] == ["second"]
                assert [row.text for row in only_second.advance()] == ["second"]
                with LogStore(path) as third:
                    third.on_lines([line(0, "third")])
                assert [row.text for row in place.advance()] == ["third"]
                assert list(only_second.advance()) == []
