"""Publishers and takers of a listener that wait, and what ends their waits."""

from typing import Any

import pytest

from brummerbus import Event, Listener
from brummerbus._core import sleepers
from helpers.buses import BusFactory
from helpers.handlers import Recorder
from helpers.internals import publishers_asleep, takers_asleep, types_listened_to
from helpers.listening import held, interrupt_everywhere
from helpers.threads import InThread, run_together
from helpers.waiting import HANG, poll


def asleep(listener: Listener[Any]) -> None:
    """Return when a publisher waits for room."""
    poll(lambda: publishers_asleep(listener) > 0)


# ---- listen --------------------------------------------------------------------------------------


def test_a_publisher_waits_for_room_in_a_listener_that_blocks(factory: BusFactory) -> None:
    """Until one is taken, and then its event is the next."""
    bus = factory.bus()
    listener = bus.listen("a", maxsize=2, policy="block")
    bus.publish_many([Event("a", 0), Event("a", 1)])
    publisher = InThread(lambda: bus.publish(Event("a", 2)))
    asleep(listener)
    assert held(listener) == [0, 1]
    assert next(listener).data == 0
    assert publisher.result() is True
    assert [next(listener).data for _ in range(2)] == [1, 2]
    assert listener.dropped == 0


@pytest.mark.parametrize("end", ["close", "stop", "timeout"])
def test_the_wait_for_room_ends_with_the_listener_or_the_timeout(
    factory: BusFactory, end: str
) -> None:
    """The event was accepted, so `publish` returns True."""
    bus, seen = factory.bus(), Recorder()
    bus.subscribe("a", seen)
    listener = bus.listen("a", maxsize=1, policy="block")
    bus.publish(Event("a", 0))
    timeout = 0.01 if end == "timeout" else None
    publisher = InThread(lambda: bus.publish(Event("a", 1), timeout=timeout))
    if end != "timeout":
        asleep(listener)
        getattr(listener if end == "close" else bus, end)()
    assert publisher.result() is True
    assert listener.dropped == (end == "timeout")
    assert held(listener) == ([] if end == "close" else [0])
    assert bus.flush(HANG)
    assert seen.data == [0, 1]


def test_the_thread_that_iterates_does_not_wait_for_itself(factory: BusFactory) -> None:
    """What it publishes to its own full listener is dropped for it.

    Before the first `next`, the thread that made the listener is the one.
    """
    bus = factory.bus()
    listener = bus.listen("a", maxsize=1, policy="block")
    assert bus.publish_many([Event("a", 0), Event("a", 1)]) == 2
    assert (held(listener), listener.dropped) == ([0], 1)

    def iterate() -> list[Any]:
        seen = []
        for event in listener:
            seen.append(event.data)
            if event.data == 0:
                bus.publish_many([Event("a", "own"), Event("a", "dropped")])
            if event.data == "end":
                return seen
        raise AssertionError

    thread = InThread(iterate)
    poll(lambda: listener.dropped == 2)
    bus.publish(Event("a", "end"))  # this thread is one like any other now
    assert thread.result() == [0, "own", "end"]


def test_a_thread_that_comes_after_is_not_taken_for_the_one_that_listened(
    factory: BusFactory,
) -> None:
    """Systems give the identity of a thread that has ended to the next one."""
    bus = factory.bus()
    listener = InThread(lambda: bus.listen("a", maxsize=1, policy="block")).result()
    bus.publish(Event("a", 0))
    publishers = [InThread(lambda: bus.publish(Event("a", 1))) for _ in range(5)]
    poll(lambda: publishers_asleep(listener) == 5)
    assert listener.dropped == 0
    listener.close()
    assert [publisher.result() for publisher in publishers] == [True] * 5


def test_a_scheduled_event_waits_for_a_listener_without_holding_up_others(
    factory: BusFactory,
) -> None:
    """It stays scheduled; the timer thread goes on."""
    bus, seen = factory.bus(), Recorder()
    bus.subscribe("b", seen)
    listener = bus.listen("a", maxsize=1, policy="block")
    bus.publish(Event("a", 0))
    scheduled = [bus.publish_after(0, Event("a", number)) for number in (1, 2)]
    bus.publish_after(0.01, Event("b"))
    seen.wait_for(1)
    assert all(one.pending for one in scheduled)
    assert bus.stats().scheduled == 2
    assert [next(listener).data for _ in range(3)] == [0, 1, 2]
    assert listener.dropped == 0


def test_close_ends_the_iteration_of_another_thread(factory: BusFactory) -> None:
    """And the events that it held are let go of."""
    bus = factory.bus()
    listener = bus.listen("a")
    thread = InThread(lambda: list(listener))
    poll(lambda: takers_asleep(listener) > 0)
    listener.close()
    listener.close()
    assert thread.result() == []
    assert bus.publish(Event("a"))
    assert (listener.depth, types_listened_to(bus)) == (0, 0)
    assert bus.stats().unrouted == 1


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "block"])
def test_threads_that_publish_together_keep_the_bound(
    factory: BusFactory, frequent_switches: None, policy: str
) -> None:
    """Each event is taken, held or counted as dropped; with `block` none is dropped."""
    bus = factory.bus()
    listener = bus.listen("a", maxsize=3, policy=policy)
    too_many: list[int] = []

    def iterate() -> list[Any]:
        seen = []
        for event in listener:
            seen.append(event.data)
            if (depth := listener.depth) > 3:
                too_many.append(depth)
        return seen

    takers = [InThread(iterate) for _ in range(2)]
    poll(lambda: takers_asleep(listener) == 2)

    def work(thread: int) -> None:
        for number in range(300):
            bus.publish(Event("a", (thread, number)))

    run_together(4, work)
    bus.stop()
    seen = [data for taker in takers for data in taker.result()]
    assert not too_many
    assert len(set(seen)) == len(seen)
    assert len(seen) + listener.dropped == 1200
    assert (policy == "block") <= (listener.dropped == 0)


def test_handlers_wait_for_a_listener_that_blocks(factory: BusFactory) -> None:
    """They are publishers like others, and a stop lets them go on."""
    bus = factory.bus()
    listener = bus.listen("b", maxsize=1, policy="block")
    bus.subscribe("a", lambda event: bus.publish_many([Event("b"), Event("b"), Event("b")]))
    bus.publish(Event("a"))
    asleep(listener)
    assert bus.stop(timeout=HANG)
    assert listener.depth == 1


def test_what_changes_while_a_thread_goes_to_sleep_is_not_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between its look and its sleep nobody could wake it, so it looks again."""
    monkeypatch.setattr(sleepers, "OTHER_SLICE_NS", int(10 * HANG * 1e9))
    looks = iter([False, True, True])
    assert InThread(lambda: sleepers.Sleepers().wait_until(lambda: next(looks), None)).result()


# ---- interrupts ----------------------------------------------------------------------------------


def test_a_publish_interrupted_anywhere_leaves_the_listener_whole(factory: BusFactory) -> None:
    """It still holds at most what it may, and gets what comes next."""
    bus = factory.bus()
    listener = bus.listen("a", maxsize=2)

    def check() -> None:
        assert listener.depth <= 2
        bus.publish(Event("a", "next"))
        assert held(listener)[-1] == "next"

    assert interrupt_everywhere(lambda: bus.publish(Event("a")), check) > 50
