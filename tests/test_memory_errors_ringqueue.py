"""MemoryError at each allocation that a method of a `RingQueue` makes, one at a time.

How Python itself behaves then is described in `test_memory_errors.py`.
"""

import queue
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from sys import getrefcount
from typing import Any

import pytest

from brummerbus.ringqueue import RingQueue
from helpers.allocations import in_own_process, strike_everywhere

pytestmark = pytest.mark.slow

CALLS = ["get", "get_many", "put", "put_many", "put_full", "get_empty"]


def test_without_memory_no_item_is_lost() -> None:
    """A method raises MemoryError or takes effect; items and references agree with that."""
    calls = [f"strike_method({name!r})" for name in CALLS]
    assert len(in_own_process(__name__, *calls)) == len(CALLS)


# ---- in the other process ----------------------------------------------------------------------


class Item:
    """What is queued."""


def strike_method(name: str) -> int:
    """Make each allocation of a method fail."""
    q: RingQueue[Item] = RingQueue(20)
    items = tuple(Item() for _ in range(20))
    taken: list[Item] = []
    slots: list[Any] = [None]
    calls: dict[str, Callable[[], object]] = {
        "get": lambda: q.get(),
        "get_many": lambda: q.get_many(15, timeout=0),
        "put": partial(q.put, items[10], timeout=0.0),
        "put_many": partial(q.put_many, items[10:], timeout=0.0),
        "put_full": partial(q.put, items[0], timeout=0.0),
        "get_empty": partial(q.get, timeout=0.0),
    }
    filled = {"put_full": 20, "get_empty": 0}.get(name, 10)

    def prepare() -> None:
        while not q.empty():
            q.get()
        taken.clear()
        q.put_many(items[:filled])

    def call() -> None:
        with suppress(queue.Full, queue.Empty):
            got = calls[name]()
            slots[0] = got  # needs no memory

    def references() -> list[int]:
        return [getrefcount(item) for item in items]

    alone = references()

    def check() -> None:
        got, slots[0] = slots[0], None
        taken.extend(got if isinstance(got, list) else [got] if got is not None else [])
        del got
        held = [*q.queue, *taken]
        counts = [held.count(item) for item in items]
        extra = [now - before for now, before in zip(references(), alone, strict=True)]
        assert extra == [2 * count for count in counts]  # `held` has them, too
        if not name.startswith("put") or name == "put_full":
            assert len(held) == filled

    return strike_everywhere(prepare, call, check)
