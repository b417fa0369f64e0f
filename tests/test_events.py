"""Events: fields, identity, immutability, and copies."""

import copy
import gc
import pickle
import sys
import time
import weakref
from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest

from brummerbus import Event, EventType, Priority
from helpers.threads import run_together

TEN = {
    "process.started",
    "process.exited",
    "log.line",
    "error.detected",
    "build.event",
    "test.failed",
    "test.passed",
    "mcp.activity",
    "mcp.connected",
    "mcp.disconnected",
}


class Compiled(Event):
    """An event with its own constructor."""

    def __init__(self, path: str) -> None:
        super().__init__("build.event", path, source="make")


class Tagged(Compiled):
    """An event with an additional attribute."""

    def __init__(self, path: str, tag: str) -> None:
        super().__init__(path)
        self.tag = tag


class Slotted(Event):
    """An event with an additional slot."""

    __slots__ = ("tag",)


class Colour(str, Enum):
    RED = "red"


def test_event_keeps_what_it_was_given() -> None:
    """Type, payload and source are as passed; the payload is the same object."""
    data = {"line": 1}
    event = Event("log.line", data, source="api")
    assert (event.type, event.source) == ("log.line", "api")
    assert event.data is data


def test_payload_and_source_are_optional() -> None:
    """Without a payload it is None, without a source it is empty."""
    event = Event("tick")
    assert event.data is None
    assert event.source == ""


def test_source_must_be_named() -> None:
    """The source is a keyword, so that it cannot be mistaken for a payload."""
    with pytest.raises(TypeError):
        Event("log.line", 1, "api")  # type: ignore[misc]


@pytest.mark.parametrize("name", ["type", "data", "source", "id", "timestamp", "colour"])
def test_event_cannot_be_changed(name: str) -> None:
    """No attribute can be set or deleted, and none can be added."""
    event = Event("log.line", 1)
    before = getattr(event, name, None)
    with pytest.raises(AttributeError, match=name):
        setattr(event, name, 2)
    with pytest.raises(AttributeError, match=name):
        delattr(event, name)
    assert getattr(event, name, None) == before


@pytest.mark.parametrize("name", ["type", "data", "source", "id", "timestamp"])
def test_fields_of_a_subclass_cannot_be_changed_either(name: str) -> None:
    """They are the event's, also in subclasses."""
    event = Compiled("a.c")
    before = getattr(event, name)
    with pytest.raises(AttributeError, match=name):
        setattr(event, name, 2)
    with pytest.raises(AttributeError, match=name):
        delattr(event, name)
    assert getattr(event, name) == before


def test_subclass_may_have_attributes_of_its_own() -> None:
    """They are set, changed and deleted as for any object."""
    event = Tagged("a.c", "first")
    event.tag = "second"
    assert event.tag == "second"
    del event.tag
    assert not hasattr(event, "tag")


def test_event_is_initialised_once() -> None:
    """A second `__init__` would change it."""
    event = Event("tick", 1)
    with pytest.raises(AttributeError, match="immutable"):
        event.__init__("tock", 2)  # type: ignore[misc]
    assert (event.type, event.data) == ("tick", 1)


def test_subclass_may_have_its_own_constructor() -> None:
    """It passes on what it wants, and its events have id and time like all others."""
    first, second = Compiled("a.c"), Compiled("b.c")
    assert (first.type, first.data, first.source) == ("build.event", "a.c", "make")
    assert first.id < second.id
    assert isinstance(first, Event)


def test_ids_increase() -> None:
    """Of two events created in one thread the later has the larger id."""
    ids = [Event("tick").id for _ in range(1000)]
    assert ids == sorted(set(ids))


def test_ids_are_unique_over_all_threads(frequent_switches: None) -> None:
    """Threads that create events concurrently never share an id."""
    ids: list[list[int]] = [[] for _ in range(8)]
    run_together(8, lambda n: ids[n].extend(Event("tick").id for _ in range(2000)))
    assert len({id for some in ids for id in some}) == 16_000
    assert all(some == sorted(some) for some in ids)


def test_timestamp_is_the_time_of_making() -> None:
    """Seconds since the epoch, between the clock's readings before and after."""
    before = time.time()
    event = Event("tick")
    assert before <= event.timestamp <= time.time()
    assert isinstance(event.timestamp, float)


def test_events_are_compared_by_identity() -> None:
    """Two events with the same content are two events, and both can be kept in a set."""
    one, other = Event("tick", 1), Event("tick", 1)
    assert one == one  # noqa: PLR0124
    assert one != other
    assert len({one, other}) == 2


def test_events_with_unhashable_payloads_can_be_hashed() -> None:
    """The payload is not part of an event's hash."""
    assert len({Event("tick", []), Event("tick", {})}) == 2


def test_events_can_be_weakly_referenced() -> None:
    """A weak reference dies with the event."""
    event = Event("tick")
    reference = weakref.ref(event)
    assert reference() is event
    del event
    assert reference() is None


def test_repr_names_what_a_log_needs() -> None:
    """Class, id, type, payload and source are in it."""
    event = Event("log.line", "hello", source="api")
    for part in ("Event", str(event.id), "log.line", "'hello'", "'api'"):
        assert part in repr(event)
    assert repr(Compiled("a.c")).startswith("<Compiled")


@pytest.mark.parametrize("type", [None, 1, b"log.line", ["log.line"], Event])
def test_type_must_be_a_string(type: object) -> None:
    """Anything else is a `TypeError` that shows it."""
    with pytest.raises(TypeError, match="type must be a string"):
        Event(type)  # type: ignore[arg-type]


def test_type_must_not_be_empty() -> None:
    """An event without a name could not be subscribed to."""
    with pytest.raises(ValueError, match="non-empty"):
        Event("")


@pytest.mark.parametrize("source", [None, 1, b"api"])
def test_source_must_be_a_string(source: object) -> None:
    """Anything else is a `TypeError` that shows it."""
    with pytest.raises(TypeError, match="source must be a string"):
        Event("tick", source=source)  # type: ignore[arg-type]


@pytest.mark.parametrize("type", [EventType.LOG_LINE, Colour.RED])
def test_type_of_an_enum_is_kept_as_a_plain_string(type: str) -> None:
    """Whatever the str subclass, the event has an exact `str`."""
    event = Event(type)
    assert event.type == type
    assert event.type.__class__ is str


def test_event_types_are_the_ten_of_the_study() -> None:
    """No more, no less."""
    assert {member.value for member in EventType} == TEN


@pytest.mark.parametrize("type", sorted(TEN))
def test_event_type_equals_its_string(type: str) -> None:
    """As a dict key, in a comparison and in a format, the member is the string."""
    member = EventType(type)
    assert member == type
    assert hash(member) == hash(type)
    assert f"{member}" == str(member) == type


def test_priorities_are_ordered_ints() -> None:
    """Low is 1, medium 2, high 3."""
    assert [int(priority) for priority in Priority] == [1, 2, 3]
    assert Priority.LOW < Priority.MEDIUM < Priority.HIGH
    assert {priority.name for priority in Priority} == {"LOW", "MEDIUM", "HIGH"}


# ---- copies ----------------------------------------------------------------------------------

COPIES: dict[str, Any] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {n}": lambda event, n=n: pickle.loads(pickle.dumps(event, n))
        for n in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}


def fields_of(event: Event) -> tuple[Any, ...]:
    """Return all public attributes of an event."""
    return event.type, event.data, event.source, event.id, event.timestamp


@pytest.mark.parametrize("how", COPIES)
def test_copy_is_the_same_event(how: str) -> None:
    """Its id and its time are kept, across processes too."""
    event = Event("log.line", ["hello"], source="api")
    again = COPIES[how](event)
    assert again is not event
    assert fields_of(again) == fields_of(event)
    assert (again.data is event.data) is (how == "copy")


@pytest.mark.parametrize("how", COPIES)
def test_copy_of_a_subclass_has_its_own_attributes(how: str) -> None:
    """The class and its attributes; its constructor is not called again."""
    event, slotted = Tagged("a.c", "first"), Slotted("tick")
    slotted.tag = "slot"
    again = COPIES[how](event)
    assert (type(again), again.tag, fields_of(again)) == (Tagged, "first", fields_of(event))
    assert COPIES[how](slotted).tag == "slot"


def test_deep_copy_of_an_event_that_contains_itself_contains_itself() -> None:
    """As with any container."""
    event = Tagged("a.c", "first")
    event.tag = event  # type: ignore[assignment]
    again = copy.deepcopy(event)
    assert again.tag is again


def test_replace_makes_a_new_event() -> None:
    """The other fields are kept; id and time are new."""
    event = Event("log.line", 1, source="api")
    new = event.replace(data=2)
    assert (new.type, new.data, new.source) == ("log.line", 2, "api")
    assert new.id > event.id
    assert new.timestamp >= event.timestamp
    assert event.data == 1
    assert event.replace(type=EventType.BUILD_EVENT, source="").type == "build.event"


@pytest.mark.skipif(sys.version_info < (3, 13), reason="copy.replace came with Python 3.13")
def test_the_standard_librarys_replace_does_the_same() -> None:
    """As for dataclasses and named tuples."""
    event = Event("tick", 1, source="clock")
    new = copy.replace(event, data=2)  # type: ignore[attr-defined, unused-ignore]
    assert (new.type, new.data, new.source) == ("tick", 2, "clock")
    assert new.id > event.id


def test_replace_keeps_the_class_and_what_it_added() -> None:
    """Also if the constructor has other parameters."""
    event = Tagged("a.c", "first")
    new, other = event.replace(data="b.c"), event.replace(tag="second")
    assert (type(new), new.data, new.tag) == (Tagged, "b.c", "first")
    assert (other.data, other.tag, event.tag) == ("a.c", "second", "first")


@pytest.mark.parametrize("name", ["id", "timestamp", "colour"])
def test_replace_refuses_what_is_no_field(name: str) -> None:
    """Id and time cannot be given."""
    with pytest.raises(TypeError, match=name):
        Event("tick").replace(**{name: 1})


def test_replace_checks_what_it_is_given() -> None:
    """As the constructor does."""
    with pytest.raises(TypeError, match="type must be a string"):
        Event("tick").replace(type=1)
    with pytest.raises(ValueError, match="non-empty"):
        Event("tick").replace(type="")
    with pytest.raises(TypeError, match="source must be a string"):
        Event("tick").replace(source=None)


def test_long_chain_of_events_is_freed() -> None:
    """Each the payload of the next; freeing them recursively would overflow the stack."""
    event = Event("first")
    last = weakref.ref(event)
    for _ in range(200_000):
        event = Event("next", event)
    del event
    assert last() is None


class Special(Event):
    """A subclass, which the interpreter frees in a way of its own."""


@pytest.mark.parametrize(
    "link",
    [
        lambda event: Special("next", event),
        lambda event: Special("next", Event("between", event)),
        lambda event: Event("next", [event]),
        lambda event: Event("next", Event("between", {"event": (event,)})),
    ],
    ids=["subclass", "subclasses between", "list", "dict"],
)
def test_long_chain_through_other_objects_is_freed(link: Callable[[Event], Event]) -> None:
    """Neither what an event does nor what the interpreter does is to be recursive."""
    event = Event("first")
    last = weakref.ref(event)
    for _ in range(100_000):
        event = link(event)
    del event
    assert last() is None


def test_cycle_of_an_event_and_its_payload_is_collected() -> None:
    """The garbage collector traverses an event."""
    payload: list[Any] = []
    event = Event("tick", payload)
    payload.append(event)
    reference = weakref.ref(event)
    del event, payload
    gc.collect()
    assert reference() is None
