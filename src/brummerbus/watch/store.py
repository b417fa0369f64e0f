"""The log store: every line in one SQLite file, and queries on it.

The bus delivers lines in batches, and each batch is one transaction: it has the lines that were
queued while the previous one was written. Committing each line would cost a disk flush per line.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, NamedTuple

from brummerbus import Event
from brummerbus.watch.payloads import ErrorFound, ProcessExited, ProcessStarted

DEFAULT_PATH = "brummerbus.db"
"""The default file of `watch` and `log`, in the working directory."""

BATCH = 16
"""Reads of a pipe per transaction, at most: ten thousand lines, some ten milliseconds of work."""

_SORTED = 128 * 1024 * 1024
"""Bytes that are sorted in memory when lines are read; more is sorted in a temporary file."""

_MAX_PENDING = 200_000
"""Rows per table that are kept while they cannot be written; further ones are lost."""

# Without an index of lines by time, which cost a sixth of all CPU time of a flood: reading sorts.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY, started REAL NOT NULL, ended REAL, target TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS processes (
    run INTEGER NOT NULL, process TEXT NOT NULL, pid INTEGER NOT NULL, command TEXT NOT NULL,
    started REAL NOT NULL, exited REAL, exit_code INTEGER, PRIMARY KEY (run, process)
);
CREATE TABLE IF NOT EXISTS lines (
    run INTEGER NOT NULL, process TEXT NOT NULL, stream TEXT NOT NULL, number INTEGER NOT NULL,
    time REAL NOT NULL, text TEXT NOT NULL, ending TEXT NOT NULL, raw BLOB
);
CREATE TABLE IF NOT EXISTS errors (
    run INTEGER NOT NULL, process TEXT NOT NULL, stream TEXT NOT NULL, first INTEGER NOT NULL,
    last INTEGER NOT NULL, time REAL NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL,
    location TEXT NOT NULL, text TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS lines_by_number ON lines (run, process, stream, number);
CREATE INDEX IF NOT EXISTS errors_by_time ON errors (run, time);
"""
_WRITE = {
    # A process's exit may be handled before its start, as handlers run concurrently.
    "started": "INSERT INTO processes VALUES (?, ?, ?, ?, ?, NULL, NULL)"
    " ON CONFLICT DO UPDATE SET command = excluded.command",
    "exited": "INSERT INTO processes VALUES (?, ?, ?, '', ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET exited = excluded.exited, exit_code = excluded.exit_code",
    # In the order of `LogLines.rows`.
    "lines": "INSERT INTO lines (run, process, stream, number, text, time, ending, raw)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    "errors": "INSERT INTO errors VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
}
_Row = tuple[Any, ...]


class LogStore:
    """Writes one run into a file that may hold earlier ones. Thread-safe.

    Args:
        path: The file; created if it does not exist.
        target: The name of the run.

    Raises:
        sqlite3.Error: The file cannot be opened or is not a database.
    """

    def __init__(self, path: str | Path, target: str = "") -> None:
        self._lock = Lock()  # guards all below
        self._pending: dict[str, list[_Row]] = {table: [] for table in _WRITE}
        self._connection = sqlite3.connect(
            path, timeout=30, isolation_level=None, check_same_thread=False
        )
        try:
            # Readers do not block the writer, and a commit need not wait for the disk.
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.executescript(_SCHEMA)
            cursor = self._connection.execute(
                "INSERT INTO runs (started, target) VALUES (?, ?)", (time.time(), target)
            )
        except sqlite3.Error:
            self._connection.close()
            raise
        self.run = cursor.lastrowid or 0
        self._closed = False
        self._written = 0

    @property
    def written(self) -> int:
        """How many lines of this run have been committed."""
        return self._written

    def __enter__(self) -> "LogStore":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def on_lines(self, events: list[Event]) -> None:
        """Handle a batch of `log.line`."""
        rows: list[_Row] = []
        for event in events:
            rows += event.data.rows(self.run)
        self._add("lines", rows)

    def on_errors(self, events: list[Event]) -> None:
        """Handle a batch of `error.detected`."""
        self._add("errors", [_error_row(self.run, event.data) for event in events])

    def on_process(self, event: Event) -> None:
        """Handle `process.started` and `process.exited`."""
        data: ProcessStarted | ProcessExited = event.data
        if isinstance(data, ProcessStarted):
            self._add("started", [(self.run, data.process, data.pid, data.command, data.time)])
        else:
            started = data.time - data.run_time
            self._add("exited", [(self.run, data.process, data.pid, started, data.time,
                                  data.exit_code)])  # fmt: skip

    def _add(self, table: str, rows: list[_Row]) -> None:
        with self._lock:
            self._pending[table] += rows
        self.write()

    def write(self) -> None:
        """Write what is pending, in one transaction.

        If it fails, nothing is written and everything stays pending: a temporarily locked file or
        full disk loses no line.
        """
        with self._lock:
            if not any(self._pending.values()):
                return
            try:
                self._connection.execute("BEGIN")
                for table, rows in self._pending.items():
                    self._connection.executemany(_WRITE[table], rows)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                for rows in self._pending.values():
                    del rows[_MAX_PENDING:]
                raise
            self._written += len(self._pending["lines"])
            for rows in self._pending.values():
                rows.clear()

    def count(self) -> int:
        """Return the number of this run's lines, as counted in the file."""
        with self._lock:
            cursor = self._connection.execute(
                "SELECT count(*) FROM lines WHERE run = ?", (self.run,)
            )
            return int(cursor.fetchone()[0])

    def close(self) -> None:
        """Write the rest and close the file. Idempotent.

        Raises:
            sqlite3.Error: The rest could not be written.
        """
        if self._closed:
            return
        self._closed = True
        with closing(self._connection):
            self.write()
            with self._lock:
                self._connection.execute(
                    "UPDATE runs SET ended = ? WHERE id = ?", (time.time(), self.run)
                )
                # Back to the mode without a second file; it fails while another process reads.
                with suppress(sqlite3.OperationalError):
                    self._connection.execute("PRAGMA busy_timeout = 100")
                    self._connection.execute("PRAGMA journal_mode = DELETE")


def _error_row(run: int, found: ErrorFound) -> _Row:
    return (run, found.process, found.stream, found.first, found.last, found.time, found.kind,
            found.message, found.location, found.text)  # fmt: skip


class Row(NamedTuple):
    """A stored line, or a stored error with all its lines."""

    time: float
    process: str
    text: str


def read(
    path: str | Path,
    *,
    run: int | None = None,
    process: str | None = None,
    errors: bool = False,
    since: float | None = None,
    until: float | None = None,
    tail: int | None = None,
) -> Iterator[Row]:
    """Yield stored lines, or errors, in order of time.

    Args:
        path: The file.
        run: The number of a run; None: all, negative: the last.
        process: Only those of this process.
        errors: Errors instead of lines.
        since: From this time on, in seconds since the epoch.
        until: Before this time.
        tail: Only the last `tail` ones.

    Raises:
        sqlite3.Error: The file cannot be read, or is not a store.
    """
    filters = {
        "run = ?": run if run is None or run >= 0 else None,
        "process = ?": process,
        "time >= ?": since,
        "time < ?": until,
    }
    chosen = {condition: value for condition, value in filters.items() if value is not None}
    conditions = [*chosen, "1"]
    if run is not None and run < 0:
        conditions.append("run = (SELECT max(id) FROM runs)")
    table = "errors" if errors else "lines"
    # Lines that were read at the same moment are in the order of their stream.
    keys = ["time", "process", "stream", "first" if errors else "number"]
    direction = "ASC" if tail is None else "DESC"
    order = ", ".join(f"{key} {direction}" for key in keys)
    query = (
        f"SELECT time, process, text FROM {table} WHERE {' AND '.join(conditions)}"
        f" ORDER BY {order} LIMIT ?"
    )
    with closing(open_for_reading(path)) as connection:
        rows = connection.execute(query, (*chosen.values(), -1 if tail is None else tail))
        for row in rows if tail is None else reversed(rows.fetchall()):
            yield Row(*row)


def processes(path: str | Path) -> list[str]:
    """Return the names of all processes in the file."""
    with closing(open_for_reading(path)) as connection:
        return [row[0] for row in connection.execute("SELECT DISTINCT process FROM processes")]


def open_for_reading(path: str | Path) -> sqlite3.Connection:
    """Open an existing store; a watcher may be writing to it."""
    uri = Path(path).resolve().as_uri() + "?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=30)
    connection.execute(f"PRAGMA cache_size = -{_SORTED // 1024}")
    return connection
