"""What a key can be, and how a subscription names it."""

import threading
from types import MappingProxyType
from typing import Any

import pytest

from brummerbus import Event
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest
from helpers.keys import ByKey, Failure, first
from helpers.waiting import poll


class Order(Event):
    """An event with an attribute."""

    def __init__(self, number: int) -> None:
        super().__init__("order")
        self.customer = number % 3
        self.number = number


@pytest.mark.parametrize(
    "data",
    [
        lambda key: {"customer": key},
        lambda key: MappingProxyType({"customer": key}),
    ],
    ids=["dict", "mapping"],
)
def test_a_name_is_that_of_an_item_of_the_data(factory: BusFactory, data: Any) -> None:
    """Of a mapping."""
    bus = factory.bus(workers=2)
    gate, seen = factory.gate(), []

    def handler(event: Event) -> None:
        seen.append(event.data["customer"])
        gate(event)

    bus.subscribe("a", handler, key="customer")
    for key in (1, 1, 2):
        bus.publish(Event("a", data(key)))
    gate.wait_entered(2)
    assert sorted(seen) == [1, 2]
    gate.open()
    assert_at_rest(bus)


def test_a_name_is_that_of_an_attribute_first(factory: BusFactory) -> None:
    """Of an event's class, of Event itself, or of any object that is published."""
    bus = factory.bus(workers=2)
    gate, seen = factory.gate(), []

    def handler(order: Order) -> None:
        seen.append(order.customer)
        gate(order)

    bus.subscribe(Order, handler, key="customer")
    for number in (1, 4, 2):
        bus.publish(Order(number))
    gate.wait_entered(2)
    assert sorted(seen) == [1, 2]
    gate.open()
    by_source = ByKey()
    bus.subscribe("s", by_source, key="source")
    bus.publish(Event("s", (1, 1), source="here"))
    assert_at_rest(bus)
    assert by_source.seen == {1: [1]}


@pytest.mark.parametrize("key", [None, 0, "", (), float("nan"), frozenset((1,)), Failure], ids=repr)
def test_any_hashable_is_a_key(factory: BusFactory, key: Any) -> None:
    """None is one as good as any."""
    bus = factory.bus(workers=2)
    gate = factory.gate()
    bus.subscribe("a", gate, key=lambda event: key)
    bus.publish_many([Event("a", n) for n in range(3)])
    gate.wait_entered()
    poll(lambda: bus.stats().queued == 2)
    assert bus.stats().running == 1
    gate.open()
    assert_at_rest(bus)


def test_equal_keys_of_different_types_are_one_key(factory: BusFactory) -> None:
    """As in a dict."""
    bus = factory.bus(workers=3)
    gate = factory.gate()
    bus.subscribe("a", gate, key=first)
    bus.publish_many([Event("a", (key, 0)) for key in (1, 1.0, True)])
    gate.wait_entered()
    assert bus.stats().running == 1
    gate.open()
    assert_at_rest(bus)


def test_it_is_computed_by_the_publisher(factory: BusFactory) -> None:
    """In its thread, once for each delivery."""
    bus = factory.bus()
    threads: list[int] = []

    def key(event: Event) -> int:
        threads.append(threading.get_ident())
        return 0

    bus.subscribe("a", lambda event: None, key=key)
    bus.publish_many([Event("a"), Event("a")])
    assert_at_rest(bus)
    assert threads == [threading.get_ident()] * 2


@pytest.mark.parametrize(
    ("bad", "error"),
    [(1, TypeError), ((), TypeError), ("", ValueError)],
)
def test_what_is_no_key_is_refused(factory: BusFactory, bad: Any, error: type[Exception]) -> None:
    """By `subscribe` and by `on`."""
    bus = factory.bus()
    with pytest.raises(error, match="key"):
        bus.subscribe("a", print, key=bad)
    with pytest.raises(error, match="key"):
        bus.on("a", key=bad)
