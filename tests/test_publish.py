"""What publish routes, at which priority, how long it waits, and what it returns."""

import queue
from typing import Any

import pytest

from brummerbus import (
    BackpressurePolicy,
    BusClosed,
    BusError,
    Event,
    EventBus,
    Priority,
    QueueFull,
)
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest
from helpers.handlers import Recorder
from helpers.waiting import HANG

TABLE = [
    ("process.started", 3),
    ("process.exited", 3),
    ("log.line", 1),
    ("error.detected", 3),
    ("build.event", 2),
    ("test.failed", 3),
    ("test.passed", 2),
    ("mcp.activity", 1),
    ("mcp.connected", 3),
    ("mcp.disconnected", 3),
    ("any.other", 2),
]


class Plain:
    pass


class Urgent(Event):
    priority = Priority.HIGH


class UrgentPlain:
    priority = 3


class WithProperty(Event):
    @property
    def priority(self) -> int:
        """Belong to the program, not to the bus."""
        return 1


def level_of(bus: EventBus, event: Any, **options: Any) -> int:
    """Publish one event to a blocked bus and return the level at which it is queued."""
    before = bus.stats().queue_depth
    assert bus.publish(event, **options)
    after = bus.stats().queue_depth
    [level] = [level for level in after if after[level] > before[level]]
    return level


def held(factory: BusFactory, **settings: Any) -> EventBus:
    """Return a bus whose worker is blocked and whose events all have one subscription."""
    bus = factory.bus(**settings)
    factory.hold(bus)
    bus.subscribe(object, Recorder())
    return bus


# ---- routing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("thing", [Plain(), 5, b"log.line", None, [1], {}, print, 1.5, ()])
def test_any_object_can_be_published(factory: BusFactory, thing: Any) -> None:
    """It is routed by its class, and the handler receives the object itself."""
    bus, recorder = factory.bus(), Recorder()
    bus.subscribe(type(thing), recorder)
    assert bus.publish(thing) is True
    assert bus.flush(HANG)
    assert recorder.events[0] is thing
    assert bus.stats().by_type[type(thing).__qualname__].processed == 1


def test_event_without_subscription_is_accepted_and_counted(factory: BusFactory) -> None:
    """It makes no delivery; `unrouted` counts the events."""
    bus = factory.bus()
    assert bus.publish(Event("a")) is True
    assert bus.publish(Plain()) is True
    assert bus.publish_many([Event("a"), Event("b")]) == 2
    stats = bus.stats()
    assert (stats.unrouted, stats.published) == (4, 0)


# ---- priority --------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "level"), TABLE)
def test_priorities_of_the_table(factory: BusFactory, name: str, level: int) -> None:
    """Each of the ten has the study's priority, whatever is unknown is medium."""
    assert level_of(held(factory), Event(name)) == level


def test_argument_outranks_class_outranks_table_outranks_medium(factory: BusFactory) -> None:
    """The first of the four that is given counts."""
    bus = held(factory, priorities={"log.line": 1, "a": 3})
    assert level_of(bus, Urgent("log.line"), priority=2) == 2
    assert level_of(bus, Urgent("log.line")) == 3
    assert level_of(bus, UrgentPlain()) == 3
    assert level_of(bus, Event("log.line")) == 1
    assert level_of(bus, Event("a")) == 3
    assert level_of(bus, Event("process.started")) == 2
    assert level_of(bus, Plain()) == 2


def test_priority_of_an_event_is_not_that_of_another_of_its_type(factory: BusFactory) -> None:
    """An explicit priority holds for one publish."""
    bus = held(factory)
    assert level_of(bus, Event("a"), priority=1) == 1
    assert level_of(bus, Event("a"), priority=Priority.HIGH) == 3
    assert level_of(bus, Event("a")) == 2


def test_priority_of_an_instance_does_not_count(factory: BusFactory) -> None:
    """The class has it or not; a property is not a priority."""
    bus = held(factory)
    assert level_of(bus, WithProperty("a")) == 2


@pytest.mark.parametrize("value", [0, 9, -1, 2**70, "high", None, True, 2.0, [1]])
@pytest.mark.parametrize("base", [Event, object], ids=["event", "object"])
def test_class_attribute_that_is_no_priority_is_none(
    factory: BusFactory, base: type, value: object
) -> None:
    """It belongs to the program, such as a dataclass's default of 0: no error, and medium."""
    cls = type("Job", (base,), {"priority": value})
    event = cls("a") if base is Event else cls()
    bus = held(factory, priorities={"a": 1})
    assert level_of(bus, event) == (1 if base is Event else 2)
    assert level_of(bus, event, priority=3) == 3


class _OddMeta(type):
    @property
    def priority(cls) -> int:
        raise RuntimeError("not now")

    def __hash__(cls) -> int:
        raise RuntimeError("unhashable")


def test_class_with_code_of_its_own_costs_no_publish(factory: BusFactory) -> None:
    """Neither a metaclass's `priority` nor its hash can make publishing fail."""
    bus = held(factory, priorities={int: 3})
    assert level_of(bus, _OddMeta("Odd", (), {})()) == 2
    assert level_of(bus, _OddMeta("OddEvent", (Event,), {})("a")) == 2
    assert level_of(bus, 5) == 3


@pytest.mark.parametrize("levels", [1, 2, 3, 8])
def test_table_entries_above_the_levels_count_as_the_top(factory: BusFactory, levels: int) -> None:
    """With one level priorities are off."""
    bus = held(factory, priority_levels=levels)
    assert level_of(bus, Event("process.started")) == min(3, levels)
    assert level_of(bus, Event("unknown")) == min(2, levels)
    assert level_of(bus, Urgent("a")) == min(3, levels)
    assert level_of(bus, Event("log.line")) == 1


def test_eight_levels_can_all_be_used(factory: BusFactory) -> None:
    """Each is a separate list, and the table covers the eighth."""
    bus = held(factory, priority_levels=8, priorities={"top": 8, "over": 8})
    for level in range(1, 9):
        assert level_of(bus, Event("a"), priority=level) == level
    assert level_of(bus, Event("top")) == 8
    assert bus.depth == 9


@pytest.mark.parametrize("wrong", [0, -1, 4, 8, 2**70])
def test_explicit_priority_out_of_range_is_refused(factory: BusFactory, wrong: int) -> None:
    """A `ValueError` with value and range, before anything changes."""
    bus = held(factory)
    with pytest.raises(ValueError, match=rf"1 to 3.*{wrong}"):
        bus.publish(Event("a"), priority=wrong)
    with pytest.raises(ValueError, match="1 to 3"):
        bus.publish_many([Event("a")], priority=wrong)
    assert bus.depth == 0
    with pytest.raises(ValueError, match="1 to 1"):
        factory.bus(priority_levels=1).publish(Event("a"), priority=2)


@pytest.mark.parametrize("wrong", ["1", 1.0, True, [1]])
def test_explicit_priority_must_be_an_int(factory: BusFactory, wrong: Any) -> None:
    """Anything else is a `TypeError`."""
    with pytest.raises(TypeError, match="priority"):
        factory.bus().publish(Event("a"), priority=wrong)
    with pytest.raises(TypeError, match="priority"):
        factory.bus().publish_many([], priority=wrong)


# ---- all or none -----------------------------------------------------------------------------


def test_all_deliveries_of_an_event_are_accepted_or_none(factory: BusFactory) -> None:
    """An event with two deliveries does not take the last single slot."""
    bus = factory.bus(queue_size=3, policy=BackpressurePolicy.DROP_NEWEST)
    gate, recorder = factory.hold(bus), Recorder()
    for _ in range(2):
        bus.subscribe("a", recorder)
    bus.subscribe("b", recorder)
    assert bus.publish(Event("a", 1)) is True
    assert bus.publish(Event("a", 2)) is False
    assert bus.depth == 2
    assert bus.publish(Event("b", 3)) is True
    assert bus.publish(Event("b", 4)) is False
    gate.open()
    assert bus.flush(HANG)
    assert recorder.data == [1, 1, 3]
    assert bus.stats().dropped == 3


# ---- arguments and the closed bus ------------------------------------------------------------


@pytest.mark.parametrize("wrong", [-1, -0.001, float("nan"), float("-inf")])
def test_timeout_out_of_range_is_refused(factory: BusFactory, wrong: float) -> None:
    """A `ValueError`; nothing was published."""
    bus = held(factory)
    for call in (bus.publish, lambda event, **o: bus.publish_many([event], **o)):
        with pytest.raises(ValueError, match="timeout"):
            call(Event("a"), timeout=wrong)
    assert bus.depth == 0


@pytest.mark.parametrize("wrong", ["1", True, [1]])
def test_timeout_must_be_a_number(factory: BusFactory, wrong: Any) -> None:
    """Anything else is a `TypeError`."""
    with pytest.raises(TypeError, match="timeout"):
        factory.bus().publish(Event("a"), timeout=wrong)
    with pytest.raises(TypeError, match="timeout"):
        factory.bus().publish_many([], timeout=wrong)


@pytest.mark.parametrize("timeout", [2**1000, float("inf"), 1e300, 0, 0.0])
def test_any_timeout_from_nothing_to_infinity_is_taken(factory: BusFactory, timeout: float) -> None:
    """Also those that no clock can represent."""
    bus = held(factory)
    assert bus.publish(Event("a"), timeout=timeout)
    assert bus.publish_many([Event("a")], timeout=timeout) == 1


@pytest.mark.parametrize("policy", BackpressurePolicy)
def test_closed_bus_refuses(factory: BusFactory, policy: BackpressurePolicy) -> None:
    """With `BusClosed`, also events without a subscription; nothing is counted or kept."""
    bus = factory.bus(policy=policy)
    bus.subscribe("a", Recorder())
    assert bus.publish(Event("a"))
    assert bus.stop()
    for event in (Event("a"), Event("nobody"), Plain()):
        with pytest.raises(BusClosed, match="bus"):
            bus.publish(event)
    for events in ([Event("a")], [Event("a"), Event("nobody")], [Event("nobody"), Event("a")]):
        with pytest.raises(BusClosed):
            bus.publish_many(events)
    assert bus.publish_many([]) == 0
    stats = bus.stats()
    assert (stats.published, stats.dropped, stats.unrouted) == (1, 0, 0)
    assert_at_rest(bus)


def test_errors_are_what_their_users_expect() -> None:
    """`QueueFull` is a `queue.Full`, `BusClosed` a `RuntimeError`, both are `BusError`s."""
    assert issubclass(QueueFull, (queue.Full,))
    assert issubclass(QueueFull, BusError)
    assert issubclass(BusClosed, RuntimeError)
    assert issubclass(BusClosed, BusError)
    assert QueueFull("full").accepted == 0
