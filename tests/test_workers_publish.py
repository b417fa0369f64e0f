"""Handlers that publish into a full queue: the reserve, the wait, and the policy afterwards."""

import threading
from collections.abc import Callable
from time import monotonic

import pytest

from brummerbus import BackpressurePolicy, BusClosed, DropReason, Event, EventBus, QueueFull
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest
from helpers.handlers import Gate, Recorder
from helpers.nesting import Nesting
from helpers.threads import InThread
from helpers.waiting import HANG, poll

BLOCK = BackpressurePolicy.BLOCK
CALLER_RUNS = BackpressurePolicy.CALLER_RUNS
OTHERS = [policy for policy in BackpressurePolicy if policy is not CALLER_RUNS]


def held_inside(
    factory: BusFactory, bus: EventBus, work: Callable[[], object]
) -> tuple[Gate, Recorder]:
    """Have one worker do the work in a handler, after which it is blocked there.

    Returns the gate, entered once the work is done, and the result or exception of the work.
    """
    gate, outcome = factory.gate(), Recorder()

    def root(event: Event) -> None:
        try:
            outcome(work())
        except QueueFull as error:
            outcome(error)
        gate(event)

    with bus.subscribe("root", root):
        assert bus.publish(Event("root"), timeout=HANG)
    return gate, outcome


# ---- the reserve -----------------------------------------------------------------------------


@pytest.mark.parametrize("policy", BackpressurePolicy)
@pytest.mark.parametrize("timeout", [None, 0, HANG])
def test_handler_that_finds_the_queue_full_uses_the_reserve_at_once(
    factory: BusFactory, policy: BackpressurePolicy, timeout: float | None
) -> None:
    """It neither waits nor runs anything, and nothing is evicted; the statistics show the use."""
    bus, leaves = factory.bus(queue_size=3, policy=policy, publish_timeout=HANG), Recorder()
    bus.subscribe("leaf", leaves)
    publish = [lambda n=n: bus.publish(Event("leaf", n), timeout=timeout) for n in range(10)]
    gate, outcome = held_inside(factory, bus, lambda: [call() for call in publish])
    gate.wait_entered()
    assert outcome.events == [[True] * 10]
    stats = bus.stats()
    assert (stats.queued, stats.reserve_used, stats.dropped) == (10, 7, 0)
    assert leaves.events == []
    gate.open()
    assert_at_rest(bus)
    assert leaves.data == list(range(10))


def test_reserve_of_a_bus_is_for_handlers_of_any_other(factory: BusFactory) -> None:
    """A worker of one bus that waits for another could be what the other waits for."""
    one, other = factory.bus(), factory.bus(queue_size=1, policy=BLOCK)
    gate = factory.hold(other)
    other.subscribe("leaf", Recorder())
    held, outcome = held_inside(
        factory, one, lambda: [other.publish(Event("leaf")) for _ in range(5)]
    )
    held.wait_entered()
    assert outcome.events == [[True] * 5]
    assert other.stats().reserve_used == 4
    gate.open()
    held.open()
    assert_at_rest(other)


def test_publishers_from_outside_get_in_when_the_whole_is_below_the_queue_size(
    factory: BusFactory,
) -> None:
    """The reserve is not for them, nor are the slots above the capacity."""
    bus = factory.bus(queue_size=2, policy=BackpressurePolicy.REJECT)
    gate = factory.gate()
    bus.subscribe("leaf", gate)
    held, _ = held_inside(factory, bus, lambda: [bus.publish(Event("leaf")) for _ in range(5)])
    held.wait_entered()
    held.open()
    for queued in (4, 3, 2):
        gate.wait_entered()
        assert bus.depth == queued
        with pytest.raises(QueueFull):
            bus.publish(Event("leaf"), timeout=0)
        gate.let_through()
    gate.wait_entered()
    assert bus.depth == 1
    assert bus.publish(Event("leaf"), timeout=0)


@pytest.mark.parametrize("policy", OTHERS)
def test_reserve_has_as_many_places_as_were_configured(
    factory: BusFactory, policy: BackpressurePolicy
) -> None:
    """Once it is full, the policy applies, and immediately: all workers wait in publish."""
    bus = factory.bus(queue_size=2, handler_reserve=3, policy=policy, publish_timeout=HANG)
    bus.subscribe("leaf", Recorder())
    accepted: list[int] = []

    def work() -> None:
        accepted.extend(n for n in range(6) if bus.publish(Event("leaf", n)))

    held, outcome = held_inside(factory, bus, work)
    held.wait_entered()
    stats = bus.stats()
    assert (stats.queued, stats.reserve_used, stats.dropped) == (5, 3, 1)
    assert accepted[:5] == list(range(5))
    evicts = policy is BackpressurePolicy.DROP_OLDEST
    assert (len(accepted) == 6) is evicts
    assert stats.dropped_by[DropReason.EVICTED if evicts else DropReason.REFUSED][2] == 1
    if policy is BLOCK:
        assert "reserve for handlers; all workers wait in publish" in str(outcome.events[0])
    held.open()
    assert_at_rest(bus)


@pytest.mark.parametrize("policy", OTHERS)
def test_no_handler_runs_inside_another(factory: BusFactory, policy: BackpressurePolicy) -> None:
    """It could need a lock that the outer one holds, as here: a lock that is not re-entrant."""
    bus, nesting, lock = factory.bus(queue_size=1, policy=policy), Nesting(), threading.Lock()

    def leaf(_: Event) -> None:
        with nesting:
            assert lock.acquire(timeout=HANG), "run inside the handler that holds the lock"
            lock.release()

    def root(_: Event) -> None:
        with nesting, lock:
            for _ in range(50):
                assert bus.publish(Event("leaf"))

    bus.subscribe("leaf", leaf)
    bus.subscribe("root", root)
    for _ in range(4):
        assert bus.publish(Event("root"), timeout=HANG)
    assert_at_rest(bus)
    assert (nesting.deepest, nesting.calls, bus.stats().failed) == (1, 204, 0)


# ---- the wait --------------------------------------------------------------------------------


def test_handler_waits_ahead_of_publishers_from_outside(factory: BusFactory) -> None:
    """It occupies a worker, and it came later."""
    bus = factory.bus(workers=2, queue_size=1, handler_reserve=0, policy=BLOCK)
    recorder, go = Recorder(), threading.Event()
    for name in ("filler", "inner", "outer"):
        bus.subscribe(name, lambda event: recorder(Event(event.type, event.type)))
    other = factory.gate()
    bus.subscribe("gate", other)
    assert bus.publish(Event("gate"))
    other.wait_entered()
    held, _ = held_inside(
        factory, bus, lambda: (go.wait(HANG), bus.publish(Event("inner"), priority=1))
    )
    assert bus.publish(Event("filler"), timeout=HANG)
    outer = InThread(lambda: bus.publish(Event("outer"), priority=3))
    outer.await_waiter(bus)
    go.set()
    outer.await_waiter(bus, 2)
    other.let_through()
    held.wait_entered()
    held.open()
    assert outer.result() is True
    assert_at_rest(bus)
    assert recorder.data == ["filler", "inner", "outer"]


@pytest.mark.slow
@pytest.mark.parametrize("policy", BackpressurePolicy)
@pytest.mark.parametrize("many", [False, True], ids=["publish", "publish_many"])
def test_handler_that_publishes_a_hundred_thousand_events_is_paced(
    factory: BusFactory, policy: BackpressurePolicy, many: object
) -> None:
    """It waits for the other worker, and loses nothing; the queue stays bounded."""
    count = 100_000
    bus = factory.bus(workers=2, policy=policy, publish_timeout=HANG)
    numbers: list[int] = []
    depths: list[int] = []

    def leaf(event: Event) -> None:
        numbers.append(event.data)
        if event.data == 0:
            poll(lambda: bus.stats().waiting == 1)
        if event.data % 1000 == 0:
            depths.append(bus.depth)

    def root(_: Event) -> None:
        events = (Event("leaf", number) for number in range(count))
        if many:
            assert bus.publish_many(events) == count
        else:
            assert all(bus.publish(event) for event in events)

    bus.subscribe("leaf", leaf)
    bus.subscribe("root", root)
    assert bus.publish(Event("root"))
    assert bus.flush(2 * HANG)
    stats = bus.stats()
    assert (len(numbers), stats.dropped, stats.failed) == (count, 0, 0)
    assert max(depths) <= bus.config.queue_size + bus.config.handler_reserve
    assert_at_rest(bus)


@pytest.mark.parametrize("policy", [p for p in OTHERS if p is not BackpressurePolicy.DROP_OLDEST])
def test_wait_of_a_handler_ends_at_a_standstill(
    factory: BusFactory, policy: BackpressurePolicy
) -> None:
    """If the other worker takes nothing; also under BLOCK, which always has a limit inside."""
    bus = factory.bus(
        workers=2, queue_size=1, handler_reserve=0, policy=policy, publish_timeout=0.05
    )
    gate = factory.gate()
    bus.subscribe("gate", gate)
    assert bus.publish(Event("gate"))
    gate.wait_entered()
    bus.subscribe("leaf", Recorder())
    held, outcome = held_inside(
        factory, bus, lambda: [bus.publish(Event("leaf")) for _ in range(2)]
    )
    held.wait_entered()
    [result] = outcome.events
    if policy in (BLOCK, BackpressurePolicy.REJECT):
        assert isinstance(result, QueueFull)
    else:
        assert result == [True, False]


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_explicit_timeout_of_a_handler_is_an_upper_bound(
    factory: BusFactory, timeout: float
) -> None:
    """It is not longer inside than outside, and ends earlier only if all workers wait."""
    bus = factory.bus(workers=2, queue_size=1, handler_reserve=0, policy=BLOCK)
    bus.subscribe("leaf", Recorder())
    gate = factory.gate()
    bus.subscribe("gate", gate)
    assert bus.publish(Event("gate"))
    gate.wait_entered()

    def work() -> float:
        assert bus.publish(Event("leaf"), timeout=timeout)
        began = monotonic()
        with pytest.raises(QueueFull):
            bus.publish(Event("leaf"), timeout=timeout)
        return monotonic() - began

    held, outcome = held_inside(factory, bus, work)
    held.wait_entered()
    assert timeout * 0.99 <= outcome.events[0] < HANG / 3


@pytest.mark.parametrize("policy", [BLOCK, BackpressurePolicy.DROP_NEWEST])
def test_handler_does_not_wait_if_all_workers_do(
    factory: BusFactory, policy: BackpressurePolicy
) -> None:
    """However long its explicit timeout: no worker is left that could free slots."""
    bus = factory.bus(queue_size=1, handler_reserve=0, policy=policy, publish_timeout=HANG)
    bus.subscribe("leaf", Recorder())

    def work() -> float:
        assert bus.publish(Event("leaf"))
        began = monotonic()
        try:
            assert bus.publish(Event("leaf"), timeout=HANG) is False
        except QueueFull:
            assert policy is BLOCK
        return monotonic() - began

    held, outcome = held_inside(factory, bus, work)
    held.wait_entered()
    assert outcome.events[0] < HANG / 3


def test_handler_that_waits_for_another_bus_is_told_that_it_closes(factory: BusFactory) -> None:
    """Draining lets the handlers of its own bus publish, and no others."""
    one, other = factory.bus(), factory.bus(queue_size=1, policy=BLOCK, handler_reserve=0)
    gate, closed = factory.hold(other), Recorder()
    other.subscribe("leaf", Recorder())
    assert other.publish(Event("leaf"))

    def work() -> None:
        try:
            other.publish(Event("leaf"), timeout=HANG)
        except BusClosed as error:
            closed(error)

    held, _ = held_inside(factory, one, work)
    poll(lambda: other.stats().waiting == 1)
    stop = InThread(lambda: other.stop(timeout=HANG))
    held.wait_entered()
    assert len(closed.events) == 1
    gate.open()
    assert stop.result() is True
    assert (other.stats().published, other.stats().dropped) == (2, 0)


def test_handler_that_waits_while_its_own_bus_drains_is_let_in(factory: BusFactory) -> None:
    """What it publishes is part of the drain."""
    bus = factory.bus(
        workers=2, queue_size=1, policy=BLOCK, handler_reserve=0, publish_timeout=HANG
    )
    leaves, other = Recorder(), factory.gate()
    bus.subscribe("gate", other)
    bus.subscribe("leaf", leaves)
    assert bus.publish(Event("gate"))
    other.wait_entered()
    held, outcome = held_inside(
        factory, bus, lambda: [bus.publish(Event("leaf", n)) for n in range(5)]
    )
    poll(lambda: bus.stats().waiting == 1)
    stop = InThread(lambda: bus.stop(timeout=HANG))
    poll(lambda: bus.closed)
    other.open()
    held.wait_entered()
    held.open()
    assert outcome.events == [[True] * 5]
    assert stop.result() is True
    assert leaves.data == list(range(5))
