"""Classes as event types: abstract ones, and those that run user code."""

from abc import ABC, ABCMeta
from collections.abc import Sized
from typing import Any

import pytest

from brummerbus import Event, EventBus
from helpers.buses import BusFactory
from helpers.handlers import Logged, Recorder
from helpers.waiting import HANG


class Job:
    pass


class Shape(ABC):  # noqa: B024
    pass


class Circle(Shape):
    pass


def received(bus: EventBus, recorder: Recorder, event: Any) -> bool:
    """Publish an event, and return whether the recorder received it."""
    before = len(recorder.events)
    assert bus.publish(event)
    assert bus.flush(HANG)
    return len(recorder.events) > before


@pytest.mark.parametrize("other_first", [True, False])
def test_class_that_an_abc_adopts_later_is_received_from_then_on(
    factory: BusFactory, other_first: object
) -> None:
    """Although it was published before, and its route was cached."""
    bus, recorder = factory.bus(), Recorder()
    if other_first:
        bus.subscribe(Job, Recorder())
    bus.subscribe(Shape, recorder)

    class Square:
        pass

    assert received(bus, recorder, Circle())
    for _ in range(3):
        assert not received(bus, recorder, Square())
    Shape.register(Square)
    assert received(bus, recorder, Square())
    assert bus.publish_many([Square()] * 3) == 3
    assert bus.flush(HANG)
    assert len(recorder.events) == 5


def test_event_class_that_an_abc_adopts_later_is_received_too(factory: BusFactory) -> None:
    """Its type does not matter for that."""
    bus, recorder = factory.bus(), Recorder()
    bus.subscribe(Shape, recorder)

    class Drawn(Event):
        pass

    assert not received(bus, recorder, Drawn("a"))
    Shape.register(Drawn)
    assert received(bus, recorder, Drawn("a"))


def test_protocol_of_one_method_receives_what_has_it(factory: BusFactory) -> None:
    """As `issubclass` says."""
    bus, recorder = factory.bus(), Recorder()
    bus.subscribe(Sized, recorder)
    assert received(bus, recorder, [])
    assert not received(bus, recorder, 5)


class Picky(type):
    """Answers for some classes, and raises for others."""

    def __subclasscheck__(cls, subclass: type) -> bool:
        if subclass is Job:
            raise failure
        return subclass is object


class Odd(Exception):
    pass


failure: BaseException = Odd("cannot tell")


def test_class_that_cannot_tell_fails_its_own_subscription_and_no_publish(
    factory: BusFactory, logged: Logged
) -> None:
    """With one log message, which names both and the reason."""
    bus, recorder, other = factory.bus(), Recorder(), Recorder()
    bus.subscribe(Picky("Choice", (), {}), other)
    bus.subscribe(Job, recorder)
    for _ in range(3):
        assert received(bus, recorder, Job())
        bus.subscribe("new.*", print).cancel()  # the next route is a new one
    [record] = logged.records
    assert record.levelname == "ERROR"
    assert "Choice" in record.getMessage()
    assert "Job" in record.getMessage()
    assert "cannot tell" in logged.text
    assert other.events == []


class Unhashable(type):
    """A metaclass whose classes cannot be used as keys."""

    def __hash__(cls) -> int:
        raise AssertionError("a class was hashed")

    def __eq__(cls, other: object) -> bool:
        raise AssertionError("a class was compared")


def test_classes_are_neither_hashed_nor_compared(factory: BusFactory) -> None:
    """Neither as event types nor as classes of published objects."""
    bus, recorder = factory.bus(), Recorder()
    cls = Unhashable("Stubborn", (), {})
    own = Unhashable("StubbornEvent", (Event,), {})
    bus.subscribe(cls, recorder)
    bus.subscribe("a", recorder)
    for event in (cls(), own("a")):
        for _ in range(2):
            assert received(bus, recorder, event)


class CountingMeta(ABCMeta):
    """Counts its calls."""

    asked = 0

    def __subclasscheck__(cls, subclass: type) -> bool:
        CountingMeta.asked += 1
        return super().__subclasscheck__(subclass)


def test_class_is_asked_once_for_each_class_that_is_published(factory: BusFactory) -> None:
    """And not at every publish."""
    bus = factory.bus(queue_size=1000)
    bus.subscribe(CountingMeta("Counted", (), {}), print)
    CountingMeta.asked = 0
    for _ in range(500):
        assert bus.publish(Job())
        assert bus.publish(Event("a"))
    assert CountingMeta.asked <= 4
