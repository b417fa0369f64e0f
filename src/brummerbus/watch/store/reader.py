"""Finds lines, errors and runs in a store, while a watcher may be writing to it."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from brummerbus.watch.store.liveness import is_alive
from brummerbus.watch.store.opening import open_for_reading
from brummerbus.watch.store.position import Position, fetch, last_run
from brummerbus.watch.store.rows import Stored, StoredProcess, StoredRun
from brummerbus.watch.store.selection import LAST, Selection


class Reader:
    """Reads a store. Not thread-safe; a context manager that closes it.

    Args:
        path: The file; an old store is converted.

    Raises:
        StoreError: It does not exist, is no store, or one that this version cannot use.
        sqlite3.Error: It cannot be read; so for all methods.
    """

    def __init__(self, path: str | Path) -> None:
        self._connection = open_for_reading(path)

    def __enter__(self) -> "Reader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def processes(self, run: int | None = None) -> list[str]:
        """Return the names of the processes of a run, or of all, in the order of their start."""
        query = "SELECT process FROM processes WHERE run = ifnull(?, run)"
        run = last_run(self._connection) if run == LAST else run
        rows = fetch(self._connection, f"{query} GROUP BY process ORDER BY min(rowid)", run)
        return [row[0] for row in rows]

    def runs(self) -> list[StoredRun]:
        """Return all runs, the oldest first."""
        columns = "id, started, ended, pid, pid_started, target"
        rows = fetch(self._connection, f"SELECT {columns} FROM runs WHERE NOT pruned ORDER BY id")
        return [self._run(*row) for row in rows]

    def select(self, selection: Selection) -> Iterator[Stored]:
        """Yield lines, or errors, in the order of time."""
        return self.position(selection).advance()

    def position(self, selection: Selection) -> Position:
        """Return a position before the first line or error of a selection."""
        return Position(self._connection, selection)

    def version(self) -> int:
        """Return a number that changes when another connection writes; it costs microseconds."""
        return int(fetch(self._connection, "PRAGMA data_version")[0][0])

    def _run(
        self, run: int, started: float, ended: float | None, pid: int, began: float, target: str
    ) -> StoredRun:
        state = "ended" if ended is not None else "running" if is_alive(pid, began) else "killed"
        totals = "SELECT coalesce(sum(lines), 0), coalesce(sum(size), 0) FROM streams WHERE run = ?"
        [(lines, size)] = fetch(self._connection, totals, run)
        [(errors,)] = fetch(self._connection, "SELECT count(*) FROM errors WHERE run = ?", run)
        columns = "process, pid, command, started, exited, exit_code"
        query = f"SELECT {columns} FROM processes WHERE run = ? ORDER BY started, process"
        processes = [StoredProcess(*row) for row in fetch(self._connection, query, run)]
        return StoredRun(run, started, ended, state, target, lines, size, errors, processes)
