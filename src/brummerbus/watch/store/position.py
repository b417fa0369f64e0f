"""Reads a selection of lines or errors, and later what has come since.

Lines are read in pages, each in a short transaction of its own, and the streams are merged by time.
So reading needs neither a sort nor memory for all lines, the first one appears at once, and a
reader that pauses (a pager, say) does not keep the watcher's log from being emptied.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import Any

from brummerbus.watch.store.rows import Stored, StoredError, StoredLine
from brummerbus.watch.store.schema import NUMBER_BITS, NUMBER_MASK
from brummerbus.watch.store.selection import LAST, Selection

_PAGE = 500
"""Lines read in one transaction."""

_ORDER = itemgetter(4, 1, 2, 3)
"""Time, process, stream and number of a line: those of one moment are in the order of their
stream."""

_ERROR_ORDER = itemgetter(5, 1, 2, 3)


def fetch(connection: sqlite3.Connection, query: str, *values: object) -> list[Any]:
    """Return all rows at once, so that no transaction stays open."""
    with closing(connection.execute(query, values)) as cursor:
        return cursor.fetchall()


def last_run(connection: sqlite3.Connection) -> int:
    """Return the number of the last run; 0 if there is none."""
    return int(fetch(connection, "SELECT coalesce(max(id), 0) FROM runs WHERE NOT pruned")[0][0])


class Position:
    """How far a selection has been read. Reading again yields what has come since.

    Args:
        connection: The store's.
        selection: What is asked for. With the last run, further ones that begin are read as well.
    """

    def __init__(self, connection: sqlite3.Connection, selection: Selection) -> None:
        self._connection = connection
        self._selection = selection
        self._last: dict[int, int] = {}
        """The key of the last line that was read of each stream."""
        self._last_error = 0
        self._tail = selection.tail
        run = selection.run
        self._from = last_run(connection) if run == LAST else run or 0
        self._to = run if run is not None and run != LAST else None

    def advance(self) -> Iterator[Stored]:
        """Yield what was not read yet, in the order of time."""
        tail, self._tail = self._tail, None
        if self._selection.errors:
            return iter(self._errors(tail))
        streams = self._streams()
        if tail is None:
            return merge(*map(self._forwards, streams), key=_ORDER)
        lasts = [list(islice(self._backwards(stream), tail)) for stream in streams]
        return iter(sorted((line for some in lasts for line in some), key=_ORDER)[-tail:])

    def _streams(self) -> list[tuple[int, int, str, str]]:
        rows = fetch(
            self._connection,
            "SELECT streams.id, run, process, stream FROM streams JOIN runs ON runs.id = run"
            " WHERE NOT pruned AND run >= ? AND run <= ifnull(?, run)",
            self._from, self._to,
        )  # fmt: skip
        return [row for row in rows if self._selection.has_stream(row[2], row[3])]

    def _forwards(self, stream: tuple[int, int, str, str]) -> Iterator[StoredLine]:
        """Yield a stream's lines behind the last one that was read."""
        number, *_ = stream
        base = number << NUMBER_BITS
        while True:
            last = self._last.get(number, base - 1)
            page = self._page("id > ? AND id <= ?", last, base + NUMBER_MASK, "ASC")
            if not page:
                return
            self._last[number] = page[-1][0]
            yield from self._chosen(stream, page)

    def _backwards(self, stream: tuple[int, int, str, str]) -> Iterator[StoredLine]:
        """Yield a stream's lines from the last one back; they all count as read."""
        number, *_ = stream
        base = number << NUMBER_BITS
        before = base + NUMBER_MASK + 1
        while True:
            page = self._page("id >= ? AND id < ?", base, before, "DESC")
            if not page:
                return
            self._last.setdefault(number, page[0][0])
            before = page[-1][0]
            yield from self._chosen(stream, page)

    def _page(self, condition: str, low: int, high: int, direction: str) -> list[Any]:
        """Return some lines between two keys, of the time that is asked for."""
        values: list[float] = [low, high]
        if self._selection.since is not None:
            condition += " AND time >= ?"
            values.append(self._selection.since)
        if self._selection.until is not None:
            condition += " AND time < ?"
            values.append(self._selection.until)
        query = f"SELECT id, time, text, ending, raw FROM line_data WHERE {condition}"
        return fetch(self._connection, f"{query} ORDER BY id {direction} LIMIT {_PAGE}", *values)

    def _chosen(self, stream: tuple[int, int, str, str], page: list[Any]) -> Iterator[StoredLine]:
        _, run, process, name = stream
        for key, moment, text, ending, raw in page:
            if self._selection.has_text(text):
                end = "\n" if ending is None else ending
                yield StoredLine(run, process, name, key & NUMBER_MASK, moment, text, end, raw)

    def _errors(self, tail: int | None) -> list[StoredError]:
        rows = fetch(
            self._connection,
            "SELECT errors.rowid, errors.* FROM errors JOIN runs ON runs.id = run"
            " WHERE NOT pruned AND run >= ? AND run <= ifnull(?, run) AND errors.rowid > ?",
            self._from, self._to, self._last_error,
        )  # fmt: skip
        self._last_error = max((row[0] for row in rows), default=self._last_error)
        found = [StoredError(*row[1:]) for row in rows]
        chosen = sorted(
            (
                error
                for error in found
                if self._selection.has_stream(error.process, error.stream)
                and self._selection.has_time(error.time)
                and self._selection.has_text(error.text)
            ),
            key=_ERROR_ORDER,
        )
        return chosen if tail is None else chosen[-tail:]
