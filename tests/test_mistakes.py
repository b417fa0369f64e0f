"""Calls that can only be mistakes: each is refused, with a message that says what was meant.

Those about functions are in test_function_mistakes.py.
"""

import json
from types import ModuleType
from typing import Any, Protocol

import pytest

from brummerbus import BusClosed, Event, EventBus, EventType
from helpers.buses import BusFactory
from helpers.handlers import Recorder

# ---- what is published -----------------------------------------------------------------------


class Job:
    """An object that a program publishes."""


PUBLISHED = [
    ("log.line", r"got 'log\.line'; did you mean Event\('log\.line'\)\?"),
    (EventType.LOG_LINE, r"did you mean Event\(.*LOG_LINE.*\)\?"),
    (Job, r"did you mean an object of Job\?"),
    (Event, r"did you mean an object of Event\?"),
    (json, r"did you mean one of the objects in json\?"),
]


@pytest.mark.parametrize(("wrong", "message"), PUBLISHED)
def test_published_string_class_or_module_is_refused(
    factory: BusFactory, wrong: Any, message: str
) -> None:
    """Also by `publish_many`, each time, and although there is a subscription to all objects."""
    bus = factory.bus()
    bus.subscribe(object, Recorder())
    for _ in range(2):
        with pytest.raises(TypeError, match=message):
            bus.publish(wrong)
        with pytest.raises(TypeError, match=message):
            bus.publish_many([wrong])
    stats = bus.stats()
    assert (stats.published, stats.unrouted, stats.queued) == (0, 0, 0)


def test_long_string_is_shown_shortened(factory: BusFactory) -> None:
    """The message is human-readable."""
    with pytest.raises(TypeError) as caught:
        factory.bus().publish("x" * 100_000)
    assert len(str(caught.value)) < 1000


def test_event_whose_constructor_was_forgotten_is_refused(factory: BusFactory) -> None:
    """It has no type by which it could be routed."""

    class Forgetful(Event):
        def __init__(self) -> None:
            pass

    bus = factory.bus()
    for _ in range(2):
        with pytest.raises(TypeError, match=r"Forgetful .*must call Event\.__init__"):
            bus.publish(Forgetful())
    with pytest.raises(TypeError, match=r"must call Event\.__init__"):
        bus.publish(Event.__new__(Event))


@pytest.mark.parametrize("wrong", ["abc", Event("a"), 5, None])
def test_publish_many_of_what_is_no_iterable_of_events_is_refused(
    factory: BusFactory, wrong: Any
) -> None:
    """One event is not many, and the characters of a string are not events."""
    with pytest.raises(TypeError, match="events must be an iterable"):
        factory.bus().publish_many(wrong)


@pytest.mark.parametrize(
    ("args", "options"),
    [((), {}), ((Event("a"), 3), {}), ((Event("a"),), {"prio": 3}), ((Event("a"),), {"event": 1})],
)
def test_publish_with_wrong_arguments_is_refused(
    factory: BusFactory, args: tuple[Any, ...], options: dict[str, Any]
) -> None:
    """As a `TypeError`, before anything changed."""
    bus = factory.bus()
    bus.subscribe("a", Recorder())
    for call in (bus.publish, bus.publish_many):
        with pytest.raises(TypeError):
            call(*args, **options)
    assert bus.stats().published == 0


# ---- event types -----------------------------------------------------------------------------


@pytest.mark.parametrize("receives_nothing", [str, EventType, type, type(Job), ModuleType])
def test_class_of_what_cannot_be_published_is_refused(
    factory: BusFactory, receives_nothing: type
) -> None:
    """A subscription to it would receive nothing, ever."""
    bus = factory.bus()
    with pytest.raises(TypeError, match=r"would receive nothing.* event type as a string\?"):
        bus.subscribe(receives_nothing, print)
    with pytest.raises(TypeError, match="would receive nothing"):
        bus.listen("a", receives_nothing)


def test_any_is_refused_as_an_event_type(factory: BusFactory) -> None:
    """It is a class in newer Pythons, of which nothing is an instance."""
    with pytest.raises(TypeError, match=r"event_type must be .*Any"):
        factory.bus().subscribe(Any, print)


@pytest.mark.parametrize("wrong", [None, 1, b"a", ["a"], ("a", "b"), 1.5, Event("a")])
def test_event_type_must_be_a_string_or_a_class(factory: BusFactory, wrong: Any) -> None:
    """Anything else is a `TypeError` that shows it; nothing was subscribed."""
    bus = factory.bus()
    with pytest.raises(TypeError, match="event_type must be a string, a glob or a class, got"):
        bus.subscribe(wrong, print)
    with pytest.raises(TypeError, match="event_type must be"):
        bus.on("a", wrong)
    bus.publish(Event("a"))
    assert bus.stats().unrouted == 1


def test_event_type_must_not_be_empty(factory: BusFactory) -> None:
    """An empty string matches no event."""
    with pytest.raises(ValueError, match="event_type"):
        factory.bus().subscribe("", print)
    with pytest.raises(ValueError, match="event_type"):
        factory.bus().on("")


def test_on_without_a_type_is_refused(factory: BusFactory) -> None:
    """`@bus.on()` and `@bus.on` are detected immediately, and arguments in the wrong order too."""
    bus = factory.bus()
    with pytest.raises(TypeError, match="at least one event type"):
        bus.on()
    with pytest.raises(TypeError, match=r"did you mean bus\.on\('event.type'\) above it"):
        bus.on(print)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"subscribe\(event_type, handler\)\?"):
        bus.subscribe(lambda event: None, "a")  # type: ignore[call-overload]


class _NoSubclasses(type):
    def __subclasscheck__(cls, subclass: type) -> bool:
        raise TypeError("not this one")


class _Data(Protocol):
    size: int


@pytest.mark.parametrize("odd", [_NoSubclasses("odd", (), {}), _Data])
def test_class_that_cannot_be_asked_for_subclasses_is_refused(
    factory: BusFactory, odd: type
) -> None:
    """It would receive nothing, and every other publish would call it without success."""
    bus = factory.bus()
    with pytest.raises(TypeError, match="does not support issubclass"):
        bus.subscribe(odd, print)
    assert bus.publish(Event("a"))


def test_subscribing_to_a_stopped_bus_is_refused(factory: BusFactory) -> None:
    """It would never receive anything."""
    bus: EventBus = factory.bus(name="night")
    decorate = bus.on("a")
    bus.stop()
    with pytest.raises(BusClosed, match="night"):
        bus.subscribe("a", print)
    with pytest.raises(BusClosed, match="night"):
        decorate(print)
