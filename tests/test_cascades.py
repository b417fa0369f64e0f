"""Handlers that publish repeatedly, in trees, chains, and between two buses."""

import threading
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, DropReason, Event, EventBus, QueueFull
from helpers.buses import BusFactory, inside
from helpers.checks import assert_at_rest
from helpers.handlers import Recorder
from helpers.nesting import Nesting, tree
from helpers.threads import run_together
from helpers.waiting import HANG, poll

BLOCK = BackpressurePolicy.BLOCK
CALLER_RUNS = BackpressurePolicy.CALLER_RUNS
MAX_NESTED = 33
"""Handlers that a thread may have open inside each other: its own, and 32 run in place."""


def bus_of(factory: BusFactory, policy: BackpressurePolicy, reserve: int, **more: Any) -> EventBus:
    """Create a bus with a policy and a reserve."""
    return factory.bus(policy=policy, handler_reserve=reserve, **more)


# ---- trees -----------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", BackpressurePolicy)
@pytest.mark.parametrize(("children", "height"), [(2, 12), (6, 4), (40, 2), (1, 2000)])
@pytest.mark.parametrize("workers", [1, 2])
def test_tree_of_events_is_handled_to_the_last_leaf(
    factory: BusFactory, policy: BackpressurePolicy, workers: int, children: int, height: int
) -> None:
    """However small the queue, as long as the reserve is not full; and nothing is nested."""
    bus, nesting = bus_of(factory, policy, 8192, workers=workers, queue_size=3), Nesting()
    tree(bus, height, nesting, children)
    assert bus.publish(Event("node", 0))
    assert_at_rest(bus)
    assert nesting.calls == sum(children**level for level in range(height + 1))
    assert nesting.deepest == 1
    stats = bus.stats()
    assert (stats.processed, stats.dropped, stats.failed) == (nesting.calls, 0, 0)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("height", [10, 13])
def test_caller_runs_handles_a_tree_in_place_without_a_reserve(
    factory: BusFactory, workers: int, height: int
) -> None:
    """Nested as deep as the tree is high, and no deeper."""
    bus, nesting = bus_of(factory, CALLER_RUNS, 0, workers=workers, queue_size=1), Nesting()
    tree(bus, height, nesting)
    assert bus.publish(Event("node", 0))
    assert_at_rest(bus)
    assert nesting.calls == 2 ** (height + 1) - 1
    assert 1 < nesting.deepest <= height + 1
    assert bus.stats().dropped == 0


@pytest.mark.parametrize("policy", [BLOCK, CALLER_RUNS])
@pytest.mark.parametrize("workers", [1, 2])
def test_handlers_and_publishers_share_a_full_queue(
    factory: BusFactory, policy: BackpressurePolicy, workers: int
) -> None:
    """Publishers outside wait or run handlers, those inside use the reserve; all is handled."""
    bus, nesting = bus_of(factory, policy, 4096, workers=workers, queue_size=2), Nesting()
    tree(bus, 3, nesting)
    run_together(4, lambda _: [bus.publish(Event("node", 0)) for _ in range(50)])
    assert_at_rest(bus)
    assert nesting.calls == 4 * 50 * 15
    assert nesting.deepest <= (MAX_NESTED if policy is CALLER_RUNS else 1)
    assert bus.stats().dropped == 0


# ---- CALLER_RUNS -----------------------------------------------------------------------------


def test_caller_runs_refuses_what_would_be_nested_too_deep(factory: BusFactory) -> None:
    """A handler that publishes to itself must not overflow the stack: the queue is full."""
    bus, nesting = bus_of(factory, CALLER_RUNS, 0, queue_size=1), Nesting()
    refused: list[QueueFull] = []
    bus.subscribe("filler", Recorder())

    def again(event: Event) -> None:
        with nesting:
            try:
                bus.publish(Event("again", event.data + 1))
            except QueueFull as error:
                refused.append(error)

    bus.subscribe("again", again)

    def work() -> None:
        assert bus.publish(Event("filler"))
        bus.publish(Event("again", 1))

    inside(bus, work)
    assert_at_rest(bus)
    assert (nesting.deepest, nesting.calls) == (32, 32)
    assert ["'again'" in str(error) and "CALLER_RUNS" in str(error) for error in refused] == [True]
    stats = bus.stats()
    assert stats.dropped_by[DropReason.REFUSED][2] == stats.dropped == 1


def test_caller_runs_may_nest_again_after_it_was_refused(factory: BusFactory) -> None:
    """The count decreases with the stack, also from outside and when handlers raise."""
    bus = bus_of(factory, CALLER_RUNS, 0, queue_size=1, on_error=lambda *_: None)
    factory.hold(bus)
    bus.subscribe("filler", Recorder())
    assert bus.publish(Event("filler"))
    depths: list[int] = []

    def again(event: Event) -> None:
        depths.append(event.data)
        bus.publish(Event("again", event.data + 1))

    bus.subscribe("again", again)
    for _ in range(3):
        depths.clear()
        assert bus.publish(Event("again", 1))
        assert depths == list(range(1, 33))


# ---- chains without an end -------------------------------------------------------------------


@pytest.mark.parametrize("policy", BackpressurePolicy)
@pytest.mark.parametrize("timeout", [0, 0.01])
@pytest.mark.parametrize("children", [1, 2])
@pytest.mark.parametrize("reserve", [0, 20])
def test_endless_chain_stays_bounded_and_stops(
    factory: BusFactory, policy: BackpressurePolicy, timeout: float, children: int, reserve: int
) -> None:
    """Handlers that publish to themselves use a bounded stack and queue, and stop ends them."""
    bus = bus_of(
        factory, policy, reserve, queue_size=2, publish_timeout=timeout, on_error=lambda *_: None
    )
    nesting, begun, enough = Nesting(), threading.Event(), threading.Event()
    depths: list[int] = []

    def again(_: Event) -> None:
        assert begun.wait(HANG)  # or the chain may fill the queue before its second event is in
        with nesting:
            depths.append(bus.depth)
            if nesting.calls > 1500:
                enough.set()
            for _ in range(children):
                bus.publish(Event("again"))

    bus.subscribe("again", again)
    for _ in range(2):
        assert bus.publish(Event("again"), timeout=HANG)
    begun.set()
    assert enough.wait(HANG)
    bus.stop(timeout=0.05)
    poll(lambda: bus.stats().running == 0)
    assert_at_rest(bus)
    assert nesting.deepest <= (MAX_NESTED if policy is CALLER_RUNS else 1)
    assert max(depths) <= 2 + reserve


# ---- several buses -------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", BackpressurePolicy)
@pytest.mark.parametrize("reserve", [0, 3, 4096])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("publish_timeout", [0, HANG])
@pytest.mark.parametrize("count", [2, 3])
def test_buses_whose_handlers_publish_into_each_other_do_not_deadlock(
    factory: BusFactory,
    policy: BackpressurePolicy,
    reserve: int,
    workers: int,
    publish_timeout: float,
    count: int,
) -> None:
    """In a ring, each handler publishes more to the next bus than fits; all of them end."""
    settings = {"workers": workers, "queue_size": 2, "publish_timeout": publish_timeout}
    ring = [
        bus_of(factory, policy, reserve, **settings, on_error=lambda *_: None) for _ in range(count)
    ]

    def pass_on(event: Event, to: EventBus) -> None:
        for _ in range(4 if event.data > 0 else 0):
            to.publish(Event("ball", event.data - 1))

    for bus, to in zip(ring, [*ring[1:], ring[0]], strict=True):
        bus.subscribe("ball", lambda event, to=to: pass_on(event, to))

    def serve(number: int) -> None:
        for _ in range(5):
            ring[number].publish(Event("ball", 3), timeout=HANG)

    run_together(count, serve)
    published: list[int] = []
    while published != (published := [bus.stats().published for bus in ring]):
        assert all(bus.flush(HANG) for bus in ring)  # and again if any got more during that
    for bus in ring:
        assert_at_rest(bus)
    if reserve == 4096:
        assert [bus.stats().dropped for bus in ring] == [0] * count
        assert sum(bus.stats().processed for bus in ring) == count * 5 * (1 + 4 + 16 + 64)


# ---- all at once -----------------------------------------------------------------------------


@pytest.mark.parametrize("policy", BackpressurePolicy)
@pytest.mark.parametrize("reserve", [0, 5, 4096])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("queue_size", [1, 2, 8])
def test_every_event_that_handlers_publish_is_accounted_for(
    factory: BusFactory, policy: BackpressurePolicy, workers: int, queue_size: int, reserve: int
) -> None:
    """Each of 20 events publishes more than the queue holds; nothing hangs, all is counted."""
    bus = factory.bus(
        workers=workers, queue_size=queue_size, policy=policy, handler_reserve=reserve
    )
    accepted, refused, leaves = [], [], Recorder()

    def branch(event: Event) -> None:
        for number in range(queue_size + 2):
            try:
                (accepted if bus.publish(Event("leaf", number)) else refused).append(number)
            except QueueFull:
                refused.append(number)

    bus.subscribe("branch", branch)
    bus.subscribe("leaf", leaves)
    for _ in range(20):
        bus.publish(Event("branch"), timeout=HANG)
    assert_at_rest(bus)
    stats = bus.stats()
    leaf = stats.by_type["leaf"]
    evicted = sum(stats.dropped_by[DropReason.EVICTED].values())
    assert leaf.published == len(accepted) + len(refused)
    assert len(leaves.events) == leaf.processed
    assert leaf.dropped + stats.by_type["branch"].dropped == evicted + len(refused)
    assert stats.failed == 0
    if policy is CALLER_RUNS or reserve == 4096:
        assert stats.dropped == 0
        assert leaf.processed == 20 * (queue_size + 2)
