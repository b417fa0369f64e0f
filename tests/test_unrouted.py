"""The hook for events that nothing matches."""

import threading
from typing import Any

import pytest

from brummerbus import BusClosed, Event, EventBus
from helpers.buses import BusFactory
from helpers.handlers import Logged, Recorder
from helpers.internals import cached_route
from helpers.waiting import HANG


class Order:
    """An object that is no event."""


def hooked(factory: BusFactory, **settings: Any) -> tuple[EventBus, list[Any]]:
    """Make a bus that keeps what nothing matches."""
    found: list[Any] = []
    return factory.bus(on_unrouted=found.append, **settings), found


def test_it_is_called_for_each_event_that_nothing_matches(factory: BusFactory) -> None:
    """However it is published."""
    bus, found = hooked(factory)
    bus.subscribe("a", Recorder())
    events = [Event("b", number) for number in range(4)]
    order = Order()
    assert bus.publish(events[0])
    assert bus.publish(events[1], priority=3, timeout=0)
    assert bus.publish_many([Event("a"), events[2], Event("a")]) == 3
    assert bus.publish(events[3], on_done=lambda outcome: None, expires=1)
    assert bus.publish(order)
    assert found == [*events, order]
    assert bus.stats().unrouted == 5


def test_it_is_called_in_the_publishers_thread(factory: BusFactory) -> None:
    """Before `publish` returns."""
    threads: list[threading.Thread] = []
    bus = factory.bus(on_unrouted=lambda event: threads.append(threading.current_thread()))
    bus.publish(Event("a"))
    assert threads == [threading.current_thread()]


def test_it_follows_the_subscriptions(factory: BusFactory) -> None:
    """Those that come, end, or take one event only; and listeners."""
    bus, found = hooked(factory)
    with bus.subscribe("a", Recorder()):
        bus.publish(Event("a", 1))
    bus.publish(Event("a", 2))
    with bus.listen("a"):
        bus.publish(Event("a", 3))
    bus.subscribe("a", Recorder(), once=True)
    bus.publish(Event("a", 4))
    bus.publish(Event("a", 5))
    assert [event.data for event in found] == [2, 5]
    assert bus.stats().unrouted == 2


def test_what_is_refused_is_not_unrouted(factory: BusFactory) -> None:
    """A stopped bus, an event for which there are no slots."""
    bus, found = hooked(factory, queue_size=1, policy="drop_newest")
    gate = factory.hold(bus)
    bus.subscribe("a", Recorder())
    assert bus.publish(Event("a"))
    assert not bus.publish(Event("a"))
    gate.open()
    bus.stop()
    with pytest.raises(BusClosed):
        bus.publish(Event("b"))
    assert found == []


def test_a_hook_that_publishes_what_nothing_matches_does_not_loop(factory: BusFactory) -> None:
    """At most three hooks are called in a chain; the last event is counted only."""
    found: list[Any] = []

    def hook(event: Event) -> None:
        found.append(event.data)
        bus.publish(Event("b", event.data + 1))

    bus = factory.bus(on_unrouted=hook)
    bus.publish(Event("b", 0))
    assert found == [0, 1, 2]
    assert bus.stats().unrouted == 4


def test_a_hook_can_pass_the_event_on(factory: BusFactory) -> None:
    """To a subscription for what nobody else wants."""
    seen = Recorder()
    bus = factory.bus(on_unrouted=lambda event: bus.publish(event.replace(type="lost")))
    bus.subscribe("lost", seen)
    bus.publish(Event("a", 1))
    assert bus.flush(HANG)
    assert seen.data == [1]


def test_what_it_raises_is_logged(factory: BusFactory, logged: Logged) -> None:
    """What is no `Exception` goes on to the publisher, as from other hooks in its thread."""
    errors: list[BaseException] = [ZeroDivisionError("of the hook"), SystemExit("of the hook")]

    def hook(event: Event) -> None:
        raise errors.pop(0)

    bus = factory.bus(on_unrouted=hook)
    assert bus.publish(Event("a"))
    assert "ZeroDivisionError: of the hook" in logged.text
    with pytest.raises(SystemExit):
        bus.publish(Event("a"))
    assert bus.stats().unrouted == 2


def test_without_the_hook_such_events_stay_on_the_fast_path(factory: BusFactory) -> None:
    """Nothing in Python is called for them."""
    bus, event = factory.bus(), Event("a")
    bus.publish(event)
    route = cached_route(bus, event)
    assert route is not None
    assert route.plan is None
