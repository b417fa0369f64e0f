"""Events that are published later: in time, in order, within bounds, and never lost uncounted."""

import contextlib
import ctypes
import logging
import multiprocessing
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from brummerbus import BusClosed, DropReason, Event, EventBus, QueueFull, Scheduled
from brummerbus._core.scheduler import NAME, Scheduler, Timer
from helpers.buses import BusFactory
from helpers.checks import assert_balance
from helpers.handlers import Drops, Gate, Logged, Recorder
from helpers.internals import close_schedule, overdue
from helpers.opcodes import At
from helpers.processes import in_child, run_file, run_python
from helpers.threads import run_together
from helpers.waiting import HANG, poll

SOON = 0.01
"""Seconds until an event of a test is published."""

NEVER = 3600.0
"""Seconds that no test waits."""


class Thing:
    """Something that can be referred to weakly."""


def full_bus(factory: BusFactory, policy: str, **settings: Any) -> tuple[EventBus, Gate, Recorder]:
    """Make a bus whose one worker is held and whose one place is taken."""
    bus, seen = factory.bus(queue_size=1, policy=policy, **settings), Recorder()
    gate = factory.hold(bus)
    bus.subscribe("a", seen)
    assert bus.publish(Event("a", "first"))
    return bus, gate, seen


# ---- in time, in order -----------------------------------------------------------------------


def test_an_event_is_published_when_it_is_due(factory: BusFactory) -> None:
    """Once, and not before."""
    bus, seen = factory.bus(), Recorder()
    came: list[float] = []
    bus.subscribe("a", seen)
    bus.subscribe("a", lambda event: came.append(time.monotonic()))
    scheduled = bus.publish_after(0.05, Event("a", 1))
    assert scheduled.pending
    assert (bus.stats().scheduled, bus.stats().published) == (1, 0)
    seen.wait_for(1)
    assert bus.flush(HANG)
    assert came[0] >= scheduled.due - 0.001
    assert not scheduled.pending
    assert (bus.stats().scheduled, bus.stats().published) == (0, 2)


def test_events_are_published_in_the_order_in_which_they_are_due(factory: BusFactory) -> None:
    """Of equal times, the one that was scheduled first."""
    bus, seen = factory.bus(), Recorder()
    bus.subscribe("a", seen)
    for delay, name in ((0.06, "c"), (0.02, "a"), (0.04, "b"), (0, "now")):
        bus.publish_after(delay, Event("a", name))
    seen.wait_for(4)
    assert seen.data == ["now", "a", "b", "c"]


def test_subscriptions_and_priority_count_as_of_the_time_of_publishing(factory: BusFactory) -> None:
    """A subscription made later receives the event; an explicit priority is kept."""
    bus, seen = factory.bus(), Recorder()
    bus.publish_after(0.03, Event("a"), priority=3)
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


# ---- cancelling ------------------------------------------------------------------------------


def test_a_cancelled_event_is_not_published(factory: BusFactory) -> None:
    """And counted nowhere."""
    bus, seen = factory.bus(), Recorder()
    bus.subscribe("a", seen)
    first = bus.publish_after(0.02, Event("a", "cancelled"))
    bus.publish_after(0.05, Event("a", "published"))
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
    (thread,) = [t for t in threading.enumerate() if t.name == NAME]
    assert thread.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(KeyError)
    )
    bus.publish_after(0, Event("a"))  # wakes it
    poll(lambda: "goes on" in logged.text)
    bus.publish_after(0, Event("a"))
    seen.wait_for(2)


# ---- mistakes and bounds ---------------------------------------------------------------------


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


# ---- no room ---------------------------------------------------------------------------------


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


def test_a_cancel_that_is_interrupted_loses_no_event(factory: BusFactory) -> None:
    """It was cancelled, or is published."""
    for k in range(1, 20_000):
        bus, gate, seen = full_bus(factory, "block")
        scheduled = bus.publish_after(0, Event("a", "second"))
        poll(lambda bus=bus: waiting(bus) == 1)  # type: ignore[misc]
        at = At(k, lambda: signal.default_int_handler(signal.SIGINT, None))
        with contextlib.suppress(KeyboardInterrupt):
            at.during(scheduled.cancel)
        was_cancelled = not scheduled.pending
        gate.open()
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
    assert bus.stats().scheduled == 0
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


# ---- the end ---------------------------------------------------------------------------------


@pytest.mark.parametrize("drain", [True, False])
def test_what_is_scheduled_at_the_stop_is_dropped_and_counted(
    factory: BusFactory, drain: bool
) -> None:
    """At its level, type and subscription, and notified to `on_drop`."""
    drops = Drops()
    bus, seen = factory.bus(on_drop=drops), Recorder()
    bus.subscribe("a", seen)
    bus.subscribe("a", seen)
    scheduled = [bus.publish_after(NEVER, Event("a", n), priority=3) for n in range(3)]
    bus.publish_after(NEVER, Event("nobody"))
    assert bus.stop(drain=drain) is False
    stats = bus.stats()
    assert (stats.scheduled, stats.published, stats.dropped) == (0, 6, 6)
    assert stats.dropped_by[DropReason.SHUTDOWN][3] == 6
    assert stats.by_type["a"].dropped == 6
    assert sum(counts.dropped for counts in stats.by_subscription.values()) == 6
    assert_balance(stats)
    assert drops.data == [0, 0, 1, 1, 2, 2]
    assert {reason for _, _, reason in drops} == {DropReason.SHUTDOWN}
    assert not any(one.pending or one.cancel() for one in scheduled)
    assert seen.data == []


def test_events_that_wait_for_room_at_the_stop_are_dropped_too(factory: BusFactory) -> None:
    """Each once, however often the timer thread tries concurrently."""
    drops = Drops()
    bus, gate, _ = full_bus(factory, "block", on_drop=drops)
    for number in range(50):
        bus.publish_after(0, Event("a", number))
    poll(lambda: overdue(bus) == 50)
    gate.open()
    bus.stop(timeout=HANG)
    poll(lambda: bus.stats().published == 52)
    stats = bus.stats()
    assert_balance(stats)
    assert stats.dropped == len(drops)
    assert len(set(drops.data)) == len(drops)


def test_an_event_that_is_being_tried_at_the_stop_is_dropped_when_it_has_failed(
    factory: BusFactory,
) -> None:
    """While the timer thread tries it, the stop does not see it; its key function runs then."""
    drops = Drops()
    bus, _, _ = full_bus(factory, "block", on_drop=drops)
    bus.subscribe("b", Recorder(), key=lambda event: close_schedule(bus))
    scheduled = bus.publish_after(0, Event("b", "tried"))
    poll(lambda: not bus.stats().scheduled)
    assert drops.data == ["tried"]
    assert not scheduled.pending
    assert_balance(bus.stats())


def test_a_stopped_bus_schedules_nothing(factory: BusFactory) -> None:
    """Also for handlers, while it drains."""
    bus, refused = factory.bus(), Recorder()
    gate = factory.gate()

    def handler(event: Event) -> None:
        gate(event)
        with pytest.raises(BusClosed):
            bus.publish_after(0, Event("a"))
        refused(event)

    bus.subscribe("a", handler)
    bus.publish(Event("a"))
    gate.wait_entered()
    assert not bus.stop(timeout=0)
    with pytest.raises(BusClosed):
        bus.publish_after(0, Event("a"))
    gate.open()
    refused.wait_for(1)


def test_a_scheduled_event_keeps_its_bus_alive_until_it_is_published() -> None:
    """A program that keeps no name for its bus does not lose it."""
    bus, seen = EventBus(workers=1), Recorder()
    bus.subscribe("a", seen)
    gone = weakref.ref(bus)
    scheduled = bus.publish_after(0.05, Event("a"))
    del bus
    assert gone() is not None
    seen.wait_for(1)
    poll(lambda: gone() is None)
    assert not scheduled.pending


def test_at_exit_what_is_scheduled_is_dropped() -> None:
    """The interpreter does not wait for it."""
    end = run_python("""
        def dropped(event, subscription, reason):
            say(event.data, reason)
        bus = EventBus(workers=1, on_drop=dropped)
        bus.subscribe("a", lambda event: say("handled", event.data))
        bus.publish(Event("a", "now"))
        bus.publish_after(3600, Event("a", "later"))
    """)
    assert end.code == 0
    assert end.lines == ["handled now", "later shutdown"]
    assert "1 delivery dropped" in end.err


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_at_the_end_of_a_process_of_multiprocessing_it_is_dropped_too(
    tmp_path: Path, method: str
) -> None:
    """Such processes end without the hooks of `atexit`."""
    script = tmp_path / "program.py"
    script.write_text(
        f"""
import multiprocessing, os, warnings
from brummerbus import Event, EventBus

warnings.simplefilter("ignore", DeprecationWarning)

def dropped(event, subscription, reason):
    os.write(1, f"{{event.data}} {{reason}}\\n".encode())

def work():
    bus = EventBus(workers=1, on_drop=dropped)
    bus.subscribe("a", print)
    bus.publish_after(3600, Event("a", "later"))

if __name__ == "__main__":
    process = multiprocessing.get_context("{method}").Process(target=work)
    process.start()
    process.join()
""",
        encoding="utf-8",
    )
    end = run_file(script)
    assert (end.code, end.lines) == (0, ["later shutdown"])


def test_exit_does_not_wait_for_a_handler_that_schedules_its_event_again_and_again() -> None:
    """A clock in the bus does not keep the program alive."""
    end = run_python("""
        bus = EventBus(workers=1, on_drop=lambda *_: None, on_error=lambda *_: None)
        ticks = []
        @bus.on("tick")
        def tick(event):
            ticks.append(event)
            bus.publish_after(0.0001, event)
        bus.publish_after(0, Event("tick"))
        while len(ticks) < 3:
            time.sleep(0.001)
        say("end")
    """)
    assert (end.code, end.lines) == (0, ["end"])
    assert end.seconds < 10


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_has_nothing_scheduled(factory: BusFactory) -> None:
    """It can schedule events of its own; those of the parent are the parent's."""
    bus, seen = factory.bus(), Recorder()
    bus.subscribe("a", seen)
    scheduled = bus.publish_after(0.05, Event("a", "parent"))

    def child() -> None:
        assert bus.stats().scheduled == 0
        assert not scheduled.pending
        assert not scheduled.cancel()
        bus.publish_after(0.1, Event("a", "child"))
        seen.wait_for(1)
        assert bus.flush(HANG)
        assert seen.data == ["child"]
        bus.publish_after(NEVER, Event("a"))
        bus.stop()
        assert bus.stats().dropped == 1

    assert in_child(child) == 0
    seen.wait_for(1)
    assert bus.flush(HANG)
    assert seen.data == ["parent"]


# ---- from everywhere -------------------------------------------------------------------------


def test_a_signal_handler_can_schedule_and_cancel(factory: BusFactory) -> None:
    """Whatever it interrupts; here, the very same calls."""
    bus = factory.bus()
    before = signal.getsignal(signal.SIGTERM)

    def handler(_number: int, _frame: object) -> None:
        assert bus.publish_after(NEVER, Event("a")).cancel()

    signal.signal(signal.SIGTERM, handler)
    try:
        for k in range(1, 400, 7):
            at = At(k, lambda: signal.raise_signal(signal.SIGTERM))
            at.during(lambda: bus.publish_after(NEVER, Event("a")).cancel())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert bus.stats().scheduled == 0


def test_a_hook_that_schedules_what_was_dropped_does_not_loop(factory: BusFactory) -> None:
    """What a hook schedules counts as published by it."""
    bus: EventBus
    dropped: list[Any] = []

    def again(event: Event, _subscription: object, _reason: object) -> None:
        dropped.append(event)
        bus.publish_after(0, event)

    bus, _, _ = full_bus(factory, "drop_newest", on_drop=again)
    bus.publish_after(0, Event("a", "again"))
    poll(lambda: bus.stats().dropped == 4)  # the last one is counted, and reported no more
    poll(lambda: bus.stats().scheduled == 0)
    assert len(dropped) == 3


def interrupt_everywhere(call: Callable[[], Callable[[], object]], step: int = 1) -> int:
    """Interrupt calls, each made again, at one of their opcodes after the other; how many."""
    for k in range(1, 20_000, step):
        at = At(k, lambda: signal.default_int_handler(signal.SIGINT, None))
        try:
            at.during(call())
        except KeyboardInterrupt:
            assert at.where
        else:
            assert not at.where, f"{at.where}: the interrupt was swallowed"
            return k
    raise AssertionError


def test_an_interrupted_call_schedules_an_event_or_does_not(factory: BusFactory) -> None:
    """What it has scheduled is counted, and dropped at the end."""
    bus = factory.bus(on_drop=Drops())
    bus.subscribe("a", Recorder())
    bus.publish_after(NEVER, Event("a")).cancel()
    assert interrupt_everywhere(lambda: lambda: bus.publish_after(NEVER, Event("a"))) > 50
    scheduled = bus.stats().scheduled
    assert scheduled >= 1
    bus.stop()
    stats = bus.stats()
    assert (stats.scheduled, stats.dropped) == (0, scheduled)
    assert_balance(stats)


@pytest.mark.slow
def test_an_interrupted_stop_counts_each_scheduled_event_once(
    factory: BusFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one counts the rest."""
    monkeypatch.setattr(logging.getLogger("brummerbus"), "disabled", True)
    buses: list[EventBus] = []

    def stop() -> Callable[[], object]:
        for bus in buses[-1:]:
            check(bus)
        bus = factory.bus(on_drop=lambda *_: None)
        bus.subscribe("a", Recorder())
        for _ in range(3):
            bus.publish_after(NEVER, Event("a"))
        buses.append(bus)
        return bus.stop

    def check(bus: EventBus) -> None:
        bus.stop()
        stats = bus.stats()
        assert (stats.scheduled, stats.dropped) == (0, 3)
        assert_balance(stats)

    assert interrupt_everywhere(stop, step=3) > 100
    check(buses[-1])
