"""Keys whose hash, comparison or function raises."""

from collections.abc import Iterator
from typing import Any

import pytest

from brummerbus import Event, EventBus
from brummerbus._core.lanes import MAX_IDLE
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest, assert_balance
from helpers.handlers import Outcomes, Recorder
from helpers.internals import lanes_of
from helpers.keys import ByKey, Failure, first
from helpers.waiting import HANG


class Bad:
    """A key whose hash or comparison does something."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.on_hash: Any = None
        self.on_eq: Any = None

    def __hash__(self) -> int:
        if self.on_hash is not None:
            self.on_hash()
        return 1

    def __eq__(self, other: object) -> bool:
        for one in (self, other):
            if isinstance(one, Bad) and one.on_eq is not None:
                one.on_eq()
        return isinstance(other, Bad) and other.number == self.number


def raise_it() -> None:
    """Raise."""
    raise Failure("a key")


def bad_keys(bus: EventBus) -> Iterator[tuple[Any, type[Exception]]]:
    """Yield keys with what publishing them raises."""
    unhashable = Bad(2)
    unhashable.on_hash = raise_it
    incomparable = Bad(3)
    incomparable.on_eq = raise_it
    yield [], TypeError
    yield unhashable, Failure
    yield incomparable, Failure


def test_a_key_that_raises_refuses_the_publish(factory: BusFactory) -> None:
    """Nothing of the event is accepted, for no subscription; the counts are as they were."""
    bus = factory.bus(queue_size=100)
    gate, handler, plain, done = factory.hold(bus), ByKey(), Recorder(), Outcomes()
    bus.subscribe("a", plain)
    bus.subscribe("a", handler, key=lambda event: 0)
    bus.subscribe("a", handler, key=first)
    bus.publish(Event("a", (Bad(1), 0)))  # what the others are compared with
    before = bus.stats()
    for key, error in bad_keys(bus):
        with pytest.raises(error):
            bus.publish(Event("a", (key, 1)))
        with pytest.raises(error):
            bus.publish(Event("a", (key, 1)), on_done=done, expires=1, priority=3)
        with pytest.raises(error):
            bus.publish_many([Event("a", (key, 1))])
    after = bus.stats()
    assert_balance(after)
    assert (after.published, after.dropped, after.queued) == (before.published, 0, 3)
    assert not done
    assert bus.publish(Event("a", (Bad(1), 2)))
    gate.open()
    assert_at_rest(bus)
    assert [number for _, number in plain.data] == [0, 2]
    assert sorted(n for numbers in handler.seen.values() for n in numbers) == [0, 0, 2, 2]


def test_a_key_function_that_raises_refuses_the_publish(factory: BusFactory) -> None:
    """With what it raised; a name that the event has not, too."""
    bus = factory.bus()
    recorder = Recorder()
    bus.subscribe("a", recorder, key=lambda event: 1 // event.data)
    bus.subscribe("b", recorder, key="customer")
    with pytest.raises(ZeroDivisionError):
        bus.publish(Event("a", 0))
    with pytest.raises(KeyError):
        bus.publish(Event("b", {"another": 1}))
    with pytest.raises(AttributeError):
        bus.publish(Event("b", None))
    assert bus.stats().published == 0
    assert bus.publish(Event("a", 1))
    assert_at_rest(bus)
    assert recorder.data == [1]


def test_a_refusal_in_publish_many_leaves_what_came_before(factory: BusFactory) -> None:
    """As in a loop of `publish`."""
    bus = factory.bus()
    recorder = Recorder()
    bus.subscribe("a", recorder, key=lambda event: 1 // event.data)
    with pytest.raises(ZeroDivisionError):
        bus.publish_many([Event("a", n) for n in (2, 1, 0, 3)])
    assert_at_rest(bus)
    assert recorder.data == [2, 1]


def test_a_key_that_raised_holds_nothing(factory: BusFactory) -> None:
    """Its lanes are forgotten, also while the exception is kept."""
    bus = factory.bus()
    subscription = bus.subscribe("a", lambda event: None, key=first)
    failing = bus.subscribe("a", lambda event: None, key=lambda event: 1 // event.data[1])
    kept: list[Exception] = []
    for n in range(10 * MAX_IDLE):
        with pytest.raises(ZeroDivisionError) as raised:
            bus.publish(Event("a", (n, 0)))
        kept.append(raised.value)
    assert len(lanes_of(subscription)) <= 3 * MAX_IDLE
    failing.cancel()


def test_keys_whose_comparison_publishes_keep_the_order(factory: BusFactory) -> None:
    """To the same subscription and of the same key: of each key one at a time, and none lost."""
    bus = factory.bus(workers=4, queue_size=1000)
    handler = ByKey()
    bus.subscribe("a", handler, key=lambda event: event.source_key)
    published = 0
    inside = False

    class Keyed(Event):
        def __init__(self, data: tuple[int, int], key: Bad) -> None:
            super().__init__("a", data)
            self.source_key = key

    def publish(number: int) -> None:
        nonlocal published
        key = Bad(number)
        key.on_eq = lambda: again(number)
        bus.publish(Keyed((number, 0), key))
        published += 1

    def again(number: int) -> None:
        nonlocal inside
        if not inside:
            inside = True
            publish(number)
            inside = False

    for n in range(200):
        publish(n % 3)
    assert_at_rest(bus)
    assert handler.overlaps == 0
    assert sum(map(len, handler.seen.values())) == published > 200


def test_a_stored_key_that_turns_bad_refuses_no_strangers_publish(factory: BusFactory) -> None:
    """Its hash raises when the table of keys forgets: others go on, in order."""
    bus = factory.bus(queue_size=10, policy="block")
    handler = ByKey()
    bus.subscribe("a", handler, key=first)
    bad = Bad(1)
    bus.publish(Event("a", (bad, 0)))
    assert bus.flush(HANG)
    bad.on_hash = raise_it
    for n in range(5 * MAX_IDLE):
        assert bus.publish(Event("a", (n, 0)))
        assert bus.publish(Event("a", (n, 1)))
    assert_at_rest(bus)
    bad.on_hash = None
    handler.assert_in_order()
