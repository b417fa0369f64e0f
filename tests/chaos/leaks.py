"""Does a call leave memory behind? Measured in the manner of psutil's own tests.

What the C heap holds is read from the allocator where psutil can (glibc and others, psutil 7.2), so
that even a leak of a few bytes a call is seen, and is the process's unique set otherwise. Python's
small objects live elsewhere and are counted apart.
"""

import gc
import sys
from collections.abc import Callable
from typing import NamedTuple

import psutil

BYTES = 8
"""Growth of a call that counts as noise; the smallest block of an allocator is larger."""

BLOCKS = 0.5
"""The same in Python's small objects."""

EXACT = hasattr(psutil, "heap_info")
PAGES = 0 if EXACT else 256 * 1024
"""Growth of a round that counts as noise. The unique set grows by pages, and as the allocator
likes: there, only leaks of some hundred bytes a call are seen."""

ROUNDS = 10
"""Noise does not return in every round, each of which is longer than the one before."""


class Memory(NamedTuple):
    """What this process holds."""

    heap: int
    blocks: int


def memory() -> Memory:
    """Measure, with nothing left to collect."""
    gc.collect()
    if EXACT:
        info = psutil.heap_info()
        return Memory(info.heap_used + info.mmap_used, sys.getallocatedblocks())
    return Memory(psutil.Process().memory_full_info().uss, sys.getallocatedblocks())


def assert_keeps_nothing(call: Callable[[], object], times: int = 1000) -> None:
    """Check that calls leave no memory behind; one that does, does so in every round."""
    seen = []
    for _ in range(max(10, times // 10)):  # caches fill, and C grows what it keeps
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
