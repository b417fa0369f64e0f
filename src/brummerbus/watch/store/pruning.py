"""Deletes earlier runs, a few milliseconds at a time, on the connection of the run that is written.

A run is deleted whole, the oldest first, and never one that goes on, in this watcher or another.
First it is marked, so that readers do not see it any more; then its lines go, some thousand in each
transaction, so that no other writer waits long; then the file gives the space back, some pages at a
time, since a VACUUM would lock the file for as long as it takes to copy it. If the watcher ends
before it is done, the next one goes on.
"""

import sqlite3
import time

from brummerbus.watch.store.limits import Limits
from brummerbus.watch.store.liveness import may_run
from brummerbus.watch.store.schema import NUMBER_BITS, NUMBER_MASK

_ROWS = 5000
"""Rows deleted in one step."""

_PAGES = 500
"""Free pages given back in one step."""

_EVERY = 60.0
"""Seconds between two looks at the limits once they are kept."""


class Pruner:
    """Keeps a store within its limits. Not thread-safe: it has the store's lock.

    Args:
        connection: The store's.
        run: The run that is written.
        limits: What is kept.
    """

    def __init__(self, connection: sqlite3.Connection, run: int, limits: Limits) -> None:
        self._connection = connection
        self._run = run
        self._limits = limits
        self._due = 0.0

    def step(self) -> bool:
        """Do a little, if it is due; return whether there is more to do.

        Raises:
            sqlite3.Error: The file cannot be written.
        """
        if time.monotonic() < self._due:
            return False
        more = self._delete_some() or self._mark_one() or self._give_back()
        self._due = 0.0 if more else time.monotonic() + _EVERY
        return more

    def finish(self, seconds: float) -> None:
        """Go on until the limits are kept, or the time is over."""
        self._due = 0.0
        deadline = time.monotonic() + seconds
        while self.step() and time.monotonic() < deadline:
            pass

    def _delete_some(self) -> bool:
        """Delete some rows of a marked run; return whether there was one."""
        marked = self._one("SELECT id FROM runs WHERE pruned LIMIT 1")
        if marked is None:
            return False
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._delete_from(int(marked[0]))
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return True

    def _delete_from(self, run: int) -> None:
        """Delete some lines of a run; if it has none, some errors; then the run itself."""
        delete = self._connection.execute
        stream = self._one("SELECT id FROM streams WHERE run = ? LIMIT 1", run)
        if stream is not None:
            base = int(stream[0]) << NUMBER_BITS
            chosen = "SELECT id FROM line_data WHERE id BETWEEN ? AND ? LIMIT ?"
            rows = delete(
                f"DELETE FROM line_data WHERE id IN ({chosen})", (base, base + NUMBER_MASK, _ROWS)
            )
            if rows.rowcount < _ROWS:
                delete("DELETE FROM streams WHERE id = ?", stream)
            return
        chosen = "SELECT rowid FROM errors WHERE run = ? LIMIT ?"
        rows = delete(f"DELETE FROM errors WHERE rowid IN ({chosen})", (run, _ROWS))
        if rows.rowcount < _ROWS:
            delete("DELETE FROM processes WHERE run = ?", (run,))
            delete("DELETE FROM runs WHERE id = ?", (run,))

    def _mark_one(self) -> bool:
        """Mark the oldest run if a limit says so; return whether it did."""
        if self._limits.size is None and self._limits.age is None:
            return False
        columns = "id, coalesce(ended, seen), ended, pid, pid_started, seen"
        runs = self._connection.execute(
            f"SELECT {columns} FROM runs WHERE id != ? AND NOT pruned ORDER BY id", (self._run,)
        ).fetchall()
        too_large = self._limits.size is not None and self._used() > self._limits.size
        oldest = None if self._limits.age is None else time.time() - self._limits.age
        for run, last, *signs in runs:
            too_old = oldest is not None and last < oldest
            if (too_large or too_old) and not may_run(*signs):
                self._connection.execute("UPDATE runs SET pruned = 1 WHERE id = ?", (run,))
                return True
        return False

    def _give_back(self) -> bool:
        """Give some free pages back; return whether there are more."""
        free = self._number("freelist_count")
        if free and self._number("auto_vacuum") == 2:
            # As a script: `execute` would stop after the first page.
            self._connection.executescript(f"PRAGMA incremental_vacuum({_PAGES})")
        return free > _PAGES

    def _used(self) -> int:
        """Return how many bytes of the file are in use."""
        pages = self._number("page_count") - self._number("freelist_count")
        return pages * self._number("page_size")

    def _number(self, name: str) -> int:
        return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

    def _one(self, query: str, *values: object) -> tuple[int, ...] | None:
        row: tuple[int, ...] | None = self._connection.execute(query, values).fetchone()
        return row
