"""Limits of this process: as many descriptors as allowed, and few threads.

Which limit works differs: the limit of processes (which are threads, on Linux) counts those of the
whole user and does not apply to root. So root becomes a user without other processes, for which the
limit is exact; for other users their existing threads are added. Where that limit has no effect,
address space is limited, with large stacks. Each limit is tested before it is used.
"""

import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil

NOBODY_ELSE = 54_321
"""A user id that normally owns no process."""

STACK = 64 * 2**20


def raise_descriptors() -> None:
    """Allow as many open files and connections as the system permits."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def limited(threads: int, *, tried: bool) -> Iterator[str]:
    """Allow at most `threads` further threads; yields the limit that does it.

    With `tried`, each limit is tested first. Restores the user id, but not the limits: the process
    ends soon.
    """
    user = os.getuid()
    try:
        if tried:
            how = next((how for how, limit in LIMITS if binds(limit, threads)), NONE)
        else:
            how = LIMITS[0][0]
            with suppress(ValueError, OSError):
                _by_number(threads)
        yield how
    finally:
        if os.getuid() != user:
            os.setresuid(user, user, user)


def binds(limit: Callable[[int], None], threads: int) -> bool:
    """Set a limit, and return whether it is effective."""
    with suppress(ValueError, OSError):
        limit(threads)
        return startable(threads + 8) <= threads
    return False


def startable(limit: int) -> int:
    """Return how many threads can be started, up to `limit`; they end before this returns."""
    end = threading.Event()
    threads = []
    try:
        for _ in range(limit):
            thread = threading.Thread(target=end.wait, daemon=True)
            thread.start()
            threads.append(thread)
    except RuntimeError:
        pass  # the limit is reached
    end.set()
    for thread in threads:
        thread.join()
    return len(threads)


def _by_number(more: int) -> None:
    if os.getuid() == 0:
        os.setresuid(NOBODY_ELSE, NOBODY_ELSE, 0)  # can be reverted at the end
    limit = _threads_of(os.getuid()) + more
    resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))


def _threads_of(user: int) -> int:
    total = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.uids().real == user:
                total += process.num_threads()
    return total


def _by_address_space(more: int) -> None:
    threading.stack_size(STACK)
    limit = psutil.Process().memory_info().vms + more * STACK
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


NONE = "nothing binds"
LIMITS = (("RLIMIT_NPROC", _by_number), ("RLIMIT_AS, stacks of 64 MB", _by_address_space))
