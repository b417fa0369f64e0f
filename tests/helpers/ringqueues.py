"""Ring queues: what their tests share."""

from typing import Any

from brummerbus.ringqueue import RingQueue


def drained(q: "RingQueue[Any]") -> list[Any]:
    """Take all items."""
    found = []
    while not q.empty():
        found.append(q.get_nowait())
    return found
