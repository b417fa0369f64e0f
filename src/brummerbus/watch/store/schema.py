"""The tables of the store, and the two numbers in the file by which it is known.

A line's key has its stream in the upper bits and its number in the lower ones: one B-tree, whose
keys are integers, has every line once, finds those of a stream in order, and refuses a line that
comes twice. A table with the names of process and stream in each row, and an index on them, costs
twice as much to write and 40 % more space.
"""

APPLICATION_ID = 0x62726D62
"""`brmb`: in the header of each store, so that no other database is taken for one."""

VERSION = 2
"""The version of the tables, in the header as `user_version`. Stores of version 1 have neither."""

NUMBER_BITS = 40
"""Of a line's key; the bits above are its stream's."""

NUMBER_MASK = (1 << NUMBER_BITS) - 1

TABLES = f"""
PRAGMA auto_vacuum = INCREMENTAL;
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, started REAL NOT NULL, ended REAL, target TEXT NOT NULL,
    pid INTEGER NOT NULL, pid_started REAL NOT NULL, seen REAL NOT NULL,
    pruned INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE processes (
    run INTEGER NOT NULL, process TEXT NOT NULL, pid INTEGER NOT NULL, command TEXT NOT NULL,
    started REAL NOT NULL, exited REAL, exit_code INTEGER, PRIMARY KEY (run, process)
);
CREATE TABLE streams (
    id INTEGER PRIMARY KEY, run INTEGER NOT NULL, process TEXT NOT NULL, stream TEXT NOT NULL,
    lines INTEGER NOT NULL DEFAULT 0, size INTEGER NOT NULL DEFAULT 0,
    UNIQUE (run, process, stream)
);
CREATE TABLE line_data (
    id INTEGER PRIMARY KEY, time REAL NOT NULL, text TEXT NOT NULL, ending TEXT, raw BLOB
);
CREATE TABLE errors (
    run INTEGER NOT NULL, process TEXT NOT NULL, stream TEXT NOT NULL, first INTEGER NOT NULL,
    last INTEGER NOT NULL, time REAL NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL,
    location TEXT NOT NULL, text TEXT NOT NULL
);
CREATE INDEX errors_by_time ON errors (run, time);
CREATE VIEW lines AS
    SELECT run, process, stream, line_data.id & {NUMBER_MASK} AS number, time, text,
        coalesce(ending, char(10)) AS ending, raw
    FROM streams JOIN line_data
        ON line_data.id BETWEEN streams.id << {NUMBER_BITS}
            AND (streams.id << {NUMBER_BITS}) + {NUMBER_MASK};
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""
"""With `auto_vacuum`, which comes first, the file can become smaller in steps. An ending is NULL
for a newline, as nearly all lines have it. The view `lines` is for queries."""
