"""Events that are due while the queue is full."""

import threading

import pytest

from brummerbus import DropReason, Event
from brummerbus._core.scheduler import NAME
from helpers.buses import BusFactory
from helpers.checks import assert_balance
from helpers.handlers import Drops, Logged, Recorder
from helpers.internals import overdue
from helpers.scheduling import full_bus
from helpers.waiting import HANG, poll

SOON = 0.01
"""Seconds until an event of a test is published."""


@pytest.mark.parametrize("policy", ["block", "caller_runs"])
def test_an_event_for_a_full_queue_stays_scheduled_until_there_is_room(
    factory: BusFactory, policy: str
) -> None:
    """If the bus is one that waits. It does not hold up the timers of others."""
    bus, gate, seen = full_bus(factory, policy)
    scheduled = bus.publish_after(0, Event("a", "second"))
    poll(lambda: overdue(bus) == 1)
    other, others = factory.bus(), Recorder()
    other.subscribe("a", others)
    other.publish_after(SOON, Event("a"))
    others.wait_for(1)
    assert scheduled.pending
    assert bus.stats().scheduled == 1
    gate.open()
    seen.wait_for(2)
    assert seen.data == ["first", "second"]


def test_no_handler_runs_in_the_timer_thread(factory: BusFactory) -> None:
    """Not under `CALLER_RUNS` either: others would wait for it."""
    bus, gate, _ = full_bus(factory, "caller_runs")
    threads: list[str] = []
    bus.subscribe("b", lambda event: threads.append(threading.current_thread().name))
    bus.publish_after(0, Event("b"))
    poll(lambda: overdue(bus) == 1)
    gate.open()
    poll(lambda: bool(threads))
    assert threads[0] != NAME


def test_of_the_events_that_wait_for_room_the_most_urgent_is_first(factory: BusFactory) -> None:
    """First come, first served within a level."""
    bus, gate, seen = full_bus(factory, "block")
    for name, priority in (("low", 1), ("low too", 1), ("high", 3)):
        bus.publish_after(0, Event("a", name), priority=priority)
    poll(lambda: overdue(bus) == 3)
    gate.open()
    seen.wait_for(4)
    assert seen.data == ["first", "high", "low", "low too"]


def test_an_event_that_waits_for_room_can_be_cancelled(factory: BusFactory) -> None:
    """It is scheduled until then."""
    bus, gate, seen = full_bus(factory, "block")
    scheduled = bus.publish_after(0, Event("a", "second"))
    poll(lambda: overdue(bus) == 1)
    poll(scheduled.cancel)  # False while the timer thread just tries
    gate.open()
    poll(lambda: overdue(bus) == 0)
    assert bus.flush(HANG)
    assert seen.data == ["first"]


@pytest.mark.parametrize("policy", ["drop_newest", "reject", "drop_lowest"])
def test_policies_that_drop_are_applied_at_once(factory: BusFactory, policy: str) -> None:
    """The event is counted as refused, and `on_drop` is called."""
    drops = Drops()
    bus, _, _ = full_bus(factory, policy, on_drop=drops)
    bus.publish_after(0, Event("a", "refused"))
    poll(lambda: bool(drops))
    poll(lambda: not bus.stats().scheduled)
    assert drops.data == ["refused"]
    stats = bus.stats()
    assert stats.dropped_by[DropReason.REFUSED][2] == 1
    assert_balance(stats)


def test_drop_oldest_makes_room_for_a_scheduled_event(factory: BusFactory) -> None:
    """As for any other."""
    drops = Drops()
    bus, gate, seen = full_bus(factory, "drop_oldest", on_drop=drops)
    bus.publish_after(0, Event("a", "second"))
    poll(lambda: bool(drops))
    gate.open()
    seen.wait_for(1)
    assert (drops.data, seen.data) == (["first"], ["second"])


def test_an_event_that_cannot_be_published_is_logged_and_counted(
    factory: BusFactory, logged: Logged
) -> None:
    """A key that raises, say: the event is dropped, and others go on."""
    drops = Drops()
    bus, seen = factory.bus(on_drop=drops), Recorder()
    bus.subscribe("a", seen, key=lambda event: {}[event.data])
    bus.subscribe("b", seen)
    bus.publish_after(0, Event("a", 1))
    bus.publish_after(SOON, Event("b", 2))
    seen.wait_for(1)
    assert seen.data == [2]
    assert [(event.data, reason) for event, _, reason in drops] == [(1, DropReason.REFUSED)]
    assert "cannot be published" in logged.text
    assert "KeyError: 1" in logged.text
    poll(lambda: bus.stats().scheduled == 0)  # when the timer thread is through with the second
    assert_balance(bus.stats())


def test_a_hook_that_raises_in_the_timer_thread_holds_up_no_other_event(
    factory: BusFactory, logged: Logged
) -> None:
    """It is logged there, also if it is no `Exception`: there is no publisher to raise it to."""

    def dropped(*_: object) -> None:
        raise SystemExit("of the hook")

    bus, gate, seen = full_bus(factory, "block", on_drop=dropped)
    bus.subscribe("b", seen, key=lambda event: {}[event.data])
    for name in ("a", "b", "a"):
        bus.publish_after(0, Event(name, name))
    poll(lambda: overdue(bus) == 2)
    gate.open()
    seen.wait_for(3)
    assert seen.data == ["first", "a", "a"]
    assert "SystemExit: of the hook" in logged.text
    assert bus.stats().dropped_by[DropReason.REFUSED][2] == 1
    poll(lambda: bus.stats().scheduled == 0)
