"""Opens a store: refuses what is none, makes it private to its owner, converts an old one."""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from brummerbus.watch.private import make_private, tighten
from brummerbus.watch.store.identity import StoreError, check_version, version_of
from brummerbus.watch.store.migration import migrate
from brummerbus.watch.store.schema import APPLICATION_ID, TABLES, VERSION

BUSY = 30.0
"""Seconds that another process's lock is waited for."""

_BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite's files beside the database end in. It makes them with the database's own mode."""


def open_for_writing(path: str | Path) -> sqlite3.Connection:
    """Open a store, which is created if it does not exist; transactions are the caller's.

    Raises:
        StoreError: It is none, cannot be made private, or is an old one that is in use.
        sqlite3.Error: It cannot be opened or written, for example because the disk is full.
    """
    file = Path(path).absolute()
    version = version_of(file)
    try:
        make_private(file)
        for suffix in _BESIDE:
            tighten(file.with_name(file.name + suffix))
    except OSError as error:
        raise StoreError(error.strerror or str(error)) from None
    connection = sqlite3.connect(file, timeout=BUSY, isolation_level=None, check_same_thread=False)
    try:
        if version == 1:
            migrate(connection)
        else:
            _create(connection)
        # Readers do not block the writer, and a commit need not wait for the disk.
        _when_free(lambda: connection.execute("PRAGMA journal_mode = WAL"))
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_reading(path: str | Path) -> sqlite3.Connection:
    """Open an existing store, to which a watcher may be writing; an old one is converted first.

    Raises:
        StoreError: It is none, or an old one that cannot be converted now.
        sqlite3.Error: It cannot be opened.
    """
    file = Path(path).absolute()
    version = version_of(file)
    if version == 0:
        raise StoreError("no such file; 'watch' writes it")
    if version < VERSION:
        open_for_writing(file).close()
    connection = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=BUSY)
    try:
        _check(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _create(connection: sqlite3.Connection) -> None:
    """Make the tables, unless another process has."""
    _when_free(lambda: _try_to_create(connection))


def _try_to_create(connection: sqlite3.Connection) -> None:
    """Make everything in one transaction: nobody sees a file that has no numbers yet."""
    connection.execute("BEGIN")
    try:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            for statement in TABLES.split(";\n"):
                connection.execute(statement)
        _check(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _check(connection: sqlite3.Connection) -> None:
    """Check the numbers again, as SQLite sees them: with what its log has beyond the file."""
    if connection.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
        raise StoreError("the database of another program; choose another file with --db")
    check_version(int(connection.execute("PRAGMA user_version").fetchone()[0]))


def _when_free(function: Callable[[], object]) -> None:
    """Call a function until no other process is in its way.

    SQLite waits for a lock, but not where each of two processes has what the other one needs, as
    when both make the file, or switch its mode, at the same moment: one of them fails at once.
    """
    deadline = time.monotonic() + BUSY
    while _is_locked(function):
        if time.monotonic() > deadline:
            raise StoreError("database is locked")
        time.sleep(0.02)


def _is_locked(function: Callable[[], object]) -> bool:
    try:
        function()
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        return True
    return False
