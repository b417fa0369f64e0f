"""What is scheduled when a bus stops, or a process forks or exits."""

import multiprocessing
import os
import weakref
from pathlib import Path

import pytest

from brummerbus import BusClosed, DropReason, Event, EventBus
from helpers.buses import BusFactory
from helpers.checks import assert_balance
from helpers.handlers import Drops, Recorder
from helpers.internals import close_schedule, overdue
from helpers.processes import SOON, in_child, run_file, run_python
from helpers.scheduling import full_bus
from helpers.waiting import HANG, poll

NEVER = 3600.0
"""Seconds that no test waits."""


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
    scheduled = bus.publish_after(0.5, Event("a"))
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
    assert end.seconds < SOON


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_has_nothing_scheduled(factory: BusFactory) -> None:
    """It can schedule events of its own; those of the parent are the parent's."""
    bus, seen = factory.bus(), Recorder()
    bus.subscribe("a", seen)
    scheduled = bus.publish_after(0.5, Event("a", "parent"))

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
