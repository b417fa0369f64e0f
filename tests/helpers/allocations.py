"""MemoryError at each allocation that a call or a worker makes, one at a time."""

import _thread
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count, repeat
from pathlib import Path
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, BusError, Event, EventBus, QueueFull
from helpers.buses import BusFactory
from helpers.processes import run_python
from helpers.waiting import HANG

_testcapi = pytest.importorskip("_testcapi", reason="this Python cannot fake a lack of memory")


LIMIT = 20_000
"""Allocations of one call, far more than any makes."""


PYTHONS_OWN = ("without exception set", "without setting an exception", "can't allocate lock")
"""Ends of messages if Python has no memory for a traceback or a frame, or for a lock."""

ROOM = 5
"""Slots of the buses."""


def beyond() -> bool:
    """Return whether an allocation was still to fail, and reset that."""
    try:
        for _ in repeat(None, 1000):
            object()
    except MemoryError:
        return True
    return False


def strike(n: int, call: Callable[[], object]) -> str:
    """Make a call whose n-th allocation fails: "raised", "survived" or "beyond" its end."""
    _testcapi.set_nomemory(n - 1, n)
    try:
        with suppress(QueueFull):
            call()
        return "beyond" if beyond() else "survived"
    except MemoryError:
        return "raised"
    except (SystemError, RuntimeError) as error:
        if not str(error).endswith(PYTHONS_OWN):
            raise
        return "raised"
    finally:
        _testcapi.remove_mem_hooks()


def strike_everywhere(
    prepare: Callable[[], object], call: Callable[[], object], check: Callable[[], object]
) -> int:
    """Make each allocation of a call fail; the number that did."""
    failed = untouched = 0
    for n in count(1):
        assert n < LIMIT
        prepare()
        outcome = strike(n, call)
        try:
            check()
        except (AssertionError, BusError) as error:
            raise AssertionError(f"allocation {n} failed, {outcome}") from error
        failed += outcome != "beyond"
        # Python reuses freed objects, so the number of allocations varies slightly.
        untouched = untouched + 1 if outcome == "beyond" else 0
        if untouched == 3:
            return failed
    raise AssertionError


def bus_with_handlers(factory: BusFactory, policy: str = "reject", **settings: Any) -> EventBus:
    """Create a bus without log, with subscriptions to one, to three and to objects."""
    logging.getLogger("brummerbus").disabled = True
    usual = {"queue_size": ROOM, "priorities": {"fill": 1}}
    bus = factory.bus(policy=BackpressurePolicy(policy), **{**usual, **settings})
    for event_type in ("fill", "one", "new.*", "three", "three", "three", int):
        bus.subscribe(event_type, lambda event: None)
    return bus


def in_own_process(module: str, *calls: str) -> list[int]:
    """Make calls of functions of a test module in another process, and return their results.

    Threads there take the GIL from each other only while one waits. On a busy machine a worker that
    had not yet begun to wait, or was woken by the call, would make the allocation that fails.
    """
    path = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})"
    code = f"sys.setswitchinterval(1000)\nimport {module} as tests\n"
    code += "".join(f"say({call!r}, tests.{call})\n" for call in calls)
    end = run_python(code, limit=5 * HANG, first=path)
    assert (end.code, end.err) == (0, ""), (end.code, end.lines[-3:], end.err[-3000:])
    return [int(line.rpartition(" ")[2]) for line in end.lines[-len(calls) :]]


class Worker:
    """The one worker of a bus, blocked until all is queued, whose n-th allocation then fails.

    The main thread waits on a bare lock, which allocates nothing.
    """

    def __init__(self, bus: EventBus, types: tuple[str, ...]) -> None:
        self._bus = bus
        self._types = types
        self._n = 0
        self._entered = threading.Semaphore(0)
        self._opened = _thread.allocate_lock()
        self._ended = _thread.allocate_lock()
        self._opened.acquire()
        self._ended.acquire()
        self.came_through = False
        bus.subscribe("begin", self._begin)
        bus.subscribe("end", self._end)

    def _begin(self, event: Any) -> None:
        self._entered.release()
        self._opened.acquire()
        _testcapi.set_nomemory(self._n - 1, self._n)

    def _end(self, event: Any) -> None:
        self.came_through = beyond()
        _testcapi.remove_mem_hooks()
        self._ended.release()

    def strike(self, n: int) -> None:
        """Make the n-th allocation fail between the handlers of "begin" and "end"."""
        self._n = n
        for event_type in ("begin", *self._types, "end"):
            assert self._bus.publish(Event(event_type, "queued"))
        assert self._entered.acquire(timeout=HANG)
        go_on, wait = self._opened.release, self._ended.acquire
        go_on()
        ended = wait(True, HANG / 3)
        _testcapi.remove_mem_hooks()
        assert ended, "the worker died, or lost a delivery"
