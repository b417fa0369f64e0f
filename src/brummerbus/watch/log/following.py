"""Goes on with what a watcher writes, in this process or another, as it comes."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from brummerbus.watch.store import LAST, Reader, Selection, Stored

_POLL = 0.1
"""Seconds between two looks at the file; a look costs some microseconds."""


def follow(
    path: Path, selection: Selection, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Iterator[Stored]]:
    """Yield what is there, then again and again what has come since; each to be used up.

    Of the last run it goes on with the runs that follow it, also in a new file of this name. Of all
    runs, too. Of a run with a number it ends with that run.

    Raises:
        StoreError: The file is no store.
        sqlite3.Error: It cannot be read.
    """
    while True:
        opened = _identity(path)
        with Reader(path) as reader:
            yield from _follow(path, opened, reader, selection, sleep)
        if selection.run not in (LAST, None):
            return
        selection = replace(selection, run=None, tail=None)
        while _identity(path) is None:
            sleep(_POLL)


def _follow(
    path: Path,
    opened: tuple[int, int] | None,
    reader: Reader,
    selection: Selection,
    sleep: Callable[[float], None],
) -> Iterator[Iterator[Stored]]:
    """Follow one file until it is replaced, or the run that is asked for has ended."""
    position = reader.position(selection)
    version = -1
    while True:
        over = not _goes_on(reader, selection)
        now = reader.version()
        if now != version or over:
            version = now
            yield position.advance()
        if over or _identity(path) != opened:
            return
        sleep(_POLL)


def _goes_on(reader: Reader, selection: Selection) -> bool:
    if selection.run in (LAST, None):
        return True
    return any(run.run == selection.run and run.state == "running" for run in reader.runs())


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another one of its name."""
    with suppress(FileNotFoundError):
        status = path.stat()
        if status.st_size:
            return status.st_dev, status.st_ino
    return None
