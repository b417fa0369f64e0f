"""Fork while publishing, as by a signal handler or a finalizer that forks."""

import os
import sys
import traceback
from collections.abc import Callable
from itertools import count

import pytest

from brummerbus import Event, EventBus
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest
from helpers.handlers import Recorder
from helpers.interrupts import LONG
from helpers.opcodes import At
from helpers.processes import in_child, wait_for_child
from helpers.waiting import HANG

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    # Python 3.12 and later warn of forking with threads; being safe there is the point.
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]

PUBLISHING: dict[str, Callable[[EventBus], object]] = {
    "event": lambda bus: bus.publish(Event("a")),
    "event to two": lambda bus: bus.publish(Event("two")),
    "object": lambda bus: bus.publish(7),
    "priority": lambda bus: bus.publish(Event("a"), priority=1),
    "timeout": lambda bus: bus.publish(Event("a"), timeout=0),
    "many": lambda bus: bus.publish_many([Event("a"), Event("two")]),
    "keyed": lambda bus: bus.publish(Event("keyed")),
    "options": lambda bus: bus.publish(Event("keyed"), on_done=lambda _: None, expires=HANG),
}


def subscribed(factory: BusFactory) -> tuple[EventBus, Recorder]:
    """Create a bus and a recorder of everything published in `PUBLISHING`."""
    bus, seen = factory.bus(queue_size=100), Recorder()
    for event_type in ("a", "two", "two", int):
        bus.subscribe(event_type, seen)
    bus.subscribe("keyed", seen, key="data", retries=1)
    bus.subscribe("keyed", seen, max_concurrency=1)
    return bus, seen


@pytest.mark.parametrize("how", PUBLISHING)
def test_the_first_publish_starts_the_workers_however_it_is_made(
    factory: BusFactory, how: str
) -> None:
    """Also if its route was known in the parent."""
    bus, seen = subscribed(factory)
    PUBLISHING[how](bus)
    assert bus.flush(HANG)
    expected = len(seen.events)

    def child() -> None:
        seen.events.clear()
        PUBLISHING[how](bus)
        seen.wait_for(expected)
        assert bus.stop()

    assert in_child(child) == 0


@pytest.mark.parametrize(
    ("how", "known"),
    [
        ("event", True),
        ("event to two", True),
        ("many", True),
        ("object", False),
        ("event", False),
        ("options", True),
    ],
)
def test_fork_at_any_moment_of_a_publish_hurts_neither_side(
    factory: BusFactory, how: str, known: bool
) -> None:
    """As by a signal handler: both continue; the event is handled once, where it was accepted."""
    bus, seen = subscribed(factory)
    PUBLISHING[how](bus)
    assert bus.flush(HANG)
    expected = len(seen.events)
    step = 1 if LONG or how != "options" else 3  # a thousand forks
    for k in count(0, step):  # 0 forks nowhere: some Pythons count no opcodes of the first code
        if not known:
            bus.subscribe("other", print).cancel()  # the cache of routes is emptied
        seen.events.clear()
        fork = At(k, os.fork)
        try:
            fork.during(lambda: PUBLISHING[how](bus))
        finally:
            if fork.result == 0:
                end_child(bus, seen, expected)
        assert bus.flush(HANG)
        assert len(seen.events) == expected
        if k and fork.result is None:
            break
        assert not k or wait_for_child(fork.result) == 0, (
            f"forked before opcode {k} in {fork.where}"
        )


def end_child(bus: EventBus, seen: Recorder, expected: int) -> None:
    """Check in a child the result of the publish in which it began, and end it."""
    code = 1
    try:
        assert sys.exc_info()[1] is None
        assert bus.flush(HANG)
        assert len(seen.events) <= expected  # those of one event, or of none, or of both
        assert_at_rest(bus)
        seen.events.clear()
        assert bus.publish(Event("a", "own"))
        assert bus.flush(HANG)
        assert seen.data == ["own"]
        assert bus.stop()
        code = 0
    except BaseException:  # noqa: BLE001, RUF100
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)
