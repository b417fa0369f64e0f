"""MemoryError at each allocation that a call makes, one at a time.

`_testcapi.set_nomemory(n - 1, n)` makes the n-th allocation of the process fail, in whatever thread
it is; n increases until the call completes. Each test runs in its own process, which imports this
module and calls the function that does the work. Python itself behaves as follows:

- Some allocations fail with other exceptions, also without this package: see
  `helpers.allocations.PYTHONS_OWN`.
- `Thread.start` waits for ever for a thread that had no memory to begin. Here threads begin with
  memory; threads that fail to start are tested in `test_thread_start.py`.
- It crashes if it has no memory for a closure or a generator, from 3.12 on.
- Several failing allocations in a row can end it with a fatal error.
"""

import _thread
import sys
import threading
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, Event, EventBus
from helpers.allocations import (
    ROOM,
    beyond,
    bus_with_handlers,
    in_own_process,
    strike,
    strike_everywhere,
)
from helpers.buses import BusFactory, Turnstile
from helpers.checks import assert_at_rest, assert_balance
from helpers.handlers import Recorder
from helpers.internals import workers_of
from helpers.waiting import HANG

pytestmark = pytest.mark.slow

_testcapi = pytest.importorskip("_testcapi", reason="this Python cannot fake a lack of memory")

POLICIES = [policy.value for policy in BackpressurePolicy]

needs_functions = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="CPython crashes where it has no memory for a closure"
)
KINDS = ["one,three,object", "new,many"]
CALLS = [
    "cancel,flush",
    "stop",
    pytest.param("subscribe,stats", marks=needs_functions),
    pytest.param("construction", marks=needs_functions),
]


@pytest.mark.parametrize("kinds", KINDS)
def test_publish_without_memory_leaves_the_bus_whole(kinds: str) -> None:
    """It raises MemoryError or it took effect: no slot is lost, no count is wrong."""
    calls = [f"publish_everywhere({policy!r}, {kinds!r})" for policy in POLICIES]
    assert min(in_own_process(__name__, *calls)) > 20


@pytest.mark.parametrize("calls", CALLS)
def test_other_calls_without_memory_leave_the_bus_whole(calls: str) -> None:
    """They can be repeated, and then take effect."""
    strikes = [f"strike_{call}()" for call in calls.split(",")]
    assert min(in_own_process(__name__, *strikes)) > 0


# ---- in the other process ----------------------------------------------------------------------


def publishing(bus: EventBus, kind: str) -> Callable[[], object]:
    """Return a call that publishes; everything but its own allocations is prepared."""
    timeout = 0.0 if bus.config.policy is BackpressurePolicy.BLOCK else None
    if kind == "many":
        events = [Event(kind) for kind in ("one", "nobody", "three", "three")]
        return lambda: bus.publish_many(events, timeout=0)
    if kind == "new":
        number = count().__next__
        return lambda: bus.publish(Event(f"new.{number()}"), timeout=timeout)
    event, priority = (7, 2) if kind == "object" else (Event(kind), None)
    bus.publish(event, priority=priority)  # its route is cached
    return lambda: bus.publish(event, priority=priority, timeout=timeout)


def publish_everywhere(policy: str, kinds: str) -> int:
    """Publish several sorts of events with failing allocations: with free slots, too few, none."""
    failed = 0
    for kind in kinds.split(","):
        for filled in (0, 3, ROOM):
            factory = BusFactory()
            bus = bus_with_handlers(factory, policy, on_drop=lambda *_: None)
            turnstile = Turnstile(bus, factory.gate())
            publish = publishing(bus, kind)

            def check(bus: EventBus = bus, turnstile: Turnstile = turnstile) -> None:
                turnstile.assert_whole()
                assert all(thread.is_alive() for thread in workers_of(bus))

            failed += strike_everywhere(
                lambda turnstile=turnstile, filled=filled: turnstile.hold(filled), publish, check
            )
            factory.end()
    return failed


def strike_subscribe() -> int:
    """It is made, or receives nothing; repeated, it works."""
    factory, made = BusFactory(), [None]
    bus, seen = bus_with_handlers(factory), Recorder()

    def subscribe() -> None:
        made[0] = bus.subscribe("t[ae]n", seen)

    def check() -> None:
        for expected in (int(made[0] is not None), 1):
            assert bus.publish(Event("ten"))
            assert_at_rest(bus)
            assert len(seen.events) == expected
            seen.events.clear()
            if made[0] is None:
                subscribe()
        made[0].cancel()
        made[0] = None

    failed = strike_everywhere(lambda: None, subscribe, check)
    factory.end()
    return failed


def strike_cancel() -> int:
    """It can be repeated."""
    factory, made = BusFactory(), [None]
    bus, seen = bus_with_handlers(factory), Recorder()

    def prepare() -> None:
        made[0] = bus.subscribe("ten", seen)
        assert bus.publish(Event("ten"))  # its route is cached
        assert bus.flush(HANG)
        seen.events.clear()

    def check() -> None:
        made[0].cancel()
        assert bus.publish(Event("ten"))
        assert_at_rest(bus)
        assert seen.events == []

    failed = strike_everywhere(prepare, lambda: made[0].cancel(), check)
    factory.end()
    return failed


def strike_stats() -> int:
    """The counts in its result agree."""
    factory = BusFactory()
    bus = bus_with_handlers(factory)
    bus.publish(Event("three"))
    failed = strike_everywhere(
        lambda: None, lambda: assert_balance(bus.stats()), lambda: assert_at_rest(bus)
    )
    factory.end()
    return failed


def strike_flush() -> int:
    """With something to wait for: the gate opens during the call."""
    factory = BusFactory()
    bus, gate = bus_with_handlers(factory), factory.gate()
    bus.subscribe("gate", gate)

    def prepare() -> None:
        assert bus.publish(Event("gate"))
        gate.wait_entered()

    def check() -> None:
        gate.let_through()
        assert_at_rest(bus)

    failed = strike_everywhere(prepare, lambda: bus.flush(0.001), check)
    factory.end()
    return failed


def strike_stop() -> int:
    """Repeated, it ends all threads; a drain that had to be given up has dropped the rest."""
    made: list[tuple[BusFactory, EventBus]] = []
    sys.unraisablehook = lambda _: None  # the end of a thread needs memory, too

    def prepare() -> None:
        factory = BusFactory()
        made.append((factory, bus_with_handlers(factory)))
        assert made[-1][1].publish(Event("three"))

    def check() -> None:
        factory, bus = made.pop()
        bus.stop(timeout=HANG)
        stats = bus.stats()
        assert_balance(stats)
        assert stats.processed + stats.dropped == 3
        assert (stats.queued, stats.running) == (0, 0)
        assert not any(thread.is_alive() for thread in workers_of(bus))
        factory.end()

    return strike_everywhere(prepare, lambda: made[-1][1].stop(timeout=HANG), check)


def strike_construction() -> int:
    """Nothing is left of a bus whose construction failed: no thread, nothing to drain at exit."""
    start = _thread.start_new_thread
    made: list[EventBus] = []
    came_through: list[bool] = []

    def start_with_memory(*arguments: Any) -> int:
        came_through.append(beyond())
        _testcapi.remove_mem_hooks()
        return start(*arguments)

    def construct() -> None:
        made.append(EventBus(workers=2, queue_size=ROOM))

    def check() -> None:
        for bus in made:
            assert bus.publish(Event("nobody"))
            assert bus.stop()
        made.clear()
        assert threading.active_count() == 1

    threading._start_new_thread = start_with_memory  # type: ignore[attr-defined]
    n = 0
    while not any(came_through):
        n += 1
        came_through.clear()
        strike(n, construct)
        check()
    return n - 1
