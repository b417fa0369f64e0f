"""References: after every path of an event, nothing refers to it, its handlers or subscriptions.

A count that is too high is a leak, one that is too low a future crash; so counts are compared, not
sizes. `chaos/test_leaks_bus.py` measures memory.
"""

import gc
import logging
import os
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, BusClosed, Event, QueueFull, Subscription
from helpers.buses import BusFactory, inside
from helpers.checks import assert_at_rest
from helpers.handlers import Gate
from helpers.internals import forget_routes
from helpers.processes import in_child
from helpers.threads import InThread
from helpers.waiting import HANG

ROOM = 6
TIMES = 5
"""Repetitions of each path: a count that is wrong by one each time is wrong by five."""

REJECT = BackpressurePolicy.REJECT
DROP_NEWEST = BackpressurePolicy.DROP_NEWEST


class Parcel:
    """A payload whose references are counted."""


class Failure(Exception):
    """Raised by handlers on purpose."""


class Handler:
    """A handler whose references are counted; it returns, raises, or calls a function."""

    def __init__(self) -> None:
        self.does: Callable[[Any], object] = lambda event: None

    def __call__(self, event: Any) -> None:
        """Handle."""
        self.does(event)


class Scene:
    """A bus with one or three subscriptions to "a", and the counts of all objects involved."""

    def __init__(self, factory: BusFactory, subscribers: int, **settings: Any) -> None:
        self.factory = factory
        self.dropped = 0
        self.failed = 0
        settings = {"queue_size": ROOM, "policy": REJECT, "priorities": {"a": 2}, **settings}
        self.bus = factory.bus(on_drop=self._on_drop, on_error=self._on_error, **settings)
        self.handlers = [Handler() for _ in range(subscribers)]
        self.subscriptions = [self.bus.subscribe("a", handler) for handler in self.handlers]
        self.parcel = Parcel()
        self.event = Event("a", self.parcel)
        self.batch = [Event("a", self.parcel) for _ in range(4)]
        self.gate: Gate | None = None
        self.before = self.counts()

    def _on_drop(self, event: Any, subscription: Subscription, reason: Any) -> None:
        self.dropped += 1

    def _on_error(self, event: Any, subscription: Subscription, error: BaseException) -> None:
        self.failed += isinstance(error, Failure)

    def counts(self) -> dict[str, int]:
        forget_routes(self.bus)  # cached routes refer to the subscriptions
        gc.collect()
        counted = {"parcel": sys.getrefcount(self.parcel), "event": sys.getrefcount(self.event)}
        for i in range(len(self.batch)):
            counted[f"batch {i}"] = sys.getrefcount(self.batch[i])
        for i in range(len(self.handlers)):
            counted[f"handler {i}"] = sys.getrefcount(self.handlers[i])
            counted[f"subscription {i}"] = sys.getrefcount(self.subscriptions[i])
        return counted

    def hold(self) -> None:
        """Stop the workers, so that the queue does not change."""
        self.gate = self.factory.hold(self.bus)

    def let_go(self) -> None:
        """Release the workers."""
        if self.gate is not None:
            self.gate.open()

    def fill(self) -> None:
        """Block the workers and publish until nothing more is accepted."""
        self.hold()
        for _ in range(ROOM // len(self.handlers)):
            assert self.bus.publish(self.event)

    def fail(self) -> None:
        """Have every handler raise."""

        def fail(event: Any) -> None:
            raise Failure

        self.all_do(fail)

    def all_do(self, work: Callable[[Any], object]) -> None:
        """Have every handler call a function."""
        for handler in self.handlers:
            handler.does = work

    def settle(self) -> None:
        """Wait until everything has ended, and check the counts."""
        self.let_go()
        assert_at_rest(self.bus)
        assert self.counts() == self.before


@pytest.fixture(params=[1, 3], ids=["one", "three"])
def subscribers(request: pytest.FixtureRequest) -> int:
    """How many subscriptions receive the event."""
    return int(request.param)


# ---- one after the other -------------------------------------------------------------------------


@pytest.mark.parametrize("fails", [False, True], ids=["returns", "raises"])
def test_an_accepted_event_is_kept_by_nobody(
    factory: BusFactory, subscribers: int, fails: bool
) -> None:
    """Published plainly, with each keyword and many together; the handlers return, or raise."""
    scene = Scene(factory, subscribers, queue_size=100)
    if fails:
        scene.fail()
    for _ in range(TIMES):
        assert scene.bus.publish(scene.event)
        assert scene.bus.publish(scene.event, priority=3)
        assert scene.bus.publish(scene.event, timeout=HANG)
        assert scene.bus.publish(scene.event, priority=1, timeout=0)
        assert scene.bus.publish_many(scene.batch) == 4
        assert scene.bus.publish_many(tuple(scene.batch), priority=3) == 4
        assert scene.bus.publish_many(iter(scene.batch), timeout=HANG) == 4
        assert scene.bus.flush(HANG)
    assert scene.failed == (16 * TIMES * subscribers if fails else 0)
    scene.settle()


def test_a_result_that_nobody_awaits_is_kept_by_nobody(factory: BusFactory) -> None:
    """A generator that refers to the event."""
    scene = Scene(factory, 1)
    scene.bus.subscribe("a", lambda event: (event for _ in range(1)))
    for _ in range(TIMES):
        assert scene.bus.publish(scene.event)
        assert scene.bus.flush(HANG)
    assert scene.bus.stats().failed == TIMES
    scene.settle()


@pytest.mark.parametrize("policy", BackpressurePolicy, ids=lambda policy: policy.value)
@pytest.mark.parametrize("timeout", [0.0, 0.001])
def test_an_event_without_room_is_kept_by_nobody(
    factory: BusFactory, subscribers: int, policy: BackpressurePolicy, timeout: float
) -> None:
    """Whatever the policy does with it, immediately or after a wait; at all levels."""
    scene = Scene(factory, subscribers, policy=policy)
    scene.fill()
    for _ in range(TIMES):
        for priority in (1, 2, 3):
            with suppress(QueueFull):
                scene.bus.publish(scene.event, priority=priority, timeout=timeout)
            with suppress(QueueFull):
                scene.bus.publish_many(scene.batch, priority=priority, timeout=timeout)
    stats = scene.bus.stats()
    lost = policy is not BackpressurePolicy.CALLER_RUNS
    assert (stats.dropped > 0) is lost
    assert scene.dropped == stats.dropped
    scene.settle()


def test_many_of_which_only_the_first_find_room_are_kept_by_nobody(
    factory: BusFactory, subscribers: int
) -> None:
    """In one call, beside events without a subscription."""
    scene = Scene(factory, subscribers, queue_size=3 * subscribers, policy=DROP_NEWEST)
    scene.hold()
    unrouted = Event("nobody", scene.parcel)
    for expected in [5] + [2] * TIMES:
        assert scene.bus.publish_many([unrouted, *scene.batch, unrouted]) == expected
        assert scene.bus.publish_many((*scene.batch, unrouted)) == 1
    assert scene.bus.stats().queue_depth[2] == 3 * subscribers
    del unrouted
    scene.settle()


@pytest.mark.parametrize("raised", [Failure, KeyboardInterrupt])
def test_handlers_that_raise_in_the_caller_keep_nothing(
    factory: BusFactory, subscribers: int, raised: type[BaseException]
) -> None:
    """A BaseException is propagated to the publisher, and the remaining deliveries are dropped."""
    scene = Scene(factory, subscribers, policy=BackpressurePolicy.CALLER_RUNS)
    publisher = threading.get_ident()

    def fail(event: Any) -> None:
        if threading.get_ident() == publisher:
            raise raised

    scene.fill()
    scene.all_do(fail)
    for _ in range(TIMES):
        with suppress(KeyboardInterrupt):
            scene.bus.publish(scene.event)
    assert scene.dropped == (TIMES * (subscribers - 1) if raised is KeyboardInterrupt else 0)
    scene.settle()


def test_an_event_of_more_deliveries_than_places_is_kept_by_nobody(factory: BusFactory) -> None:
    """Accepted whole by an empty queue, refused by another."""
    scene = Scene(factory, 3, queue_size=2)
    scene.hold()
    assert scene.bus.publish(scene.event)
    for _ in range(TIMES):
        with pytest.raises(QueueFull):
            scene.bus.publish(scene.event)
    assert scene.bus.depth == 3
    scene.settle()


def test_what_handlers_publish_beyond_the_capacity_is_kept_by_nobody(
    factory: BusFactory, subscribers: int
) -> None:
    """Into the reserve, until that is full too."""
    scene = Scene(factory, subscribers, handler_reserve=6, workers=1)

    def publish() -> int:
        accepted = 0
        for _ in range(3 * ROOM):
            with suppress(QueueFull):
                accepted += scene.bus.publish(scene.event, timeout=0)
        assert scene.bus.stats().reserve_used == 6
        return accepted

    for _ in range(TIMES):
        assert inside(scene.bus, publish) == (ROOM + 6) // subscribers
        assert scene.bus.flush(HANG)
    scene.settle()


# ---- in the wait queue ---------------------------------------------------------------------------


@pytest.mark.parametrize("policy", BackpressurePolicy, ids=lambda policy: policy.value)
def test_an_event_that_is_let_in_while_it_waits_is_kept_by_nobody(
    factory: BusFactory, subscribers: int, policy: BackpressurePolicy
) -> None:
    """The worker that frees slots accepts it."""
    scene = Scene(factory, subscribers, policy=policy)
    scene.fill()
    waiting = InThread(lambda: scene.bus.publish(scene.event, timeout=HANG))
    waiting.await_waiter(scene.bus)
    scene.let_go()
    assert waiting.result()
    del waiting
    scene.settle()


@pytest.mark.parametrize("drain", [True, False], ids=["draining", "dropping"])
def test_what_a_stop_finds_is_kept_by_nobody(
    factory: BusFactory, subscribers: int, drain: bool
) -> None:
    """Queued deliveries are dropped, waiters refused, and later events too."""
    scene = Scene(factory, subscribers)
    scene.fill()
    waiting = InThread(lambda: scene.bus.publish(scene.event, timeout=HANG))
    waiting.await_waiter(scene.bus)
    assert not scene.bus.stop(drain=drain, timeout=0)
    with pytest.raises(BusClosed):
        waiting.result()
    for _ in range(TIMES):
        with pytest.raises(BusClosed):
            scene.bus.publish(scene.event)
        with pytest.raises(BusClosed):
            scene.bus.publish_many(scene.batch, priority=2)
    assert scene.dropped == ROOM
    del waiting
    scene.settle()


def test_a_subscription_that_is_cancelled_goes_with_its_last_delivery(
    factory: BusFactory, subscribers: int
) -> None:
    """Not before: what is queued still comes to its handler."""
    scene = Scene(factory, subscribers)
    scene.fill()
    kept = [weakref.ref(one) for one in (*scene.handlers, *scene.subscriptions)]
    while scene.subscriptions:
        scene.subscriptions.pop().cancel()
    scene.handlers.clear()
    forget_routes(scene.bus)
    gc.collect()
    assert all(one() is not None for one in kept)
    scene.let_go()
    assert_at_rest(scene.bus)
    assert scene.bus.stats().processed == 1 + ROOM
    gc.collect()
    assert not any(one() is not None for one in kept)


# ---- other processes -----------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_keeps_nothing_of_its_own_events(
    factory: BusFactory, subscribers: int
) -> None:
    """What was queued in the parent is the parent's: the child never touches it."""
    scene = Scene(factory, subscribers, queue_size=100)
    queued = 3
    scene.hold()
    for _ in range(queued):
        assert scene.bus.publish(scene.event)

    def child() -> None:
        first = scene.counts()
        for _ in range(TIMES):
            assert scene.bus.publish(scene.event)
            assert scene.bus.publish_many(scene.batch, priority=3) == 4
            assert scene.bus.flush(HANG)
        assert scene.bus.stop(timeout=HANG)
        assert scene.counts() == first

    assert in_child(child) == 0
    scene.settle()


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable the log: it would keep the records."""
    monkeypatch.setattr(logging.getLogger("brummerbus"), "disabled", True)
