"""Ending subscriptions by their handler, and listing those that there are."""

import functools
from typing import Any

import pytest

from brummerbus import Event
from helpers.buses import BusFactory
from helpers.handlers import Recorder
from helpers.threads import run_together
from helpers.waiting import HANG


class Shop:
    """Has a method, and equals every other shop."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_event(self, event: Event) -> None:
        self.seen.append(event.data)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shop)

    __hash__ = None  # type: ignore[assignment]


class Same:
    """A handler that claims to equal whatever it is compared with."""

    def __call__(self, event: Event) -> None:
        """Do nothing."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


def test_unsubscribe_ends_all_subscriptions_of_a_handler(factory: BusFactory) -> None:
    """To whatever types; it says how many."""
    bus, seen, others = factory.bus(), Recorder(), Recorder()
    for event_type in ("a", "a", "b.*", Event):
        bus.subscribe(event_type, seen)  # type: ignore[call-overload]
    kept = bus.subscribe("a", others)
    assert bus.unsubscribe(seen) == 4
    assert bus.unsubscribe(seen) == 0
    assert bus.subscriptions() == (kept,)
    bus.publish_many([Event("a", 1), Event("b.c", 2)])
    assert bus.flush(HANG)
    assert (seen.data, others.data) == ([], [1])


def test_what_is_queued_is_delivered_after_unsubscribe(factory: BusFactory) -> None:
    """As after `cancel`."""
    bus, seen = factory.bus(), Recorder()
    gate = factory.hold(bus)
    bus.subscribe("a", seen)
    bus.publish(Event("a", 1))
    assert bus.unsubscribe(seen) == 1
    gate.open()
    assert bus.flush(HANG)
    assert seen.data == [1]


def test_a_method_is_the_same_if_its_object_is(factory: BusFactory) -> None:
    """Each mention of a method makes a new object; equal objects have different methods."""
    bus, mine, other = factory.bus(), Shop(), Shop()
    bus.subscribe("a", mine.on_event)
    bus.subscribe("a", other.on_event)
    assert bus.unsubscribe(mine.on_event) == 1
    bus.publish(Event("a", 1))
    assert bus.flush(HANG)
    assert (mine.seen, other.seen) == ([], [1])


def test_a_builtin_method_is_the_same_if_its_object_is(factory: BusFactory) -> None:
    """`list.append`, say."""
    bus, mine, other = factory.bus(), list[Any](), list[Any]()
    bus.subscribe("a", mine.append)
    bus.subscribe("a", other.append)
    assert bus.unsubscribe(mine.append) == 1
    assert bus.unsubscribe(other.append) == 1


def test_other_callables_are_not_compared_by_what_they_say(factory: BusFactory) -> None:
    """Nor are two partials of the same function the same."""
    bus, seen = factory.bus(), Recorder()
    bus.subscribe("a", Same())
    bus.subscribe("a", functools.partial(seen))
    assert bus.unsubscribe(Same()) == 0
    assert bus.unsubscribe(functools.partial(seen)) == 0


def test_what_is_not_callable_is_refused(factory: BusFactory) -> None:
    """An event type, say."""
    with pytest.raises(TypeError, match="handler must be callable, got 'a'"):
        factory.bus().unsubscribe("a")  # type: ignore[arg-type]


def test_threads_that_unsubscribe_together_count_each_subscription_once(
    factory: BusFactory, frequent_switches: None
) -> None:
    """The sum of what they say is the number of subscriptions."""
    bus, seen = factory.bus(), Recorder()
    for number in range(200):
        bus.subscribe(f"type {number % 7}", seen)
    ended: list[int] = []
    run_together(4, lambda _: ended.append(bus.unsubscribe(seen)))
    assert sum(ended) == 200
    assert bus.subscriptions() == ()


def test_subscriptions_are_listed_in_the_order_in_which_they_were_made(factory: BusFactory) -> None:
    """Whatever they are to; those that have ended are missing."""
    bus = factory.bus()
    made = [
        bus.subscribe("b", print),
        bus.subscribe("*", print),
        bus.subscribe("a", print),
        bus.subscribe(Event, print),
        bus.subscribe("b", print),
    ]
    assert bus.subscriptions() == tuple(made)
    made.pop(2).cancel()
    assert bus.subscriptions() == tuple(made)
    bus.stop()
    assert bus.subscriptions() == tuple(made)
