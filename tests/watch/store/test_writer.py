"""Writing a run: all lines in one file, each once."""

import sqlite3
import threading
from pathlib import Path

import pytest

from brummerbus import Event
from brummerbus.watch.payloads import ProcessExited, ProcessStarted
from brummerbus.watch.store import LogStore, Reader, Selection, StoredLine, writer

from .helpers import block, error, line, rows, texts


def fails(store: LogStore, numbers: range) -> bool:
    """Whether storing lines raises, as it does where the disk is full."""
    try:
        store.on_lines([block(numbers)])
    except sqlite3.OperationalError as failure:
        return "full" in str(failure)
    return False


class Disk:
    """The disk that a store is on, which can be full."""

    def __init__(self, store: LogStore) -> None:
        self._connection = store._connection

    def fill(self, space: int = 0) -> None:
        """Let it have no further page, or that many."""
        pages = self._connection.execute("PRAGMA page_count").fetchone()[0]
        self._connection.execute(f"PRAGMA max_page_count = {pages + space}")

    def empty(self) -> None:
        """Let it have space again."""
        self._connection.execute("PRAGMA max_page_count = 1000000")


def test_lines_are_found_after_the_store_was_closed(path: Path) -> None:
    with LogStore(path) as store:
        store.on_lines([line(number, f"line {number}") for number in range(3)])
    with Reader(path) as reader:
        assert list(reader.select(Selection())) == [
            StoredLine(1, "api", "stdout", n, float(n), f"line {n}", "\n", None) for n in range(3)
        ]


def test_a_closed_store_is_one_file(path: Path) -> None:
    """Also for a reader, who may not be allowed to make a second one."""
    with LogStore(path) as store:
        store.on_lines([line(0)])
    assert rows(path, "PRAGMA journal_mode") == [("delete",)]
    assert [file.name for file in path.parent.iterdir()] == ["log.db"]


def test_lines_can_be_read_while_they_are_written(store: LogStore, path: Path) -> None:
    store.on_lines([line(0)])
    assert texts(path) == ["text"]


def test_a_batch_is_one_transaction_and_each_read_one_statement(store: LogStore) -> None:
    """However many lines it has; otherwise each line would cost as much as a batch."""
    store.on_lines([line(0), line(0, process="web")])
    statements: list[str] = []
    store._connection.set_trace_callback(statements.append)
    store.on_lines([block(range(1, 100)), block(range(1, 100), process="web")])
    store._connection.set_trace_callback(None)
    kinds = [statement.split(" (")[0].split("=")[0].strip() for statement in statements]
    assert (kinds.count("BEGIN IMMEDIATE"), kinds.count("COMMIT")) == (1, 1)
    assert kinds.count("UPDATE streams SET lines") == 2
    assert len(kinds) == 198 + 4


def test_a_line_that_comes_twice_is_refused_and_its_batch_with_it(
    store: LogStore, path: Path
) -> None:
    """Exactly once, as the file ensures. What comes later is stored."""
    store.on_lines([line(0)])
    with pytest.raises(sqlite3.IntegrityError):
        store.on_lines([line(1), line(0)])
    assert store.count() == store.written == 1
    store.on_lines([line(2)])
    assert rows(path, "SELECT number FROM lines ORDER BY number") == [(0,), (2,)]


def test_many_threads_store_every_line_once(store: LogStore, path: Path) -> None:
    def store_some(process: str) -> None:
        for number in range(500):
            store.on_lines([line(number, process=process)])

    threads = [threading.Thread(target=store_some, args=(f"p{n}",)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.count() == store.written == 2500
    assert {len(texts(path, processes=[f"p{n}"])) for n in range(5)} == {500}


@pytest.mark.parametrize("text", ["", "a\x00b", "ä€😀", "\\xff", "'; DROP TABLE lines; --"])
def test_any_text_comes_back_as_it_was(text: str, store: LogStore, path: Path) -> None:
    store.on_lines([line(0, text)])
    assert texts(path) == [text]


def test_bytes_that_are_no_text_and_line_ends_are_kept(store: LogStore, path: Path) -> None:
    store.on_lines([
        line(0),
        line(1, "\\xff", raw=b"\xff", ending="\r\n"),
        line(2, "wide", raw=b"w\0", ending="\r\0\n\0"),
        line(3, "end", ending=""),
    ])  # fmt: skip
    assert rows(path, "SELECT raw, ending FROM lines ORDER BY number") == [
        (None, "\n"),
        (b"\xff", "\r\n"),
        (b"w\0", "\r\0\n\0"),
        (None, ""),
    ]


def test_runs_in_one_file_are_kept_apart(path: Path) -> None:
    for run in ("first", "second"):
        with LogStore(path) as store:
            store.on_lines([line(0, run)])
            assert store.count() == 1
    assert rows(path, "SELECT run, text FROM lines ORDER BY run") == [(1, "first"), (2, "second")]


def test_two_watchers_may_write_one_file(path: Path) -> None:
    with LogStore(path) as first, LogStore(path) as second:
        for number in range(3):
            first.on_lines([line(number, "first")])
            second.on_lines([line(number, "second")])
        assert (first.count(), second.count()) == (3, 3)
    assert texts(path, run=1) == ["first"] * 3


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
    assert rows(path, "SELECT * FROM processes") == [
        (store.run, "api", 7, "serve", 100.0, 102.0, 3)
    ]


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (0, 2, 1)])
def test_a_process_that_was_started_again_has_its_last_start(
    order: tuple[int, ...], store: LogStore, path: Path
) -> None:
    """Not the exit before it, in whichever order they are handled."""
    events = [
        Event("process.started", ProcessStarted("api", 7, "serve", 100.0)),
        Event("process.exited", ProcessExited("api", 7, 3, 2.0, 102.0)),
        Event("process.started", ProcessStarted("api", 8, "serve", 103.0)),
    ]
    for place in order:
        store.on_process(events[place])
    expected = (store.run, "api", 8, "serve", 103.0, None, None)
    assert rows(path, "SELECT * FROM processes") == [expected]


class TestAFullDisk:
    """It is an error, and costs neither lines that fit nor time."""

    def test_what_could_not_be_written_is_written_later(self, store: LogStore, path: Path) -> None:
        """With the errors that came in between."""
        disk = Disk(store)
        disk.fill()
        assert fails(store, range(3000))
        assert fails(store, range(3000, 3001))
        with pytest.raises(sqlite3.OperationalError):
            store.on_errors([error(0)])
        assert store.count() == store.written == 0
        disk.empty()
        store.write()
        assert store.count() == store.written == len(texts(path)) == 3001
        assert store._connection.execute("SELECT count(*) FROM errors").fetchone() == (1,)

    def test_it_is_not_tried_again_at_each_batch(
        self, store: LogStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Trying costs as much as writing all that is pending."""
        Disk(store).fill()
        now = 100.0
        monkeypatch.setattr(writer.time, "monotonic", lambda: now)
        assert fails(store, range(3000))
        statements: list[str] = []
        store._connection.set_trace_callback(statements.append)
        assert fails(store, range(3000, 3001))
        assert statements == []
        now += writer._RETRY
        assert fails(store, range(3001, 3002))
        assert statements
        Disk(store).empty()

    def test_what_is_kept_for_later_is_bounded(
        self, store: LogStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The oldest lines are kept."""
        monkeypatch.setattr(writer, "_MAX_PENDING", 6000)
        disk = Disk(store)
        disk.fill()
        assert all(fails(store, range(n, n + 2000)) for n in range(0, 20_000, 2000))
        disk.empty()
        store.write()
        assert store.count() == store.written == 6000

    def test_what_there_is_space_for_is_written(self, store: LogStore) -> None:
        """In the order in which it came, batch by batch."""
        disk = Disk(store)
        disk.fill()
        for number in range(0, 40_000, 1000):
            assert fails(store, range(number, number + 1000))
        disk.fill(20)
        with pytest.raises(sqlite3.OperationalError, match="full"):
            store.write()
        assert store.count() == store.written == 0
        disk.fill(60)
        with pytest.raises(sqlite3.OperationalError, match="full"):
            store.write()
        assert store.count() == store.written == 10_000
        disk.empty()
        store.write()
        assert store.count() == store.written == 40_000

    def test_closing_says_that_the_rest_is_lost_and_notes_the_end(self, path: Path) -> None:
        """What is in the file stays there."""
        store = LogStore(path)
        store.on_lines([line(0)])
        Disk(store).fill()
        assert fails(store, range(1, 3000))
        with pytest.raises(sqlite3.OperationalError):
            store.close()
        assert len(texts(path)) == 1
        with Reader(path) as reader:
            assert [run.state for run in reader.runs()] == ["ended"]
