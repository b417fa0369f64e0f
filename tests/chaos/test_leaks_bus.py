"""The bus, repeatedly, on success and error paths: it leaks nothing."""

import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
from leaks import assert_keeps_nothing

from brummerbus import BackpressurePolicy, BusClosed, BusError, Event, EventBus, QueueFull
from helpers.buses import BusFactory
from helpers.handlers import Drops
from helpers.threads import InThread
from helpers.waiting import HANG

pytestmark = pytest.mark.slow


class Parcel:
    """A payload whose size is noticeable."""

    def __init__(self) -> None:
        self.content = bytearray(1000)


def ignore(event: Any) -> None:
    """Receive, and do nothing."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the log from storing records: they refer to events."""
    logger = logging.getLogger("brummerbus")
    logger.disabled = True
    yield
    logger.disabled = False


def test_a_bus_that_was_stopped_is_gone() -> None:
    """With its queue and its threads."""

    def live() -> None:
        with EventBus(workers=2, queue_size=10) as bus:
            bus.subscribe("a", ignore)
            bus.publish(Event("a", Parcel()))

    assert_keeps_nothing(live, times=30)


def test_a_bus_that_was_only_dropped_is_gone() -> None:
    """Its workers end later, by themselves."""
    before = set(threading.enumerate())

    def live() -> None:
        EventBus(workers=1, queue_size=10).publish(Event("a", Parcel()))
        for thread in set(threading.enumerate()) - before:
            thread.join(HANG)

    assert_keeps_nothing(live, times=30)


def test_a_bus_that_could_not_be_made_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a wrong argument, or because a thread could not be started."""
    start = threading.Thread.start
    started = count().__next__

    def start_every_second(thread: threading.Thread) -> None:
        if started() % 2:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_every_second)

    def fail() -> None:
        with pytest.raises(RuntimeError):
            EventBus(workers=2, queue_size=10)
        with pytest.raises(ValueError, match="workers"):
            EventBus(workers=0)
        with pytest.raises(TypeError, match="on_drop"):
            EventBus(on_drop=1)  # type: ignore[arg-type]

    assert_keeps_nothing(fail, times=30)


def test_a_cancelled_subscription_is_gone(factory: BusFactory) -> None:
    """And the routes to it."""
    bus = factory.bus(queue_size=100)

    def come_and_go() -> None:
        parcel = Parcel()
        for event_type in ("a", "a*", Event, object):
            with bus.subscribe(event_type, lambda event: parcel):
                bus.publish(Event("a"))
                bus.publish(parcel)
        with pytest.raises(TypeError, match="handler"):
            bus.subscribe("a", 1)  # type: ignore[arg-type]
        assert bus.flush(HANG)

    assert_keeps_nothing(come_and_go, times=200)


def test_what_was_handled_is_gone(factory: BusFactory) -> None:
    """Whether the handler returned or raised, and whatever the hook did."""

    def hook(event: Any, subscription: Any, error: BaseException) -> None:
        if event.type == "hook fails":
            raise SystemExit("on purpose")
        if event.type == "hook publishes":
            bus.publish(Event("a", Parcel()))

    def fail(event: Any) -> None:
        raise KeyboardInterrupt("on purpose")

    bus = factory.bus(queue_size=1000, on_error=hook)
    types = ("a", "fails", "hook fails", "hook publishes")
    bus.subscribe("a", ignore)
    for event_type in types[1:]:
        bus.subscribe(event_type, fail)

    def publish() -> None:
        for event_type in types:
            assert bus.publish(Event(event_type, Parcel()))
            assert bus.publish_many([Event(event_type, Parcel()) for _ in range(3)]) == 3
        assert bus.flush(HANG)

    assert_keeps_nothing(publish, times=200)


@pytest.mark.parametrize("policy", BackpressurePolicy)
def test_what_was_dropped_or_refused_is_gone(
    factory: BusFactory, policy: BackpressurePolicy
) -> None:
    """The queue stays full, so that every publish finds too few slots."""
    drops = Drops()
    bus = factory.bus(policy=policy, on_drop=drops)
    factory.hold(bus)
    bus.subscribe("a", ignore)
    for _ in range(bus.config.queue_size):
        assert bus.publish(Event("a"))

    def publish() -> None:
        for priority in (1, 2, 3):
            with suppress(QueueFull):
                bus.publish(Event("a", Parcel()), priority=priority, timeout=0)
            with suppress(QueueFull):
                bus.publish_many([Event("a", Parcel())] * 3, priority=priority, timeout=1e-6)
        drops.clear()

    assert_keeps_nothing(publish, times=200)


def test_what_was_wrong_or_came_too_late_is_gone(factory: BusFactory) -> None:
    """Nothing of it was published."""
    bus, closed = factory.bus(), factory.bus()
    for one in (bus, closed):
        one.subscribe("a", ignore)
    assert closed.stop()

    def broken() -> Iterator[Event]:
        yield Event("a", Parcel())
        raise ValueError("on purpose")

    def publish() -> None:
        with pytest.raises(ValueError, match="priority"):
            bus.publish(Event("a", Parcel()), priority=9)
        with pytest.raises(TypeError, match="timeout"):
            bus.publish(Event("a", Parcel()), timeout="soon")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="on purpose"):
            bus.publish_many(broken())
        with pytest.raises(BusClosed):
            closed.publish(Event("a", Parcel()))
        with pytest.raises(BusClosed):
            closed.publish_many([Event("a", Parcel()), Event("a", Parcel())])
        assert bus.flush(HANG)

    assert_keeps_nothing(publish, times=200)


def test_a_worker_that_publishes_into_a_full_bus_keeps_nothing(factory: BusFactory) -> None:
    """Into the reserve and beyond, and with calls that a handler must not make."""
    bus = factory.bus(queue_size=3, handler_reserve=20)

    def branch(event: Any) -> None:
        if event.data:
            for _ in range(3):
                bus.publish(Event("a", event.data - 1))
        with pytest.raises(BusError):
            bus.flush()

    bus.subscribe("a", branch)

    def publish() -> None:
        bus.publish(Event("a", 3))
        assert bus.flush(HANG)

    assert_keeps_nothing(publish, times=30)


def test_a_wait_that_a_stop_ended_keeps_nothing(factory: BusFactory) -> None:
    """Waiters are refused, queued deliveries dropped."""
    end = threading.Event()

    def live() -> None:
        end.clear()
        bus = EventBus(workers=1, queue_size=1, policy=BackpressurePolicy.BLOCK)
        bus.subscribe("a", lambda event: end.wait(HANG))
        waiting = InThread(lambda: bus.publish_many(Event("a", Parcel()) for _ in range(9)))
        waiting.await_waiter(bus)
        assert not bus.stop(timeout=0)
        with pytest.raises(BusClosed):
            waiting.result()
        end.set()
        bus.stop()

    assert_keeps_nothing(live, times=20)


def test_looking_keeps_nothing(factory: BusFactory) -> None:
    """However often statistics are requested."""
    bus = factory.bus()
    bus.subscribe("a", ignore)
    bus.publish(Event("a"))
    assert bus.flush(HANG)
    assert_keeps_nothing(lambda: (bus.stats().as_dict(), bus.depth, repr(bus)), times=200)
