"""Wrong types and extreme values: an error that names the argument, or success; nothing else.

Afterwards the bus still works and its counts agree.
"""

import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, Event, EventBus, EventBusConfig, QueueFull, sizing
from helpers.buses import BusFactory
from helpers.checks import assert_balance
from helpers.handlers import Recorder
from helpers.waiting import HANG

TINY = 5e-324


class Index:
    """An integer only by `__index__`, as those of other libraries."""

    def __index__(self) -> int:
        return 2


class Text(str):
    """An instance of a str subclass with a different `__str__`."""

    __slots__ = ()

    def __str__(self) -> str:
        return "shown"

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Kind(str, Enum):
    """A string enum."""

    A = "a"


class Number(int):
    """An instance of an int subclass."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Unfriendly:
    """An object on which almost any access raises."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def values() -> list[Any]:
    """Return the values to try everywhere; new ones, since some are mutable."""
    powers = (1, 2**7, 2**15, 2**24, 2**31, 2**32, 2**46, 2**62, 2**63, 2**64, 10**18, 10**400)
    ints = [sign * power + near for power in powers for sign in (1, -1) for near in (-1, 0, 1)]
    inf, nan = float("inf"), float("nan")
    floats = [0.0, -0.0, TINY, -TINY, 1e-9, 0.5, -0.5, 2.0, 1e18, 1e19, 1e308, inf, -inf, nan]
    numbers = [Number(2), Fraction(1, 2), Decimal(1), Decimal("NaN"), 2j, Index(), True, False]
    texts = ["", "a", "*", "[", "[!", "\0", "\ud800", "a" * 100_000, Text("a"), Text(""), Kind.A]
    others = [None, b"", b"a", [], [1], (), {}, {"a": 1}, set(), object(), object, type, int, len]
    return [*ints, *floats, *numbers, *texts, *others, Unfriendly(), Unfriendly, Ellipsis, iter([])]


def name(value: object) -> str:
    """Return a value for a message."""
    try:
        return f"{type(value).__name__} {value!r:.60}"
    except Exception:
        return type(value).__name__


def fuzz(argument: str, call: Callable[[Any], object], tried: list[Any] | None = None) -> int:
    """Call with each value, and return how many were accepted."""
    accepted = 0
    wrong = []
    for value in values() if tried is None else tried:
        try:
            call(value)
            accepted += 1
        except (TypeError, ValueError) as error:
            if argument not in str(error):
                wrong.append(f"{name(value)}: the message does not name it: {error}")
        except Exception as error:
            wrong.append(f"{name(value)}: {error!r:.200}")
    assert not wrong, f"{argument}, {len(wrong)} times:\n" + "\n".join(wrong[:20])
    return accepted


FIELDS = {
    "workers": 7,  # 1, 2, 127 to 129, Number(2), and None for the formula
    "queue_size": 12,
    "priority_levels": 3,
    "policy": 0,  # names of policies are not among them
    "publish_timeout": 10,
    "handler_reserve": 8,
    "starvation_after": 8,
    "shutdown_timeout": 11,
    "monitoring": 2,
}


@pytest.fixture
def sound(factory: BusFactory) -> Iterator[EventBus]:
    """Return a bus, and check afterwards that it works as if none of the calls had been made."""
    bus = factory.bus(workers=2, queue_size=100)
    yield bus
    assert bus.flush(HANG)
    recorder = Recorder()
    bus.subscribe("a", recorder)
    assert bus.publish(Event("a", 1)) is True
    assert bus.publish_many([Event("a", 2), Event("a", 3)], priority=1) == 2
    assert bus.flush(HANG)
    assert sorted(recorder.data) == [1, 2, 3]
    assert_balance(bus.stats())


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_of_the_configuration_is_named_or_works(field: str) -> None:
    """Accepted values have the type that the field promises."""
    made: list[Any] = []
    accepted = fuzz(field, lambda value: made.append(EventBusConfig(**{field: value})))
    assert accepted >= FIELDS[field]
    for config in made:
        value = getattr(config, field)
        if value is None:
            assert field in {"shutdown_timeout", "starvation_after"}
        elif "timeout" in field:
            assert type(value) is float
            assert 0 <= value <= 1e9
        elif field in {"workers", "queue_size", "priority_levels", "handler_reserve"}:
            assert type(value) is int
            assert value >= (field != "handler_reserve")


def test_priorities_are_named_or_work() -> None:
    """As the mapping, as its keys and as its values."""
    assert fuzz("priorities", lambda value: EventBusConfig(priorities=value)) >= 2
    hashable = [value for value in values() if type(value).__hash__ is not None]
    fuzz("priorities", lambda value: EventBusConfig(priorities={value: 1}), hashable)
    assert fuzz("priorities['a']", lambda value: EventBusConfig(priorities={"a": value})) >= 2


def test_an_override_is_named_or_the_bus_works() -> None:
    """Legal but huge sizes are omitted: each would start that many threads."""
    huge = (int, float)
    tried = [value for value in values() if not (isinstance(value, huge) and value > 8)]
    for field in FIELDS:
        fuzz(field, lambda value, field=field: started(**{field: value}), tried)


def started(**arguments: Any) -> None:
    """Create a bus, check that it works, and stop it."""
    with EventBus(**{"workers": 1, "queue_size": 4, **arguments}) as bus:
        recorder = Recorder()
        bus.subscribe("a", recorder)
        assert bus.publish_many([Event("a", i) for i in range(4)], timeout=HANG) == 4
        assert bus.flush(HANG)
        assert bus.stop(timeout=HANG)
    assert len(recorder.events) == 4
    assert_balance(bus.stats())


@pytest.mark.parametrize("argument", ["name", "on_error", "on_drop"])
def test_an_argument_of_the_bus_is_named_or_works(argument: str) -> None:
    """The hooks are never called here."""
    assert fuzz(argument, lambda value: started(**{argument: value})) >= 3


def test_a_configuration_of_another_type_is_named() -> None:
    """None means the default."""
    assert fuzz("config", lambda value: EventBus(value, workers=1).stop()) == 1


def test_an_unknown_override_is_named() -> None:
    """Also if its name is that of something else."""
    for field in ("", "self", "config", "worker", "a" * 1000, "\ud800"):
        with pytest.raises(TypeError, match=r"has no field|multiple values"):
            EventBus(**{field: 1})


def test_anything_can_be_published(sound: EventBus) -> None:
    """An object is routed by its class; a string or a class can only be a mistake."""
    recorder = Recorder()
    sound.subscribe(object, recorder)
    mistakes = [value for value in values() if isinstance(value, (str, type))]
    assert fuzz("did you mean", sound.publish, mistakes) == 0
    tried = [value for value in values() if not isinstance(value, (str, type))]
    for value in tried:
        assert sound.publish(value, timeout=HANG) is True
    assert sound.publish_many(tried, timeout=HANG) == len(tried)
    assert sound.flush(HANG)
    assert len(recorder.events) == 2 * len(tried)


@pytest.mark.parametrize("argument", ["priority", "timeout"])
@pytest.mark.parametrize("subscribed", [False, True])
def test_an_option_of_publish_is_named_or_works(
    sound: EventBus, argument: str, subscribed: bool
) -> None:
    """Also without a subscription to the event."""
    if subscribed:
        sound.subscribe("b", Recorder())
    one = fuzz(argument, lambda value: sound.publish(Event("b"), **{argument: value}))
    many = fuzz(argument, lambda value: sound.publish_many([Event("b")], **{argument: value}))
    assert one == many >= 4


def test_a_timeout_of_publish_works_where_there_is_no_room(factory: BusFactory) -> None:
    """Values that would take long are omitted; nothing frees slots here."""
    bus = factory.bus(queue_size=1, policy=BackpressurePolicy.BLOCK)
    factory.hold(bus)
    bus.subscribe("a", Recorder())
    assert bus.publish(Event("a"))
    short = [v for v in values() if not (isinstance(v, (int, float)) and v > 0.1) and v is not None]

    def publish(value: Any) -> None:
        with pytest.raises(QueueFull):
            bus.publish(Event("a"), timeout=value)

    assert fuzz("timeout", publish, short) >= 3
    assert_balance(bus.stats())


def test_what_is_published_at_once_is_named_or_works(sound: EventBus) -> None:
    """An iterable is one of events; a dict is one of strings."""
    assert fuzz("event", sound.publish_many) >= 5


def test_flush_and_stop_name_their_arguments_or_work(factory: BusFactory) -> None:
    """There is nothing to wait for, so the longest time has no effect."""
    bus = factory.bus()
    assert fuzz("timeout", lambda value: bus.flush(value)) >= 10
    assert not bus.closed
    refused = [value for value in values() if not isinstance(value, bool)]
    assert fuzz("drain", lambda value: bus.stop(drain=value), refused) == 0
    assert not bus.closed
    assert fuzz("timeout", lambda value: factory.bus().stop(timeout=value)) >= 10
    assert fuzz("drain", lambda value: factory.bus().stop(drain=value)) == 2


def test_what_is_subscribed_to_is_named_or_works(sound: EventBus) -> None:
    """Strings that are not well-formed globs match themselves."""
    recorder = Recorder()
    with sound.subscribe("unused", recorder):
        assert fuzz("event_type", lambda value: sound.subscribe(value, recorder).cancel()) >= 10
        assert fuzz("event_type", lambda value: sound.on(value)) >= 10
    assert fuzz("handler", lambda value: sound.subscribe("b", value).cancel()) >= 3
    assert fuzz("handler", lambda value: sound.on("no event")(value)) >= 3


@pytest.mark.parametrize("text", [Kind.A, Text("a"), "\0", "\ud800", "[", "[!", "a" * 100_000])
def test_a_string_is_received_under_the_type_it_was_published(sound: EventBus, text: str) -> None:
    """Whatever its `__str__`: an instance of a str subclass counts as its string."""
    recorder = Recorder()
    with sound.subscribe(text, recorder):
        assert sound.publish(Event(text, 1))
        assert sound.flush(HANG)
    assert recorder.data == [1]


def test_an_event_names_its_arguments_or_is_made() -> None:
    """Its payload may be anything."""
    assert fuzz("type", lambda value: Event(value)) >= 8
    assert fuzz("source", lambda value: Event("a", source=value)) >= 8
    assert fuzz("data", lambda value: Event("a", value)) == len(values())


def test_a_class_names_its_priority_or_is_published(sound: EventBus) -> None:
    """What is not an int is not a priority: a class may use the name for something else."""

    def publish(value: Any) -> None:
        assert sound.publish(type("Prioritised", (), {"priority": value})())

    assert fuzz("Prioritised.priority", publish) >= 50


SIZING: dict[str, Callable[[Any], object]] = {
    "cores": lambda value: sizing.calculate_optimal_workers(value),
    "workload": lambda value: sizing.calculate_optimal_workers(2, value),
    "memory": lambda value: sizing.memory_constrained_workers(value),
    "cores ": lambda value: sizing.memory_constrained_workers(2**30, value),
    "workload ": lambda value: sizing.memory_constrained_workers(2**30, 2, value),
    "workers": lambda value: sizing.calculate_queue_size(value),
    "factor": lambda value: sizing.calculate_queue_size(2, value),
    "workers ": lambda value: sizing.calculate_memory_usage(value, 20),
    "queue_size": lambda value: sizing.calculate_memory_usage(2, value),
    "event_size": lambda value: sizing.calculate_memory_usage(2, 20, value),
    " cores": lambda value: sizing.choose_preset(value),
}


@pytest.mark.parametrize("argument", SIZING)
def test_a_sizing_function_names_its_argument_or_answers(argument: str) -> None:
    """Also for numbers that no machine has."""
    accepted = fuzz(argument.strip(), SIZING[argument])
    assert accepted == 0 if argument.startswith("workload") else accepted > 10


def test_the_longest_int_is_shown_in_a_message() -> None:
    """Python itself refuses to convert such a large int to a string."""
    if hasattr(sys, "get_int_max_str_digits"):
        assert 0 < sys.get_int_max_str_digits() < 10_000
    with pytest.raises(ValueError, match="workers must be an int from 1 to 1024"):
        EventBusConfig(workers=10**10_000)
