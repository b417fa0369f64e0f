"""`publish_after`: events that are published when they are due."""

import contextlib
import ctypes
import threading
import time
import weakref
from contextvars import ContextVar
from typing import Any

import pytest

from brummerbus import Event, QueueFull, Scheduled
from brummerbus._core.scheduler import NAME, Scheduler, Timer
from helpers.buses import BusFactory
from helpers.handlers import Logged, Recorder
from helpers.opcodes import At
from helpers.threads import run_together
from helpers.waiting import HANG, poll

SOON = 0.01
"""Seconds until an event of a test is published."""


NEVER = 3600.0
"""Seconds that no test waits."""


class Thing:
    """Something that can be referred to weakly."""


# ---- in time, in order ---------------------------------------------------------------------------


def test_an_event_is_published_when_it_is_due(factory: BusFactory) -> None:
    """Once, and not before."""
    bus, seen = factory.bus(), Recorder()
    came: list[float] = []
    bus.subscribe("a", seen)
    bus.subscribe("a", lambda event: came.append(time.monotonic()))
    scheduled = bus.publish_after(0.5, Event("a", 1))
    assert scheduled.pending
    assert (bus.stats().scheduled, bus.stats().published) == (1, 0)
    seen.wait_for(1)
    assert bus.flush(HANG)
    assert came[0] >= scheduled.due - 0.001
    assert not scheduled.pending
    poll(lambda: bus.stats().scheduled == 0)  # when the timer thread is through with it
    assert bus.stats().published == 2


def test_events_are_published_in_the_order_in_which_they_are_due(factory: BusFactory) -> None:
    """Of equal times, the one that was scheduled first."""
    bus, seen = factory.bus(), Recorder()
    bus.subscribe("a", seen)
    scheduled = [
        (bus.publish_after(delay, Event("a", name)).due, name)
        for delay, name in ((0.06, "c"), (0.02, "a"), (0.04, "b"), (0, "now"))
    ]
    seen.wait_for(4)
    assert seen.data == [name for _, name in sorted(scheduled)]


def test_subscriptions_and_priority_count_as_of_the_time_of_publishing(factory: BusFactory) -> None:
    """A subscription made later receives the event; an explicit priority is kept."""
    bus, seen = factory.bus(), Recorder()
    bus.publish_after(0.5, Event("a"), priority=3)
    bus.subscribe("a", seen)
    seen.wait_for(1)
    assert bus.stats().by_level[3].published == 1


def test_a_scheduled_event_is_published_in_the_context_of_its_publisher(
    factory: BusFactory,
) -> None:
    """Of the moment at which it was scheduled, if the bus propagates contexts."""
    bus, seen = factory.bus(propagate_context=True), Recorder()
    span: ContextVar[str] = ContextVar("span", default="none")
    bus.subscribe("a", lambda event: seen(Event("a", span.get())))
    token = span.set("mine")
    bus.publish_after(SOON, Event("a"))
    span.reset(token)
    seen.wait_for(1)
    assert seen.data == ["mine"]


# ---- cancelling ----------------------------------------------------------------------------------


def test_a_cancelled_event_is_not_published(factory: BusFactory) -> None:
    """And counted nowhere."""
    bus, seen = factory.bus(), Recorder()
    bus.subscribe("a", seen)
    first = bus.publish_after(0.5, Event("a", "cancelled"))
    bus.publish_after(0.6, Event("a", "published"))
    assert first.cancel()
    assert not first.cancel()
    assert not first.pending
    assert bus.stats().scheduled == 1
    seen.wait_for(1)
    assert seen.data == ["published"]
    assert (bus.stats().published, bus.stats().dropped) == (1, 0)


def test_what_was_published_cannot_be_cancelled(factory: BusFactory) -> None:
    """`cancel` says so."""
    bus, seen = factory.bus(), Recorder()
    bus.subscribe("a", seen)
    scheduled = bus.publish_after(0, Event("a"))
    seen.wait_for(1)
    poll(lambda: not bus.stats().scheduled)
    assert not scheduled.cancel()


def test_each_event_is_either_published_or_cancelled(
    factory: BusFactory, frequent_switches: None
) -> None:
    """Also where `cancel` and the timer thread meet."""
    bus, seen = factory.bus(queue_size=10_000), Recorder()
    bus.subscribe("a", seen)
    cancelled: list[int] = []
    for number in range(500):
        scheduled = bus.publish_after(0.0002, Event("a", number))
        if number % 2:
            time.sleep(0.0002)
        if scheduled.cancel():
            cancelled.append(number)
    poll(lambda: not bus.stats().scheduled)
    assert bus.flush(HANG)
    assert sorted([*cancelled, *seen.data]) == list(range(500))


def test_a_cancelled_event_is_released_at_once(factory: BusFactory) -> None:
    """Not when it would have been due."""
    bus, thing = factory.bus(), Thing()
    gone = weakref.ref(thing)
    scheduled = bus.publish_after(NEVER, Event("a", thing))
    del thing
    assert gone() is not None
    scheduled.cancel()
    del scheduled
    poll(lambda: gone() is None)


def test_timers_that_were_cancelled_do_not_pile_up() -> None:
    """A program that schedules and cancels for ever needs no more memory for it."""
    scheduler = Scheduler()
    scheduler._starter["start"] = None  # no thread: the test does what it would do
    entries: list[Any] = []
    for _ in range(20):
        for _ in range(500):
            timer = Timer(lambda: None)
            scheduler.call_at(2**60, timer)
            timer.cancel()
        scheduler.call_at(2**60, Timer(lambda: None))
        scheduler._collect(entries)
        assert len(entries) <= 2048
    assert sum(timer.action is not None for _, _, timer in entries) == 20


def test_an_exception_of_another_thread_does_not_end_the_timer_thread(
    factory: BusFactory, logged: Logged
) -> None:
    """What is scheduled is published all the same."""
    bus, seen = factory.bus(), Recorder()
    bus.subscribe("a", seen)
    bus.publish_after(0, Event("a"))
    seen.wait_for(1)
    poll(lambda: bus.stats().scheduled == 0)  # else the exception may strike while it publishes
    (thread,) = [t for t in threading.enumerate() if t.name == NAME]
    assert thread.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(KeyError)
    )
    bus.publish_after(0, Event("a"))  # wakes it
    poll(lambda: "goes on" in logged.text)
    bus.publish_after(0, Event("a"))
    seen.wait_for(2)


# ---- mistakes and bounds -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delay", "event", "priority", "error"),
    [
        ("1", Event("a"), None, TypeError),
        (True, Event("a"), None, TypeError),
        (-0.1, Event("a"), None, ValueError),
        (float("nan"), Event("a"), None, ValueError),
        (float("inf"), Event("a"), None, ValueError),
        (0, "a", None, TypeError),
        (0, Thing, None, TypeError),
        (0, Event.__new__(Event), None, TypeError),
        (0, Event("a"), 4, ValueError),
        (0, Event("a"), "high", TypeError),
    ],
)
def test_mistakes_are_refused_at_once(
    factory: BusFactory, delay: Any, event: Any, priority: Any, error: type[Exception]
) -> None:
    """Not when the event is due, in a thread where nobody sees it."""
    bus = factory.bus()
    with pytest.raises(error):
        bus.publish_after(delay, event, priority=priority)
    assert bus.stats().scheduled == 0


def test_more_events_than_max_scheduled_are_refused(factory: BusFactory) -> None:
    """They are counted nowhere; one that is cancelled makes room."""
    bus = factory.bus(max_scheduled=3)
    bus.subscribe("a", Recorder())
    first, *_ = [bus.publish_after(NEVER, Event("a")) for _ in range(3)]
    with pytest.raises(QueueFull, match=r"3 events are scheduled already \(max_scheduled\): 'a'"):
        bus.publish_after(NEVER, Event("a"))
    assert (bus.stats().scheduled, bus.stats().published) == (3, 0)
    assert first.cancel()
    assert bus.publish_after(NEVER, Event("a")).pending


def test_threads_that_schedule_together_keep_the_bound(
    factory: BusFactory, frequent_switches: None
) -> None:
    """Exactly as many get in as there is room for."""
    bus = factory.bus(max_scheduled=100)
    accepted: list[object] = []

    def schedule(_number: int) -> None:
        for _ in range(50):
            with contextlib.suppress(QueueFull):
                accepted.append(bus.publish_after(NEVER, Event("a")))

    run_together(4, schedule)
    assert (len(accepted), bus.stats().scheduled) == (100, 100)


def test_a_signal_handler_that_schedules_meanwhile_keeps_the_bound(factory: BusFactory) -> None:
    """Wherever it strikes, one of the two calls is refused."""
    bus = factory.bus(max_scheduled=1)
    bus.publish_after(NEVER, Event("a")).cancel()
    accepted: list[Scheduled] = []

    def schedule() -> None:
        with contextlib.suppress(QueueFull):
            accepted.append(bus.publish_after(NEVER, Event("a")))

    for k in range(1, 20_000):
        at = At(k, schedule)
        at.during(schedule)
        assert (len(accepted), bus.stats().scheduled) == (1, 1), at.where
        assert accepted.pop().cancel()
        if not at.where:
            return
    raise AssertionError
