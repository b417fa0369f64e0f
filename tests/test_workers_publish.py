"""Handlers and hooks that publish on their own bus: no deadlock, no loss, no endless nesting."""

import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from conftest import HANG, Bench, Recorder, assert_balance, poll, run_together

from brummerbus import BackpressurePolicy, DropReason, Event, EventBus, QueueFull

BLOCK = BackpressurePolicy.BLOCK
CALLER_RUNS = BackpressurePolicy.CALLER_RUNS
KEEPING = [BLOCK, CALLER_RUNS]

MOST_NESTED = 70
"""Handlers that one thread may have open inside each other: some bound, whatever the load."""


class Nesting:
    """Measures how many handlers a thread has open inside each other, and how many were called."""

    def __init__(self) -> None:
        self._here = threading.local()
        self._lock = threading.Lock()
        self.calls = 0
        self.deepest = 0
        self.frames = 0

    def __enter__(self) -> None:
        self._here.depth = getattr(self._here, "depth", 0) + 1
        with self._lock:
            self.calls += 1
            self.deepest = max(self.deepest, self._here.depth)

    def __exit__(self, *_: object) -> None:
        self._here.depth -= 1


def tree(bus: EventBus, height: int, nesting: Nesting, children: int = 2) -> None:
    """Subscribe a handler that publishes an event's children, down to the given height."""

    def grow(event: Event) -> None:
        with nesting:
            if event.data < height:
                for _ in range(children):
                    bus.publish(Event("node", event.data + 1))

    bus.subscribe("node", grow)


# ---- a full ring -----------------------------------------------------------------------------


@pytest.mark.parametrize("policy", BackpressurePolicy)
@pytest.mark.parametrize("timeout", [0, 0.01])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("queue_size", range(1, 9))
def test_worker_that_publishes_into_its_full_ring_goes_on(
    bench: Bench, policy: BackpressurePolicy, workers: int, queue_size: int, timeout: float
) -> None:
    """Each of 20 events publishes more than the queue holds; nothing hangs, nothing is unknown."""
    bus = bench.bus(workers=workers, queue_size=queue_size, policy=policy, publish_timeout=timeout)
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
    assert bus.flush(HANG)
    stats = bus.stats()
    assert_balance(stats)
    leaf = stats.by_type["leaf"]
    evicted = sum(stats.dropped_by[DropReason.EVICTED].values())
    assert leaf.published == len(accepted) + len(refused)
    assert len(leaves.events) == leaf.processed
    assert leaf.dropped + stats.by_type["branch"].dropped == evicted + len(refused)
    assert stats.failed == 0
    if policy in KEEPING:
        assert stats.dropped == 0
        assert leaf.processed == 20 * (queue_size + 2)


@pytest.mark.parametrize("policy", KEEPING)
@pytest.mark.parametrize("workers", [1, 2])
def test_handlers_and_publishers_share_a_full_ring(
    bench: Bench, policy: BackpressurePolicy, workers: int
) -> None:
    """Those outside wait, those inside help; all that was published is handled."""
    bus = bench.bus(workers=workers, queue_size=2, policy=policy)
    nesting = Nesting()
    tree(bus, 3, nesting)
    run_together(4, lambda _: [bus.publish(Event("node", 0)) for _ in range(50)])
    assert bus.flush(HANG)
    assert nesting.calls == 4 * 50 * 15
    assert nesting.deepest <= MOST_NESTED
    assert bus.stats().dropped == 0


@pytest.mark.parametrize("policy", KEEPING)
def test_handler_may_publish_events_with_several_deliveries(
    bench: Bench, policy: BackpressurePolicy
) -> None:
    """Such an event needs more than the one place that helping makes."""
    bus, leaves = bench.bus(queue_size=3, policy=policy), Recorder()
    for _ in range(3):
        bus.subscribe("wide", leaves)
    bus.subscribe("root", lambda _: [bus.publish(Event("wide")) for _ in range(30)])
    for _ in range(4):
        assert bus.publish(Event("root"))
    assert bus.flush(HANG)
    assert len(leaves.events) == 4 * 30 * 3


@pytest.mark.parametrize("policy", KEEPING)
def test_handler_may_publish_many(bench: Bench, policy: BackpressurePolicy) -> None:
    """Far more than fit."""
    bus, leaves = bench.bus(queue_size=4, policy=policy), Recorder()
    bus.subscribe("leaf", leaves)
    bus.subscribe("root", lambda _: bus.publish_many(Event("leaf") for _ in range(1000)))
    for _ in range(3):
        assert bus.publish(Event("root"))
    assert bus.flush(HANG)
    assert len(leaves.events) == 3000


def test_blocked_worker_with_an_explicit_timeout_is_refused(bench: Bench) -> None:
    """A timeout of 0 neither waits nor helps, also inside."""
    bus, refused = bench.bus(queue_size=1, policy=BLOCK), []
    bus.subscribe("leaf", Recorder())

    def root(_: Event) -> None:
        for _ in range(3):
            try:
                bus.publish(Event("leaf"), timeout=0)
            except QueueFull:
                refused.append(1)

    bus.subscribe("root", root)
    bus.publish(Event("root"))
    assert bus.flush(HANG)
    assert (len(refused), bus.stats().by_type["leaf"].processed) == (2, 1)


# ---- cascades --------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", KEEPING)
@pytest.mark.parametrize("height", [10, 13])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("queue_size", [1, 4])
def test_tree_of_events_is_handled_to_the_last_leaf(
    bench: Bench, policy: BackpressurePolicy, workers: int, height: int, queue_size: int
) -> None:
    """However small the queue; and the nesting does not grow with the tree."""
    bus = bench.bus(workers=workers, queue_size=queue_size, policy=policy)
    nesting = Nesting()
    tree(bus, height, nesting)
    assert bus.publish(Event("node", 0))
    assert bus.flush(HANG)
    assert nesting.calls == 2 ** (height + 1) - 1
    assert nesting.deepest <= MOST_NESTED
    stats = bus.stats()
    assert_balance(stats)
    assert (stats.processed, stats.dropped, stats.failed) == (nesting.calls, 0, 0)


@pytest.mark.parametrize("policy", KEEPING)
@pytest.mark.parametrize(("children", "height"), [(6, 4), (40, 2), (1, 2000)])
def test_trees_of_other_shapes_are_handled_too(
    bench: Bench, policy: BackpressurePolicy, children: int, height: int
) -> None:
    """Broad ones, and a chain."""
    bus = bench.bus(queue_size=3, policy=policy)
    nesting = Nesting()
    tree(bus, height, nesting, children)
    assert bus.publish(Event("node", 0))
    assert bus.flush(HANG)
    assert nesting.calls == sum(children**level for level in range(height + 1))
    assert nesting.deepest <= MOST_NESTED
    assert bus.stats().dropped == 0


@pytest.mark.parametrize("policy", BackpressurePolicy)
@pytest.mark.parametrize("timeout", [0, 0.01])
@pytest.mark.parametrize("children", [1, 2])
def test_endless_chain_stays_bounded_and_stops(
    bench: Bench, policy: BackpressurePolicy, timeout: float, children: int
) -> None:
    """Handlers that publish themselves for ever use a bounded stack, and stop ends them."""
    bus = bench.bus(queue_size=2, policy=policy, publish_timeout=timeout, on_error=lambda *_: None)
    nesting, enough, ending = Nesting(), threading.Event(), threading.Event()
    frames: list[int] = []

    def again(_: Event) -> None:
        with nesting:
            if nesting.calls % 50 == 0:
                frames.append(len(inspect.stack(0)))
            if nesting.calls > 1500:
                enough.set()
            for _ in range(1 if ending.is_set() else children):
                bus.publish(Event("again"))

    bus.subscribe("again", again)
    for _ in range(2):
        assert bus.publish(Event("again"))
    assert enough.wait(HANG) or policy is BackpressurePolicy.REJECT
    ending.set()  # with two children each, what BLOCK may not refuse would grow for ever
    bus.stop(timeout=0.05)
    poll(lambda: bus.stats().running == 0)
    assert_balance(bus.stats())
    assert bus.stats().queued == 0
    assert nesting.deepest <= MOST_NESTED
    assert max(frames, default=0) <= 10 * MOST_NESTED


# ---- hooks -----------------------------------------------------------------------------------


class Publishing(logging.Handler):
    """A logging handler that publishes what it is given."""

    def __init__(self, publish: Callable[[], object]) -> None:
        super().__init__()
        self.publish = publish
        self.calls = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Publish."""
        self.calls += 1
        assert self.calls < 10_000, "endless"
        self.publish()


@pytest.mark.parametrize("policy", [p for p in BackpressurePolicy if p not in KEEPING])
def test_on_drop_that_publishes_comes_to_an_end(bench: Bench, policy: BackpressurePolicy) -> None:
    """Its own event is dropped too, which it is told of, but not for ever."""
    calls = []

    def on_drop(event: Event, *_: object) -> None:
        calls.append(event)
        for _ in range(2):
            bus.publish(Event("a"), priority=3)

    bus = bench.bus(queue_size=1, policy=policy, on_drop=on_drop)
    bench.hold(bus)
    bus.subscribe("a", Recorder())
    for _ in range(5):
        try:
            bus.publish(Event("a"), priority=1)
        except QueueFull:
            assert policy is BackpressurePolicy.REJECT
    assert 5 <= len(calls) < 200
    assert_balance(bus.stats())


@pytest.mark.parametrize("failure", [ValueError, SystemExit])
def test_on_error_that_publishes_comes_to_an_end(
    bench: Bench, failure: type[BaseException]
) -> None:
    """Its event's handler fails too, and so on, but not for ever."""
    calls = []

    def on_error(event: Event, *_: object) -> None:
        calls.append(event)
        for _ in range(2):
            bus.publish(Event("failed"))

    def fail(_: Any) -> None:
        raise failure

    bus = bench.bus(queue_size=100, on_error=on_error)
    bus.subscribe("*", fail)
    bus.publish(Event("a"))
    assert bus.flush(HANG)
    assert 1 <= len(calls) < 200
    assert bus.stats().failed == bus.stats().processed


@pytest.mark.parametrize("raised", [None, ValueError, SystemExit])
def test_logging_handler_that_publishes_comes_to_an_end(
    bench: Bench, raised: type[BaseException] | None
) -> None:
    """Also if the event's handler fails, and if `on_error` itself raises, which is logged."""

    def fail(_: Any) -> None:
        raise KeyError

    def on_error(*_: object) -> None:
        assert raised is not None
        raise raised

    bus = bench.bus(queue_size=100, on_error=on_error if raised else None)
    bus.subscribe("*", fail)
    handler = Publishing(lambda: bus.publish(Event("log")))
    logger = logging.getLogger("brummerbus")
    logger.addHandler(handler)
    try:
        bus.publish(Event("a"))
        assert bus.flush(HANG)
    finally:
        logger.removeHandler(handler)
    assert 1 <= handler.calls < 200


def test_logging_handler_that_publishes_drops_comes_to_an_end(bench: Bench) -> None:
    """The warning of a drop, published into the full queue, is dropped itself."""
    bus = bench.bus(queue_size=1, on_drop=lambda *_: 1 / 0)
    bench.hold(bus)
    bus.subscribe("*", Recorder())
    handler = Publishing(lambda: bus.publish(Event("log")))
    logger = logging.getLogger("brummerbus")
    logger.addHandler(handler)
    try:
        for _ in range(5):
            assert bus.publish(Event("a"))
    finally:
        logger.removeHandler(handler)
    assert 1 <= handler.calls < 500
    assert_balance(bus.stats())
