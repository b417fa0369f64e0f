"""Files that their owner alone may read: logs and reports have secrets in them.

A new file is made with 0600 whatever the umask says, so there is no moment at which another user
could open it; one that exists with more is tightened before anything is written to it.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

_OWNER_ONLY = 0o600
_OTHERS = 0o077


def make_private(path: str | Path) -> None:
    """Create a file that only its owner may read and write, or tighten an existing one.

    Raises:
        OSError: It cannot be created or opened, or belongs to another user and is readable by
            others.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT, _OWNER_ONLY)
    try:
        _tighten(file)
    finally:
        os.close(file)


def tighten(path: str | Path) -> None:
    """Tighten a file if it exists.

    Raises:
        OSError: It belongs to another user and is readable by others.
    """
    with suppress(FileNotFoundError):
        file = os.open(path, os.O_RDONLY)
        try:
            _tighten(file)
        finally:
            os.close(file)


@contextmanager
def private_text(path: str | Path, newline: str | None = None) -> Iterator[TextIO]:
    """Write a text file that only its owner may read; it appears as a whole or not at all.

    An exception in the body, such as a full disk, leaves an earlier file of that name as it was.

    Args:
        path: Where it will be. A link is followed.
        newline: As `open` has it.

    Raises:
        OSError: It cannot be written.
    """
    target = Path(path).resolve()
    file, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # with 0600
    part = Path(name)
    try:
        with os.fdopen(
            file, "w", encoding="utf-8", errors="backslashreplace", newline=newline
        ) as out:
            yield out
        part.replace(target)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def _tighten(file: int) -> None:
    if os.name == "posix" and os.fstat(file).st_mode & _OTHERS:
        os.fchmod(file, _OWNER_ONLY)
