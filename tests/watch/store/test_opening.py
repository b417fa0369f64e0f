"""Opening a store: what is refused untouched, what is private, what is converted."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from brummerbus.watch.store import LogStore, Reader, Selection, StoredLine, StoreError, schema

from .helpers import FIRST_VERSION, line, make, rows, texts

NEWER = f"""
CREATE TABLE later (id);
PRAGMA application_id = {schema.APPLICATION_ID};
PRAGMA user_version = {schema.VERSION + 1};
"""


def files(path: Path) -> dict[str, tuple[bytes, int, int]]:
    """Return the files of a directory: what is in them, their modes, and when they changed."""
    return {
        file.name: (file.read_bytes(), file.stat().st_mode, file.stat().st_mtime_ns)
        for file in path.parent.iterdir()
    }


@pytest.fixture
def liberal() -> Iterator[None]:
    """A umask with which files are readable and writable by all."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode_of(file: Path) -> int:
    """Return who may read and write a file."""
    return stat.S_IMODE(file.stat().st_mode)


def kill_a_watcher(path: Path) -> None:
    """Leave a store as a watcher does that is killed: with a log beside the file."""
    source = (
        "import os, sys\n"
        "from brummerbus import Event\n"
        "from brummerbus.watch.payloads import LogLines\n"
        "from brummerbus.watch.store import LogStore\n"
        "store = LogStore(sys.argv[1])\n"
        "store.on_lines([Event('log.line', LogLines('api', 'stdout', 0, 1.0, 'last words', 1))])\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", source, path], check=True)
    assert path.with_name("log.db-wal").stat().st_size


class TestForeignFiles:
    """They are refused in one line, and stay as they are."""

    @pytest.mark.parametrize(
        ("script", "message"),
        [
            ("CREATE TABLE contacts (name)", "the database of another program"),
            ("CREATE TABLE lines (text); CREATE TABLE runs (id)", "of another program"),
            (FIRST_VERSION + "CREATE TABLE mine (id)", "of another program"),
            ("CREATE TABLE a (b); PRAGMA application_id = 77", "of another program"),
            (FIRST_VERSION + "PRAGMA application_id = 77", "of another program"),
            (FIRST_VERSION + "PRAGMA user_version = 3", "of another program"),
            ("PRAGMA journal_mode = WAL; CREATE TABLE a (b)", "of another program"),
            (NEWER, r"a newer brummerbus \(its version is 3, this one knows 2\)"),
        ],
    )
    def test_a_database_that_is_no_store_is_refused(
        self, script: str, message: str, path: Path
    ) -> None:
        """By the writer and by the reader."""
        make(path, script)
        before = files(path)
        for use in (LogStore, Reader):
            with pytest.raises(StoreError, match=message):
                use(path)
        assert files(path) == before

    @pytest.mark.parametrize("content", [b"web: serve\n" * 100, b"SQLite format 3\0", b"\0"])
    def test_a_file_that_is_no_database_is_refused(self, content: bytes, path: Path) -> None:
        """Whatever its size."""
        path.write_bytes(content)
        before = files(path)
        for use in (LogStore, Reader):
            with pytest.raises(StoreError, match="not a database"):
                use(path)
        assert files(path) == before

    def test_a_crashed_database_of_another_program_is_not_recovered(self, path: Path) -> None:
        """SQLite would, when it only opens it."""
        source = (
            "import os, sqlite3, sys\n"
            "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
            "connection.execute('PRAGMA journal_mode = WAL')\n"
            "connection.execute('CREATE TABLE contacts (name)')\n"
            "os._exit(0)\n"
        )
        subprocess.run([sys.executable, "-c", source, path], check=True)
        before = files(path)
        assert before["log.db-wal"][0]
        for use in (LogStore, Reader):
            with pytest.raises(StoreError, match="of another program"):
                use(path)
        assert {name: files(path)[name] for name in ("log.db", "log.db-wal")} == {
            name: before[name] for name in ("log.db", "log.db-wal")
        }

    def test_a_directory_and_a_missing_one_are_refused(self, path: Path) -> None:
        """With what the system says."""
        with pytest.raises(StoreError, match="Is a directory"):
            LogStore(path.parent)
        with pytest.raises(StoreError, match="No such file or directory"):
            LogStore(path.parent / "none" / "log.db")


class TestPrivacy:
    """Logs hold secrets: their owner alone may read them."""

    @pytest.mark.usefixtures("liberal")
    def test_all_its_files_are_private_whatever_the_umask(self, path: Path) -> None:
        """While it is written, and afterwards."""
        with LogStore(path) as store:
            store.on_lines([line(0)])
            with Reader(path) as reader:
                list(reader.select(Selection()))
                found = {file.name: mode_of(file)
                         for file in path.parent.iterdir()}  # fmt: skip
                assert found == dict.fromkeys(("log.db", "log.db-wal", "log.db-shm"), 0o600)
        assert mode_of(path) == 0o600

    def test_a_store_that_others_can_read_is_tightened(self, path: Path) -> None:
        """With what a crashed watcher left beside it."""
        kill_a_watcher(path)
        for file in path.parent.iterdir():
            file.chmod(0o664)
        with LogStore(path):
            found = {file.name: mode_of(file) for file in path.parent.iterdir()}
        assert found == dict.fromkeys(("log.db", "log.db-wal", "log.db-shm"), 0o600)


class TestVersions:
    """A store says whose it is, and of which version."""

    def test_a_store_has_the_id_of_the_program_and_a_version(self, path: Path) -> None:
        """In its header, before the first line is in it."""
        with LogStore(path):
            header = path.read_bytes()[:100]
        assert header[68:72] == b"brmb"
        assert int.from_bytes(header[60:64], "big") == schema.VERSION

    def test_an_empty_file_becomes_a_store(self, path: Path) -> None:
        """As `mktemp` makes it."""
        path.touch()
        LogStore(path).close()
        assert rows(path, "PRAGMA user_version") == [(schema.VERSION,)]

    def test_a_store_without_a_version_is_converted(self, path: Path) -> None:
        """With everything that is in it; the new run comes behind."""
        make(path, FIRST_VERSION)
        with LogStore(path, "new") as store:
            store.on_lines([line(0, "newest")])
            assert store.run == 3
        with Reader(path) as reader:
            assert list(reader.select(Selection(run=1))) == [
                StoredLine(1, "api", "stdout", 0, 91.0, "first", "\n", None),
                StoredLine(1, "api", "stdout", 1, 92.0, "second", "\r\n", None),
                StoredLine(1, "api", "stderr", 0, 93.0, "\\xff", "", b"\xff"),
            ]
            assert [row.text for row in reader.select(Selection(run=1, errors=True))] == ["bad"]
            first, second, third = reader.runs()
        assert (first.started, first.ended, first.exit_code, first.lines) == (90.0, 101.0, 3, 3)
        assert (second.state, second.target, second.lines) == ("killed", "make", 1)
        assert (third.target, third.lines) == ("new", 1)
        tables = rows(path, "SELECT name FROM sqlite_master WHERE name LIKE 'old%'")
        assert (tables, rows(path, "PRAGMA freelist_count")) == ([], [(0,)])

    def test_reading_an_old_store_converts_it_as_well(self, path: Path) -> None:
        """Without a new run."""
        make(path, FIRST_VERSION)
        assert texts(path, run=2) == ["made"]
        assert rows(path, "SELECT count(*) FROM runs") == [(2,)]

    def test_an_old_store_that_was_killed_is_converted_with_its_log(self, path: Path) -> None:
        """Its tables may be in the log alone."""
        source = (
            "import os, sqlite3, sys\n"
            "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
            "connection.execute('PRAGMA journal_mode = WAL')\n"
            "connection.executescript(sys.argv[2])\n"
            "os._exit(0)\n"
        )
        subprocess.run([sys.executable, "-c", source, path, FIRST_VERSION], check=True)
        assert texts(path, run=2) == ["made"]

    def test_an_old_store_in_use_is_left_to_its_watcher(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It could not write to the new tables."""
        monkeypatch.setattr("brummerbus.watch.store.opening.BUSY", 0.1)
        make(path, "PRAGMA journal_mode = WAL;" + FIRST_VERSION)
        with closing(sqlite3.connect(path, isolation_level=None)) as old:
            old.execute("UPDATE runs SET ended = 1")
            with pytest.raises(StoreError, match="an older brummerbus uses it"):
                LogStore(path)
            old.execute("INSERT INTO lines VALUES (2, 'make', 'stdout', 1, 9, 'more', '', NULL)")
        assert texts(path, run=2) == ["made", "more"]

    def test_a_conversion_that_fails_leaves_the_store_as_it_was(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A disk that has no space for it, for example."""
        make(path, FIRST_VERSION)
        with monkeypatch.context() as patch:
            patch.setattr(
                "brummerbus.watch.store.migration._COPY", "INSERT INTO nowhere VALUES (1);\n"
            )
            with pytest.raises(sqlite3.OperationalError):
                LogStore(path)
        assert rows(path, "SELECT count(*) FROM lines") == [(4,)]
        assert rows(path, "PRAGMA user_version") == [(0,)]
        assert texts(path, run=2) == ["made"]


@pytest.mark.slow
def test_watchers_that_start_at_once_make_one_store(path: Path) -> None:
    """Processes, not threads: SQLite knows which connections are in one process."""
    source = (
        "import sys\n"
        "from brummerbus.watch.store import LogStore\n"
        "print(flush=True)\n"
        "sys.stdin.readline()\n"
        "for _ in range(5): LogStore(sys.argv[1]).close()\n"
    )
    watchers = [
        subprocess.Popen(
            [sys.executable, "-c", source, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for watcher in watchers:
        assert watcher.stdout is not None
        watcher.stdout.readline()
    for watcher in watchers:
        assert watcher.stdin is not None
        watcher.stdin.write("\n")
        watcher.stdin.flush()
    assert [watcher.communicate(timeout=60)[1] for watcher in watchers] == [""] * 4
    assert rows(path, "SELECT count(*) FROM runs") == [(20,)]


def test_reading_makes_no_file(path: Path) -> None:
    with pytest.raises(StoreError, match="no such file"):
        Reader(path)
    assert not path.exists()


def test_a_store_whose_watcher_was_killed_can_be_read(path: Path) -> None:
    kill_a_watcher(path)
    assert texts(path) == ["last words"]
    with Reader(path) as reader:
        assert [run.state for run in reader.runs()] == ["killed"]
