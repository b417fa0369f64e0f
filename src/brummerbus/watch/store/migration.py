"""Converts a store of version 1, which had the names of process and stream in each line."""

import sqlite3
from contextlib import suppress

from brummerbus.watch.store.identity import StoreError
from brummerbus.watch.store.schema import NUMBER_BITS, TABLES

_COPY = f"""
INSERT INTO runs SELECT id, started, ended, target, 0, 0, coalesce(ended, started), 0
    FROM old_runs;
INSERT INTO processes SELECT * FROM old_processes;
INSERT INTO errors SELECT * FROM old_errors;
INSERT INTO streams SELECT NULL, run, process, stream, count(*), sum(length(text))
    FROM old_lines GROUP BY run, process, stream;
INSERT INTO line_data
    SELECT (streams.id << {NUMBER_BITS}) + number, time, text, nullif(ending, char(10)), raw
    FROM streams CROSS JOIN old_lines USING (run, process, stream) ORDER BY streams.id, number;
"""
_OLD = ("runs", "processes", "errors", "lines")


def migrate(connection: sqlite3.Connection) -> None:
    """Convert a store of version 1, in one transaction: it is converted whole or not at all.

    Raises:
        StoreError: Another process uses it.
        sqlite3.Error: It cannot be written, for example because the disk is full.
    """
    # This mode is granted only if no other process has the file open: an old watcher could not
    # write to the new tables.
    try:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        raise StoreError("an older brummerbus uses it, and it must be converted; "
                         "end that one first") from None  # fmt: skip
    try:
        _convert(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    # Without the space of the old tables, and ready to give back space in steps; it is no loss if
    # the disk has no place for it now.
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("VACUUM")


def _convert(connection: sqlite3.Connection) -> None:
    connection.execute("DROP INDEX IF EXISTS errors_by_time")  # the new one has its name
    for table in _OLD:
        connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    for statement in (TABLES + _COPY).split(";\n"):
        connection.execute(statement)
    for table in _OLD:
        connection.execute(f"DROP TABLE old_{table}")
