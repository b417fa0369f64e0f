"""The folders of the embedded nats-server: of its token and locks, and of its store."""

import os
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from brummerbus._errors import BusError


def runtime_directory() -> Path:
    """Return the folder of the token and the locks, which nobody else can enter."""
    base = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    folder = Path(base) / "brummerbus"
    if not os.access(base, os.W_OK):
        folder = Path(tempfile.gettempdir()) / f"brummerbus-{os.getuid()}"
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
    except OSError as error:
        raise BusError(_unusable(folder, "XDG_RUNTIME_DIR", error)) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise BusError(f"{folder} must be a folder of this user that no other can enter (0700)")
    return folder


def data_directory() -> Path:
    """Return the folder of the store."""
    if given := os.environ.get("XDG_DATA_HOME"):
        base = Path(given)
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path.home() / ".local" / "share"
    folder = base.absolute() / "brummerbus" / "nats"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BusError(_unusable(folder, "XDG_DATA_HOME", error)) from error
    return folder


def _unusable(folder: Path, variable: str, error: OSError) -> str:
    why = error.strerror or type(error).__name__
    return f"the folder {folder} cannot be used: {why}; {variable} says where it is"


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, whole or not at all."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.touch(0o600, exist_ok=False)
    new.write_text(text, encoding="utf-8")
    new.replace(path)
