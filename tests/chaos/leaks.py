"""Does a call leak memory? Measured as in psutil's own tests.

The size of the C heap is read from the allocator where psutil can (glibc and others, psutil 7.2),
so that leaks of a few bytes per call are detected; otherwise it is the process's unique set.
Python's small objects are allocated elsewhere and counted separately.
"""

import gc
import sys
from collections.abc import Callable
from typing import NamedTuple

import psutil

BYTES = 8
"""Growth of a call that counts as noise; the smallest block of an allocator is larger."""

BLOCKS = 0.5
"""The same for Python's small objects."""

EXACT = hasattr(psutil, "heap_info")
PAGES = 0 if EXACT else 256 * 1024
"""Growth of a round that counts as noise. The unique set grows by pages, at the allocator's
discretion: only leaks of some hundred bytes per call are detected there."""

ROUNDS = 10
"""Noise does not occur in every round, each of which is longer than the one before."""


class Memory(NamedTuple):
    """The memory of this process."""

    heap: int
    blocks: int


def memory() -> Memory:
    """Measure after a garbage collection."""
    gc.collect()
    if EXACT:
        info = psutil.heap_info()
        return Memory(info.heap_used + info.mmap_used, sys.getallocatedblocks())
    return Memory(psutil.Process().memory_full_info().uss, sys.getallocatedblocks())


def assert_keeps_nothing(call: Callable[[], object], times: int = 1000) -> None:
    """Check that calls do not leak; a leak shows in every round."""
    seen = []
    for _ in range(max(10, times // 10)):  # caches fill, and C grows its arrays
        call()
    for number in range(1, ROUNDS + 1):
        before = memory()
        for _ in range(number * times):
            call()
        after = memory()
        heap = (after.heap - before.heap - PAGES) / (number * times)
        blocks = (after.blocks - before.blocks) / (number * times)
        if heap < BYTES and blocks < BLOCKS:
            return
        seen.append(f"{heap:.1f} bytes and {blocks:.2f} objects a call")
    raise AssertionError("memory grows with every call: " + "; ".join(seen))
