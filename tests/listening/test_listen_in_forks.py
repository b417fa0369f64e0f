"""Listeners and waits in the child of a fork."""

import os
from typing import Any

import pytest

from brummerbus import BusClosed, Event
from helpers.buses import BusFactory
from helpers.listening import waiting
from helpers.processes import in_child
from helpers.threads import InThread
from helpers.waiting import poll

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


with_threads = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


@needs_fork
@with_threads
def test_in_a_forked_child_a_listener_has_ended(factory: BusFactory) -> None:
    """What it held can be iterated over; a publisher there does not wait for it."""
    bus = factory.bus()
    listener = bus.listen("a", maxsize=1, policy="block")
    bus.publish(Event("a", 1))

    def child() -> None:
        assert listener.closed
        InThread(lambda: bus.publish(Event("a", 2))).result()
        assert [event.data for event in listener] == [1]
        assert bus.stats().unrouted == 1
        with bus.listen("a") as own:
            bus.publish(Event("a", 3))
            assert next(own).data == 3

    assert in_child(child) == 0
    assert not listener.closed
    assert next(listener).data == 1


@needs_fork
@with_threads
def test_a_wait_that_a_fork_has_left_behind_ends_in_the_child(factory: BusFactory) -> None:
    """The parent goes on waiting."""
    bus = factory.bus()
    codes: list[int] = []

    def where(event: Event) -> bool:
        if event.data == "fork":
            pid = os.fork()
            if not pid:
                return False  # goes on waiting, in the child
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            return False
        return True

    def wait() -> Any:
        me = os.getpid()
        try:
            return bus.wait_for("a", where)
        except BusClosed:
            os._exit(7 if os.getpid() != me else 1)

    thread = waiting(bus, wait)
    bus.publish(Event("a", "fork"))
    poll(lambda: bool(codes))
    bus.publish(Event("a", "end"))
    assert thread.result().data == "end"
    assert codes == [7]
