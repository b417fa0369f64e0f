"""Events that are due while the queue is full take their turn among the publishers that wait."""

import contextlib
import os
import signal
import threading
import weakref

import pytest

from brummerbus import Event, EventBus
from brummerbus._core import later
from helpers.buses import BusFactory
from helpers.checks import assert_balance
from helpers.handlers import Recorder
from helpers.internals import overdue, schedule_of
from helpers.opcodes import At
from helpers.processes import in_child
from helpers.scheduling import full_bus
from helpers.waiting import HANG, poll


class Thing:
    """Something that can be referred to weakly."""


def waiting(bus: EventBus) -> int:
    """Return how many publishers and scheduled events wait for free slots."""
    return bus.stats().waiting


def test_beside_publishers_that_wait_a_scheduled_event_takes_its_turn(factory: BusFactory) -> None:
    """It is accepted after those that waited before it, and before those that came later."""
    bus, gate, seen = full_bus(factory, "block")

    def publish(name: str) -> threading.Thread:
        before = waiting(bus)
        thread = threading.Thread(target=bus.publish, args=(Event("a", name),))
        thread.start()
        poll(lambda: waiting(bus) == before + 1)
        return thread

    threads = [publish("before")]
    bus.publish_after(0, Event("a", "scheduled"))
    poll(lambda: waiting(bus) == 2)
    threads.append(publish("after"))
    bus.publish_after(0, Event("a", "scheduled too"))
    poll(lambda: waiting(bus) == 4)
    gate.open()
    seen.wait_for(5)
    assert seen.data == ["first", "before", "scheduled", "after", "scheduled too"]
    for thread in threads:
        thread.join(HANG)
    poll(lambda: bus.stats().scheduled == 0)
    assert_balance(bus.stats())


@pytest.mark.parametrize("which", [0, 1, 2])
def test_an_event_that_waits_for_its_turn_can_be_cancelled(factory: BusFactory, which: int) -> None:
    """At once, wherever it is in the queue of those that wait; others keep their places."""
    bus, gate, seen = full_bus(factory, "block")
    things = [Thing(), Thing(), Thing()]
    gone = weakref.ref(things[which])
    scheduled = [bus.publish_after(0, Event("a", thing)) for thing in things]
    poll(lambda: waiting(bus) == 3)
    assert scheduled[which].cancel()
    assert not scheduled[which].pending
    assert not scheduled[which].cancel()
    assert (waiting(bus), bus.stats().scheduled) == (2, 2)
    del scheduled[which], things[which]
    poll(lambda: gone() is None)
    gate.open()
    seen.wait_for(3)
    assert seen.data == ["first", *things]
    poll(lambda: overdue(bus) == 0)
    assert not any(one.cancel() or one.pending for one in scheduled)


def test_cancelling_and_the_turn_exclude_each_other(
    factory: BusFactory, frequent_switches: None
) -> None:
    """Each event is accepted or cancelled, not both, whenever the worker frees its slot."""
    bus, seen = factory.bus(queue_size=1, policy="block"), Recorder()
    bus.subscribe("a", seen)
    cancelled: list[int] = []
    for number in range(300):
        bus.publish(Event("a", -1))
        bus.publish(Event("a", -1))
        scheduled = bus.publish_after(0, Event("a", number))
        bus.publish(Event("a", -1))
        if scheduled.cancel():
            cancelled.append(number)
    poll(lambda: not bus.stats().scheduled)
    assert bus.flush(HANG)
    assert sorted([*cancelled, *(n for n in seen.data if n >= 0)]) == list(range(300))
    assert_balance(bus.stats())


class Polls:
    """The timer thread looks after scheduled events only when the test lets it."""

    def __init__(self, bus: EventBus) -> None:
        self._schedule = schedule_of(bus)
        self._poll = self._schedule._poll
        self._allowed, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._schedule._poll = self._gated

    def _gated(self) -> None:
        assert self._allowed.acquire(timeout=HANG)
        self._poll()
        self._done.release()

    def one(self) -> None:
        """Let it look once."""
        self._allowed.release()
        assert self._done.acquire(timeout=HANG)

    def free(self) -> None:
        """Let it look as it does without a test."""
        self._schedule._poll = self._poll
        self._allowed.release()


@pytest.mark.slow
@pytest.mark.parametrize("meets", [False, True], ids=["alone", "and the timer looks"])
def test_a_cancel_that_is_interrupted_loses_no_event(
    factory: BusFactory, monkeypatch: pytest.MonkeyPatch, meets: bool
) -> None:
    """It was cancelled, or is published, also if it gets a new turn once the old one is over."""
    withdraw = later._withdraw

    def interrupt() -> None:
        signal.default_int_handler(signal.SIGINT, None)

    for k in range(1, 20_000):
        bus, gate, seen = full_bus(factory, "block")
        polls = Polls(bus)

        def withdraw_and_meet(entry: later.Entry, polls: Polls = polls) -> bool:
            withdrawn = withdraw(entry)
            monkeypatch.setattr(later, "_withdraw", withdraw)
            polls.one()
            return withdrawn

        if meets:
            monkeypatch.setattr(later, "_withdraw", withdraw_and_meet)
        scheduled = bus.publish_after(0, Event("a", "second"))
        poll(lambda one=scheduled, bus=bus: one.pending and waiting(bus) == 1)  # type: ignore[misc]
        at = At(k, interrupt)
        with contextlib.suppress(KeyboardInterrupt):
            at.during(scheduled.cancel)
        was_cancelled = not scheduled.pending
        gate.open()
        polls.free()
        poll(lambda bus=bus: overdue(bus) == 0)  # type: ignore[misc]
        assert bus.flush(HANG)
        assert seen.data == (["first"] if was_cancelled else ["first", "second"]), at.where
        assert bus.stop()
        if not at.where:
            return
    raise AssertionError


def test_keys_limits_and_single_events_hold_for_one_that_takes_its_turn(
    factory: BusFactory,
) -> None:
    """It has a ticket in the queue like one whose publisher waits."""
    bus, gate, _ = full_bus(factory, "block", propagate_context=True)
    keyed, once = Recorder(), Recorder()
    bus.subscribe("b", keyed, key="data")
    bus.subscribe("b", once, once=True)
    before = len(bus.subscriptions())
    for _ in range(3):
        bus.publish_after(0, Event("b", "key"))
    poll(lambda: waiting(bus) == 3)
    gate.open()
    keyed.wait_for(3)
    once.wait_for(1)
    poll(lambda: overdue(bus) == 0)
    assert bus.flush(HANG)
    assert (once.data, len(bus.subscriptions())) == (["key"], before - 1)
    assert_balance(bus.stats())


def test_a_listener_gets_the_event_that_took_its_turn(factory: BusFactory) -> None:
    """Once it was accepted."""
    bus, gate, _ = full_bus(factory, "block")
    with bus.listen("a") as heard:
        bus.publish_after(0, Event("a", "second"))
        poll(lambda: waiting(bus) == 1)
        gate.open()
        assert next(heard).data == "second"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_an_event_that_waits_for_its_turn_stays_with_the_parent_of_a_fork(
    factory: BusFactory,
) -> None:
    """The child can ask for it, and publish."""
    bus, gate, seen = full_bus(factory, "block")
    scheduled = bus.publish_after(0, Event("a", "second"))
    poll(lambda: waiting(bus) == 1)

    def child() -> None:
        assert not scheduled.pending
        assert not scheduled.cancel()
        assert bus.publish(Event("a", "of the child"))
        assert bus.flush(HANG)
        assert seen.data == ["of the child"]

    assert in_child(child) == 0
    assert scheduled.pending
    gate.open()
    seen.wait_for(2)
    assert seen.data == ["first", "second"]


def test_an_event_whose_turn_came_just_before_the_stop_is_counted_once(factory: BusFactory) -> None:
    """Though the timer thread, which is busy, has not seen that yet."""
    bus, gate, _ = full_bus(factory, "block")
    seen, busy, go_on = Recorder(), threading.Event(), threading.Event()
    bus.subscribe("b", seen, once=True)
    scheduled = bus.publish_after(0, Event("b", "second"))
    poll(lambda: waiting(bus) == 1)

    def key(_: Event) -> int:
        busy.set()
        return int(go_on.wait(HANG))

    other = factory.bus()
    other.subscribe("a", Recorder(), key=key)
    other.publish_after(0, Event("a"))
    assert busy.wait(HANG)
    before = bus.stats().published
    gate.open()
    seen.wait_for(1)
    assert not scheduled.pending
    assert not scheduled.cancel()
    assert bus.stop()
    stats = bus.stats()
    go_on.set()
    assert (stats.scheduled, stats.dropped, stats.published) == (0, 0, before + 1)
    assert_balance(stats)
    assert [one.event_type for one in bus.subscriptions()].count("b") == 0
