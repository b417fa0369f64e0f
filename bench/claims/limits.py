"""Limits of this process: descriptors as many as allowed, threads as few as asked for.

What binds differs: the limit of processes (which are threads, on Linux) counts those of the whole
user and does not hold for root. So root becomes a user that has nothing else, for whom the limit
is exact; whoever is not root adds what the user has already. Where that does not bind, address
space is limited, and stacks are made large. Each is tried out before it is believed.
"""

import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil

NOBODY_ELSE = 54_321
"""A user id that owns no process on any usual system."""

STACK = 64 * 2**20


def raise_descriptors() -> None:
    """Allow as many open files and connections as the system lets."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextmanager
def limited(threads: int, *, tried: bool) -> Iterator[str]:
    """Let at most so many threads more be started; gives the way, tried out if that is asked for.

    Restores who this process is, and not the limits: it is to end soon.
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
    """Set a limit, and return whether it holds."""
    with suppress(ValueError, OSError):
        limit(threads)
        return startable(threads + 8) <= threads
    return False


def startable(most: int) -> int:
    """Return how many threads can be started, up to `most`; they end before this returns."""
    end = threading.Event()
    threads = []
    try:
        for _ in range(most):
            thread = threading.Thread(target=end.wait, daemon=True)
            thread.start()
            threads.append(thread)
    except RuntimeError:
        pass  # what was asked: so many, and no more
    end.set()
    for thread in threads:
        thread.join()
    return len(threads)


def _by_number(more: int) -> None:
    if os.getuid() == 0:
        os.setresuid(NOBODY_ELSE, NOBODY_ELSE, 0)  # and back, at the end
    most = _threads_of(os.getuid()) + more
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))


def _threads_of(user: int) -> int:
    total = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.uids().real == user:
                total += process.num_threads()
    return total


def _by_address_space(more: int) -> None:
    threading.stack_size(STACK)
    most = psutil.Process().memory_info().vms + more * STACK
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


NONE = "nothing binds"
LIMITS = (("RLIMIT_NPROC", _by_number), ("RLIMIT_AS, stacks of 64 MB", _by_address_space))
