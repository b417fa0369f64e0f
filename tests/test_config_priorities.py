"""The table of priorities: what is rejected, and that it is a read-only copy with plain keys."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from brummerbus._config import EventBusConfig
from brummerbus._events import EventType, Priority
from brummerbus._priorities import DEFAULT_PRIORITIES


class Job:
    """An event class of a program's own."""


NOT_INTS: list[Any] = [True, False, 1.0, float("nan"), "4", "", b"", [], object]


@pytest.mark.parametrize("value", [None, 3, "log.line", [("log.line", 1)], {"log.line"}])
def test_priorities_are_a_mapping(value: Any) -> None:
    """Pairs are not enough."""
    with pytest.raises(ValueError, match=r"^priorities must be a mapping .* 1 to 8, got "):
        EventBusConfig(priorities=value)


@pytest.mark.parametrize("key", ["", None, 1, b"log.line", ("log.line",), Job()])
def test_priorities_are_given_to_non_empty_strings_and_classes(key: Any) -> None:
    """What can be an event type."""
    with pytest.raises(ValueError, match=r"^priorities must have non-empty strings or classes"):
        EventBusConfig(priorities={key: 1})


@pytest.mark.parametrize("key", ["process.*", "*", "a?", "[ab]"])
def test_priorities_are_not_given_to_globs(key: str) -> None:
    """The table is looked up by the exact type: such an entry would never apply."""
    with pytest.raises(ValueError, match=r"^priorities must have exact event types") as caught:
        EventBusConfig(priorities={key: 3})
    assert repr(key) in str(caught.value)


@pytest.mark.parametrize("value", [*NOT_INTS, None, 0, 9, -1, 2**63])
def test_a_priority_is_an_int_from_1_to_8(value: Any) -> None:
    """The message names the entry."""
    with pytest.raises(ValueError, match=r"^priorities\['a'\] must be an int from 1 to 8"):
        EventBusConfig(priorities={"a": value})


def test_keys_and_values_are_kept_plain() -> None:
    """An enum member becomes its string or int."""
    table = EventBusConfig(priorities={EventType.LOG_LINE: Priority.HIGH, Job: 2}).priorities
    assert dict(table) == {"log.line": 3, Job: 2}
    assert [type(key) for key in table] == [str, type]
    assert {type(value) for value in table.values()} == {int}


def test_what_is_given_replaces_the_table() -> None:
    """An empty one makes every event medium."""
    assert EventBusConfig(priorities={}).priorities == {}


def test_an_entry_above_the_levels_is_accepted_as_it_is() -> None:
    """It counts as the top level, where events are routed."""
    made = EventBusConfig(priority_levels=1, priorities={"a": 8})
    assert made.priorities["a"] == 8
    assert EventBusConfig(priority_levels=1).priorities == DEFAULT_PRIORITIES


def test_later_changes_of_the_given_mapping_do_not_show() -> None:
    """It is copied."""
    given_table = {"a": 1}
    table = EventBusConfig(priorities=given_table).priorities
    given_table["a"] = 2
    assert table == {"a": 1}


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.__setitem__("a", 2),
        lambda table: table.__delitem__("a"),
        lambda table: table.__ior__({"a": 2}),
        lambda table: table.clear(),
        lambda table: table.pop("a"),
        lambda table: table.popitem(),
        lambda table: table.setdefault("b", 2),
        lambda table: table.update(a=2),
    ],
)
def test_the_table_cannot_be_changed(change: Any) -> None:
    """By no method that a dict has for it."""
    table = EventBusConfig(priorities={"a": 1}).priorities
    with pytest.raises(TypeError, match="read-only"):
        change(table)
    assert table == {"a": 1}


def test_any_mapping_will_do() -> None:
    """Among them a read-only view, and another config's table."""
    made = EventBusConfig(priorities=MappingProxyType({"a": 1}))
    assert isinstance(made.priorities, Mapping)
    assert EventBusConfig(priorities=made.priorities) == made


def test_a_configuration_has_a_hash_as_frozen_dataclasses_have() -> None:
    """Equal ones have the same, so that it can be a key."""
    table: dict[Any, int] = {"a": 1, "b": 2}
    one, other = (
        EventBusConfig(workers=2, priorities=table),
        EventBusConfig(workers=2, priorities=dict(reversed(table.items()))),
    )
    assert one == other
    assert len({one, other, EventBusConfig(workers=2)}) == 2
