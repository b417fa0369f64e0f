"""The log store: every line in one SQLite file, which holds one run or many.

`LogStore` writes a run, `Reader` finds what is in the file. `schema` has the tables, `opening` what
a file must be to be opened, `pruning` what becomes of earlier runs.
"""

from brummerbus.watch.store.identity import StoreError
from brummerbus.watch.store.limits import NO_LIMITS, Limits
from brummerbus.watch.store.position import Position
from brummerbus.watch.store.reader import Reader
from brummerbus.watch.store.rows import Stored, StoredError, StoredLine, StoredProcess, StoredRun
from brummerbus.watch.store.selection import LAST, Selection
from brummerbus.watch.store.writer import BATCH, LogStore

DEFAULT_PATH = "brummerbus.db"
"""The default file of `watch` and `log`, in the working directory."""

__all__ = [
    "BATCH",
    "DEFAULT_PATH",
    "LAST",
    "NO_LIMITS",
    "Limits",
    "LogStore",
    "Position",
    "Reader",
    "Selection",
    "StoreError",
    "Stored",
    "StoredError",
    "StoredLine",
    "StoredProcess",
    "StoredRun",
]
