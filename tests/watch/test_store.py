"""The log store: all lines in one file, and queries on it."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brummerbus import Event
from brummerbus.watch import store as store_module
from brummerbus.watch.payloads import ErrorFound, LogLine, ProcessExited, ProcessStarted
from brummerbus.watch.store import LogStore, Row, processes, read

from .helpers import lines_event


def line(number: int, text: str = "text", **changes: Any) -> Event:
    fields = {"process": "api", "stream": "stdout", "number": number, "text": text, "time": number}
    return lines_event(LogLine(**{**fields, **changes}))


def error(number: int, process: str = "api") -> Event:
    found = ErrorFound(process, "stderr", number, number + 1, number, "log", "bad", "", "bad\nmore")
    return Event("error.detected", found)


def fails(store: LogStore, numbers: range) -> bool:
    """Whether storing lines raises."""
    try:
        store.on_lines([line(number) for number in numbers])
    except sqlite3.OperationalError:
        return True
    return False


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def store(path: Path) -> Iterator[LogStore]:
    with LogStore(path, "Procfile") as store:
        yield store


def texts(path: Path, **filters: Any) -> list[str]:
    return [row.text for row in read(path, **filters)]


def test_lines_are_found_after_the_store_was_closed(path: Path) -> None:
    with LogStore(path) as store:
        store.on_lines([line(number, f"line {number}") for number in range(3)])
    assert list(read(path)) == [Row(float(n), "api", f"line {n}") for n in range(3)]


def test_a_closed_store_is_one_file(path: Path) -> None:
    """Also for a reader, who may not be allowed to make a second one."""
    with LogStore(path) as store:
        store.on_lines([line(0)])
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()
    assert [file.name for file in path.parent.iterdir()] == ["log.db"]


def test_lines_can_be_read_while_they_are_written(store: LogStore, path: Path) -> None:
    store.on_lines([line(0)])
    assert texts(path) == ["text"]


def test_a_batch_is_written_as_a_whole_or_not_at_all(path: Path) -> None:
    store = LogStore(path)
    with pytest.raises(sqlite3.IntegrityError):
        store.on_lines([line(0), line(1), line(0)])
    assert store.count() == 0
    with pytest.raises(sqlite3.IntegrityError):
        store.close()


def test_many_threads_store_every_line_once(store: LogStore, path: Path) -> None:
    def store_some(process: str) -> None:
        for number in range(2000):
            store.on_lines([line(number, process=process)])

    threads = [threading.Thread(target=store_some, args=(f"p{n}",)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.write()
    assert store.count() == 10_000
    assert {len(texts(path, process=f"p{n}")) for n in range(5)} == {2000}


def test_a_line_that_comes_twice_is_refused(path: Path) -> None:
    """Exactly once, as the file ensures."""
    store = LogStore(path)
    store.on_lines([line(0)])
    with pytest.raises(sqlite3.IntegrityError):
        store.on_lines([line(0)])
    with pytest.raises(sqlite3.IntegrityError):
        store.close()


@pytest.mark.parametrize("text", ["", "a\x00b", "ä€😀", "\\xff", "'; DROP TABLE lines; --"])
def test_any_text_comes_back_as_it_was(text: str, store: LogStore, path: Path) -> None:
    store.on_lines([line(0, text)])
    assert texts(path) == [text]


def test_bytes_that_are_no_text_and_line_ends_are_kept(store: LogStore, path: Path) -> None:
    store.on_lines([line(0, "\\xff", raw=b"\xff", ending="\r\n")])
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT raw, ending FROM lines").fetchall() == [(b"\xff", "\r\n")]
    connection.close()


def test_what_could_not_be_written_is_written_later(
    store: LogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the next batch, or when asked."""
    with monkeypatch.context() as patch:
        patch.setitem(store_module._WRITE, "lines", "INSERT INTO nowhere VALUES (?)")
        assert fails(store, range(3))
        assert fails(store, range(3, 5))
        assert store.count() == 0
    assert not fails(store, range(5, 6))
    assert store.count() == 6
    with monkeypatch.context() as patch:
        patch.setitem(store_module._WRITE, "lines", "INSERT INTO nowhere VALUES (?)")
        assert fails(store, range(6, 7))
    store.write()
    assert store.count() == 7


def test_what_is_kept_while_nothing_can_be_written_is_bounded(
    store: LogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement = store_module._WRITE["lines"]
    monkeypatch.setattr(store_module, "_MAX_PENDING", 600)
    monkeypatch.setitem(store_module._WRITE, "lines", "INSERT INTO nowhere VALUES (?)")
    assert all(fails(store, range(first, first + 500)) for first in range(0, 5000, 500))
    monkeypatch.setitem(store_module._WRITE, "lines", statement)
    store.write()
    assert store.count() == 600


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["a0", "w0", "a1", "w1", "a2", "w2"]),
        ({"process": "web"}, ["w0", "w1", "w2"]),
        ({"since": 1.0}, ["a1", "w1", "a2", "w2"]),
        ({"until": 1.0}, ["a0", "w0"]),
        ({"since": 1.0, "until": 2.0, "process": "api"}, ["a1"]),
        ({"tail": 3}, ["w1", "a2", "w2"]),
        ({"tail": 1, "process": "api"}, ["a2"]),
        ({"tail": 99}, ["a0", "w0", "a1", "w1", "a2", "w2"]),
        ({"process": "none"}, []),
    ],
)
def test_lines_are_found_by_process_and_time(
    filters: dict[str, Any], expected: list[str], store: LogStore, path: Path
) -> None:
    for number in reversed(range(3)):
        store.on_lines([line(number, f"w{number}", process="web")])
        store.on_lines([line(number, f"a{number}")])
    assert texts(path, **filters) == expected


def test_lines_of_one_moment_come_in_the_order_of_their_numbers(
    store: LogStore, path: Path
) -> None:
    for number in (2, 0, 1, 10):
        store.on_lines([line(number, str(number), time=5.0)])
    assert texts(path) == ["0", "1", "2", "10"]
    assert texts(path, tail=2) == ["2", "10"]


def test_errors_are_found_apart_from_lines(store: LogStore, path: Path) -> None:
    store.on_lines([line(0)])
    store.on_errors([error(0)])
    store.on_errors([error(1, "web")])
    assert [row.process for row in read(path, errors=True)] == ["api", "web"]
    assert texts(path, errors=True, process="web", tail=5) == ["bad\nmore"]


def test_runs_in_one_file_are_kept_apart(path: Path) -> None:
    for run in ("first", "second"):
        with LogStore(path) as store:
            store.on_lines([line(0, run)])
            assert store.count() == 1
    assert texts(path) == ["first", "second"]
    assert texts(path, run=-1) == ["second"]
    assert texts(path, run=1) == ["first"]


@pytest.mark.parametrize("order", [("start", "exit"), ("exit", "start")])
def test_a_process_is_stored_whichever_of_its_events_is_handled_first(
    order: tuple[str, str], store: LogStore, path: Path
) -> None:
    data = {
        "start": ProcessStarted("api", 7, "serve", 100.0),
        "exit": ProcessExited("api", 7, 3, 2.0, 102.0),
    }
    for name in order:
        store.on_process(Event(f"process.{name}", data[name]))
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT * FROM processes").fetchall()
    connection.close()
    assert rows == [(store.run, "api", 7, "serve", 100.0, 102.0, 3)]
    assert processes(path) == ["api"]


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_text("web: serve\n" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        LogStore(path)
    assert path.read_text() == "web: serve\n" * 100


def test_reading_makes_no_file(path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        list(read(path))
    assert not path.exists()
