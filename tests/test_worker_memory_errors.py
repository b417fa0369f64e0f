"""MemoryError at each allocation of a worker between two handlers; see `test_memory_errors`.

If memory for a report is missing the report is lost, but no delivery and no worker is.
"""

import logging
from collections import deque
from contextlib import suppress
from typing import Any

import pytest

from brummerbus import Event, QueueFull
from helpers.allocations import Worker, bus_with_handlers, in_own_process
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest
from helpers.internals import workers_of

pytestmark = pytest.mark.slow


def test_worker_without_memory_lives_and_loses_nothing() -> None:
    """If handlers fail, with a hook and without, and if they publish into a full queue."""
    calls = [f"strike_worker({what!r})" for what in ("hook", "log", "publish", "wait")]
    assert min(in_own_process(__name__, *calls)) > 4


def strike_worker(what: str) -> int:
    """Make allocations fail between two handlers, with a failing one or one that publishes."""
    factory = BusFactory()
    seen: deque[Event] = deque()  # the first 30 of them allocate nothing
    hook = (lambda *_: None) if what == "hook" else None
    reserve = 0 if what == "wait" else 4096  # without one, the handler would wait for itself
    bus = bus_with_handlers(factory, "block", queue_size=6, handler_reserve=reserve, on_error=hook)
    # The logging module must be used, but nothing be written.
    logger = logging.getLogger("brummerbus")
    logger.disabled, logger.propagate = False, False
    logger.addHandler(logging.NullHandler())

    def publish(event: Any) -> None:
        for _ in range(4):  # two more than fit
            with suppress(MemoryError, SystemError, QueueFull):
                bus.publish(Event("a"))

    bus.subscribe("a", seen.append)
    bus.subscribe("fail", int)  # a TypeError
    bus.subscribe("publish", publish)
    failing = what in ("hook", "log")
    worker = Worker(bus, ("a", "fail", "a", "a") if failing else ("publish", "a", "a", "a"))
    failed = 0
    while not worker.came_through:
        failed += 1
        worker.strike(failed)
        assert_at_rest(bus)
        assert sum(event.data == "queued" for event in seen) == 3, f"allocation {failed} failed"
        assert all(thread.is_alive() for thread in workers_of(bus))
        seen.clear()
    factory.end()
    return failed - 1
