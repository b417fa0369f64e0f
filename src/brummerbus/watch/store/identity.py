"""Decides whose database a file is, without touching it.

SQLite itself may write to a file that it only opens: it finishes what a crashed program left
behind. So the header is read as plain bytes, and the tables of a file without a number through a
connection that may not write.
"""

import sqlite3
import struct
from contextlib import closing
from pathlib import Path

from brummerbus.watch.store.schema import APPLICATION_ID, VERSION

_MAGIC = b"SQLite format 3\0"
_HEADER = 100
_USER_VERSION = struct.Struct(">60xi4xi28x")
"""The header's `user_version` and `application_id`."""

_FIRST = {
    "runs": ["id", "started", "ended", "target"],
    "processes": ["run", "process", "pid", "command", "started", "exited", "exit_code"],
    "lines": ["run", "process", "stream", "number", "time", "text", "ending", "raw"],
    "errors": ["run", "process", "stream", "first", "last", "time", "kind", "message", "location",
               "text"],
}  # fmt: skip
"""The tables of version 1, which has no number in the header."""


class StoreError(Exception):
    """A file is no store that this version can use, in one line without its name."""


def version_of(path: Path) -> int:
    """Return the version of a store; 0 if the file does not exist or is empty.

    Raises:
        StoreError: It cannot be read, is no database, or one of another program, or of a newer
            version of this one.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise StoreError(error.strerror or str(error)) from None
    if not header:
        return 0
    if len(header) < _HEADER or not header.startswith(_MAGIC):
        raise StoreError("file is not a database")
    version, application = _USER_VERSION.unpack(header)
    if application == APPLICATION_ID:
        return check_version(version)
    if application == 0 and version == 0 and _is_first(path):
        return 1
    raise StoreError("the database of another program; choose another file with --db")


def check_version(version: int) -> int:
    """Return the version of a store.

    Raises:
        StoreError: It is newer than this program's.
    """
    if version > VERSION:
        raise StoreError(
            f"written by a newer brummerbus (its version is {version}, this one knows {VERSION}); "
            "update, or choose another file with --db"
        )
    return version


def _is_first(path: Path) -> bool:
    """Whether a database without numbers has exactly the tables of version 1."""
    log = path.with_name(path.name + "-wal")
    # Without a log SQLite need not look for other programs, and so makes no file beside this one.
    immutable = "" if log.exists() and log.stat().st_size else "&immutable=1"
    uri = f"{path.resolve().as_uri()}?mode=ro{immutable}"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            names = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
            tables = {
                name: [row[1] for row in connection.execute(f'PRAGMA table_info("{name}")')]
                for (name,) in connection.execute(names)
                if not name.startswith("sqlite_")
            }
    except sqlite3.Error:
        return False
    return tables == _FIRST
