"""What an event is: its fields, its identity, and that nothing can change it."""

import time
import weakref
from enum import Enum

import pytest
from conftest import run_together

from brummerbus import Event, EventType, Priority

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
    """An event with a constructor of its own."""

    def __init__(self, path: str) -> None:
        super().__init__("build.event", path, source="make")


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


def test_subclass_cannot_be_changed_either() -> None:
    """A subclass has a dict, and still refuses to take anything in."""
    event = Compiled("a.c")
    with pytest.raises(AttributeError):
        event.data = "b.c"
    with pytest.raises(AttributeError):
        event.extra = 1  # type: ignore[attr-defined]


def test_subclass_may_have_its_own_constructor() -> None:
    """It passes on what it likes, and its events have id and time like all others."""
    first, second = Compiled("a.c"), Compiled("b.c")
    assert (first.type, first.data, first.source) == ("build.event", "a.c", "make")
    assert first.id < second.id
    assert isinstance(first, Event)


def test_ids_increase() -> None:
    """Of two events made in one thread the later has the larger id."""
    ids = [Event("tick").id for _ in range(1000)]
    assert ids == sorted(set(ids))


def test_ids_are_unique_over_all_threads(frequent_switches: None) -> None:
    """Threads that make events at the same time never share an id."""
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
    """The payload has no part in an event's hash."""
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
    """Whatever the kind of string, the event has an exact `str`."""
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
