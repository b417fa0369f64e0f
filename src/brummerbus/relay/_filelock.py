"""Locks of files that the kernel releases when their holder ends, however it ends."""

import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where `join` has said so before
    fcntl = None  # type: ignore[assignment]

_open: set[int] = set()
"""Descriptors of this process. A forked child closes its copies, or it would hold the locks too."""


def _close_in_child() -> None:
    for descriptor in list(_open):
        os.close(descriptor)
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


class FileLock:
    """The lock of a file, held from construction on; a context manager that releases it.

    Not in a child made by fork, where `held` is False.

    Args:
        path: The file, created if it does not exist.
        shared: Whether others may hold it in the same way.
        wait: Whether to wait for other holders; if not, `held` says whether it was free.
    """

    def __init__(self, path: Path, *, shared: bool = False, wait: bool = True) -> None:
        self._path = path
        self._how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        self._descriptor: int | None = None
        self._pid = 0
        self.acquire(wait=wait)

    @property
    def held(self) -> bool:
        """Whether this process holds it."""
        return self._descriptor is not None and self._pid == os.getpid()

    def fileno(self) -> int:
        """Return the descriptor; a process that inherits it holds the lock, too."""
        assert self._descriptor is not None
        return self._descriptor

    def acquire(self, *, wait: bool) -> bool:
        """Take it, after it was released or was not free; return whether it is held."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _open.add(descriptor)
        try:
            fcntl.flock(descriptor, self._how | (0 if wait else fcntl.LOCK_NB))
        except BaseException as error:
            _close(descriptor)
            if isinstance(error, BlockingIOError):
                return False
            raise
        self._descriptor, self._pid = descriptor, os.getpid()
        return True

    def release(self) -> None:
        """Release it, unless another process has inherited it; idempotent."""
        if self.held:
            _close(self.fileno())
        self._descriptor = None

    def __enter__(self) -> "FileLock":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _close(descriptor: int) -> None:
    _open.discard(descriptor)
    os.close(descriptor)
