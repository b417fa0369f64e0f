"""Shared by the tests of the store: events to store, stores of earlier versions, queries."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from brummerbus import Event
from brummerbus.watch.payloads import ErrorFound, LogLine, LogLines
from brummerbus.watch.store import Reader, Selection

from ..helpers import lines_event  # noqa: TID252

FIRST_VERSION = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, started REAL NOT NULL, ended REAL, target TEXT NOT NULL
);
CREATE TABLE processes (
    run INTEGER NOT NULL, process TEXT NOT NULL, pid INTEGER NOT NULL, command TEXT NOT NULL,
    started REAL NOT NULL, exited REAL, exit_code INTEGER, PRIMARY KEY (run, process)
);
CREATE TABLE lines (
    run INTEGER NOT NULL, process TEXT NOT NULL, stream TEXT NOT NULL, number INTEGER NOT NULL,
    time REAL NOT NULL, text TEXT NOT NULL, ending TEXT NOT NULL, raw BLOB
);
CREATE TABLE errors (
    run INTEGER NOT NULL, process TEXT NOT NULL, stream TEXT NOT NULL, first INTEGER NOT NULL,
    last INTEGER NOT NULL, time REAL NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL,
    location TEXT NOT NULL, text TEXT NOT NULL
);
CREATE UNIQUE INDEX lines_by_number ON lines (run, process, stream, number);
CREATE INDEX errors_by_time ON errors (run, time);
INSERT INTO runs VALUES (1, 90, 101, 'Procfile'), (2, 200, NULL, 'make');
INSERT INTO processes VALUES (1, 'api', 7, 'serve', 90, 100, 3), (2, 'make', 8, 'make', 200, NULL,
    NULL);
INSERT INTO lines VALUES
    (1, 'api', 'stdout', 1, 92, 'second', '\r\n', NULL),
    (1, 'api', 'stdout', 0, 91, 'first', char(10), NULL),
    (1, 'api', 'stderr', 0, 93, '\\xff', '', x'ff'),
    (2, 'make', 'stdout', 0, 201, 'made', char(10), NULL);
INSERT INTO errors VALUES (1, 'api', 'stderr', 0, 0, 93, 'log', 'bad', 'a.py:1', 'bad');
"""
"""The tables of the stores that had no version, and two runs, of which one was killed."""


def make(path: Path, script: str) -> None:
    """Make a database."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def rows(path: Path, query: str, *values: object) -> list[Any]:
    """Query a database as another program would."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query, values).fetchall()


def line(number: int, text: str = "text", **changes: Any) -> Event:
    """Return an event of one line."""
    fields = {"process": "api", "stream": "stdout", "number": number, "text": text, "time": number}
    return lines_event(LogLine(**{**fields, **changes}))


def lines(*numbers: int, **changes: Any) -> list[Event]:
    """Return the events of some lines."""
    return [line(number, **changes) for number in numbers]


def block(numbers: range, text: str = "text", process: str = "api") -> Event:
    """Return an event of lines that were read at once."""
    texts = "\n".join([text] * len(numbers))
    return Event("log.line", LogLines(process, "stdout", numbers[0], 1.0, texts, len(numbers)))


def error(number: int, process: str = "api", **changes: Any) -> Event:
    """Return an event of one error."""
    fields = {
        "process": process, "stream": "stderr", "first": number, "last": number + 1,
        "time": number, "kind": "log", "message": "bad", "location": "", "text": "bad\nmore",
    }  # fmt: skip
    return Event("error.detected", ErrorFound(**{**fields, **changes}))


def texts(path: Path, **conditions: Any) -> list[str]:
    """Return the texts that a selection finds."""
    with Reader(path) as reader:
        return [row.text for row in reader.select(Selection(**conditions))]
