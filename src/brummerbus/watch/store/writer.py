"""Writes one run: every line, error and process of it.

The bus delivers lines in batches, and each batch is one transaction: it has the lines that were
queued while the previous one was written. Committing each line would cost a disk flush per line.

A thread-safe class with one lock and one connection. What cannot be written stays pending, within
limits, and is tried again once per second: a locked file or a full disk that gets space again loses
nothing, and a disk that stays full costs little time.
"""

import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any

import psutil

from brummerbus import Event
from brummerbus.watch.payloads import ErrorFound, LogLines, ProcessExited, ProcessStarted
from brummerbus.watch.store.blocks import rows_of, size_of
from brummerbus.watch.store.limits import NO_LIMITS, Limits
from brummerbus.watch.store.opening import open_for_writing
from brummerbus.watch.store.pruning import Pruner
from brummerbus.watch.store.schema import NUMBER_BITS, NUMBER_MASK

BATCH = 16
"""Reads of a pipe that the bus delivers together, at most: some ten milliseconds of work."""

_TRANSACTION = 10_000
"""Lines in a transaction after which no further read is added to it."""

_MAX_PENDING = 200_000
"""Lines, and rows of each other table, that are kept while they cannot be written; further ones
are lost."""

_RETRY = 1.0
"""Seconds between two attempts to write what could not be written."""

_ALIVE = 60.0
"""Seconds between two signs of life in the file."""

_CHORES = 1.0
"""Seconds of pruning at the end, at most; the next run goes on with it."""

_WRITE = {
    # The exit of a process may be handled before its start, and its start again before its exit, as
    # handlers run concurrently; the times tell which is which. It has the row of its last start.
    "started": "INSERT INTO processes VALUES (?, ?, ?, ?, ?, NULL, NULL)"
    " ON CONFLICT DO UPDATE SET"
    " pid = excluded.pid, command = excluded.command, started = excluded.started,"
    " exit_code = CASE WHEN exited < excluded.started THEN NULL ELSE exit_code END,"
    " exited = CASE WHEN exited < excluded.started THEN NULL ELSE exited END",
    "exited": "INSERT INTO processes VALUES (?, ?, ?, '', ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET exited = excluded.exited, exit_code = excluded.exit_code"
    " WHERE excluded.exited >= started",
    "errors": "INSERT INTO errors VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
}
_Row = tuple[Any, ...]


class LogStore:
    """Writes one run into a file that may hold earlier ones. Thread-safe.

    Args:
        path: The file; created if it does not exist, and readable by its owner only.
        target: The name of the run.
        limits: What of earlier runs is kept.

    Raises:
        StoreError: The file is no store, or one that this version cannot use; it is untouched.
        sqlite3.Error: The file cannot be opened or written.
    """

    def __init__(self, path: str | Path, target: str = "", limits: Limits = NO_LIMITS) -> None:
        self._lock = Lock()  # guards all below
        self._lines: list[LogLines] = []
        self._rows: dict[str, list[_Row]] = {table: [] for table in _WRITE}
        self._bases: dict[tuple[str, str], int] = {}
        """The key of line 0 of each stream, by process and stream."""
        self._failure: Exception | None = None
        self._retry_at = 0.0
        self._connection = open_for_writing(path)
        now = self._seen = time.time()
        me = psutil.Process()
        try:
            cursor = self._connection.execute(
                "INSERT INTO runs (started, target, pid, pid_started, seen) VALUES (?, ?, ?, ?, ?)",
                (now, target, me.pid, me.create_time(), now),
            )
        except sqlite3.Error:
            self._connection.close()
            raise
        self.run = cursor.lastrowid or 0
        self._pruner = Pruner(self._connection, self.run, limits)
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
        with self._lock:
            self._lines += [event.data for event in events]
            self._write()

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

    def write(self) -> None:
        """Write what is pending now.

        Raises:
            sqlite3.Error: It could not be written, and is pending still.
        """
        with self._lock:
            self._retry_at = 0.0
            self._write()

    def tick(self) -> None:
        """Write what is pending, and prune a little; to be called several times per second.

        Raises:
            sqlite3.Error: It could not be written.
        """
        with self._lock:
            self._write()
            self._live()
            self._pruner.step()

    def count(self) -> int:
        """Return the number of this run's lines, as counted in the file."""
        with self._lock:
            return sum(
                int(self._connection.execute(
                    "SELECT count(*) FROM line_data WHERE id BETWEEN ? AND ?",
                    (base, base + NUMBER_MASK),
                ).fetchone()[0])
                for base in self._bases.values()
            )  # fmt: skip

    def close(self) -> None:
        """Write the rest and close the file. Idempotent.

        Raises:
            sqlite3.Error: The rest could not be written.
        """
        if self._closed:
            return
        self._closed = True
        with closing(self._connection):
            try:
                self.write()
            finally:
                self._end()

    def _end(self) -> None:
        """Note the end; a full disk may have space for that."""
        with self._lock:
            try:
                self._note_end()
            except sqlite3.OperationalError:
                # The log may be what fills the disk; once it is in the file it begins again.
                with suppress(sqlite3.OperationalError):
                    self._connection.execute("PRAGMA busy_timeout = 100")
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                self._note_end()
            self._pruner.finish(_CHORES)
            # Back to the mode without a second file; it fails while another process reads.
            with suppress(sqlite3.OperationalError):
                self._connection.execute("PRAGMA busy_timeout = 100")
                self._connection.execute("PRAGMA journal_mode = DELETE")

    def _note_end(self) -> None:
        self._connection.execute("UPDATE runs SET ended = ? WHERE id = ?", (time.time(), self.run))

    def _add(self, table: str, rows: list[_Row]) -> None:
        with self._lock:
            self._rows[table] += rows
            self._write()

    def _write(self) -> None:
        """Write what is pending; the lock is held.

        After a failure it is not tried again at once: a disk that stays full costs little time.
        """
        if self._failure is not None and time.monotonic() < self._retry_at:
            self._trim()
            raise self._failure
        self._failure = None
        # Piece by piece: after a failure there may be much more than a batch, and space for a part.
        while self._lines or any(self._rows.values()):
            self._write_some(self._first())

    def _first(self) -> list[LogLines]:
        """Return what comes first of the lines: as many as one transaction has."""
        count = 0
        for place, lines in enumerate(self._lines):
            if count >= _TRANSACTION:
                return self._lines[:place]
            count += lines.count
        return self._lines.copy()

    def _write_some(self, some: list[LogLines]) -> None:
        """Write the first lines and all other rows, in one transaction.

        If it fails, nothing is written and everything stays pending, up to the limit. What cannot
        be stored at all is dropped, as it must not keep the rest from it.
        """
        bases = self._bases.copy()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._insert(some)
            self._connection.execute("COMMIT")
        except BaseException as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._bases = bases
            if isinstance(error, sqlite3.OperationalError):
                self._failure, self._retry_at = error, time.monotonic() + _RETRY
                self._trim()
            else:
                self._remove(some)
            raise
        self._written += sum(lines.count for lines in some)
        self._remove(some)

    def _insert(self, some: list[LogLines]) -> None:
        """Insert lines and all other rows: as few statements as possible, for reads of one line."""
        statements: dict[str, list[Iterable[_Row]]] = {}
        totals: dict[int, tuple[int, int]] = {}
        for lines in some:
            base = self._base(lines.process, lines.stream)
            statement, read = rows_of(lines, base)
            statements.setdefault(statement, []).append(read)
            count, size = totals.get(base, (0, 0))
            totals[base] = count + lines.count, size + size_of(lines)
        for statement, reads in statements.items():
            self._connection.executemany(statement, chain.from_iterable(reads))
        self._connection.executemany(
            "UPDATE streams SET lines = lines + ?, size = size + ? WHERE id = ?",
            [(count, size, base >> NUMBER_BITS) for base, (count, size) in totals.items()],
        )
        for table, rows in self._rows.items():
            if rows:
                self._connection.executemany(_WRITE[table], rows)

    def _base(self, process: str, stream: str) -> int:
        """Return the key of a stream's line 0; the stream is noted with its first line."""
        key = process, stream
        if key not in self._bases:
            cursor = self._connection.execute(
                "INSERT INTO streams (run, process, stream) VALUES (?, ?, ?)",
                (self.run, process, stream),
            )
            self._bases[key] = (cursor.lastrowid or 0) << NUMBER_BITS
        return self._bases[key]

    def _remove(self, some: list[LogLines]) -> None:
        """Remove the first lines and all other rows from what is pending."""
        del self._lines[: len(some)]
        for rows in self._rows.values():
            rows.clear()

    def _trim(self) -> None:
        """Drop what is pending beyond the limit, the newest."""
        for rows in self._rows.values():
            del rows[_MAX_PENDING:]
        kept = 0
        for place, lines in enumerate(self._lines):
            kept += lines.count
            if kept > _MAX_PENDING:
                del self._lines[place:]
                return

    def _live(self) -> None:
        """Leave a sign of life, if one is due, by which others see that this run goes on."""
        now = time.time()
        if now - self._seen >= _ALIVE:
            self._seen = now
            self._connection.execute("UPDATE runs SET seen = ? WHERE id = ?", (now, self.run))


def _error_row(run: int, found: ErrorFound) -> _Row:
    return (run, found.process, found.stream, found.first, found.last, found.time, found.kind,
            found.message, found.location, found.text)  # fmt: skip
