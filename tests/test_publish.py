"""What publish routes, at which priority, how long it waits, and what it answers."""

import queue
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import HANG, Bench, Recorder

from brummerbus import (
    BackpressurePolicy,
    BusClosed,
    BusError,
    Event,
    EventBus,
    Priority,
    QueueFull,
)

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
    """Publish one event to a held bus and return the level at which it is queued."""
    before = bus.stats().queue_depth
    assert bus.publish(event, **options)
    after = bus.stats().queue_depth
    [level] = [level for level in after if after[level] > before[level]]
    return level


def held(bench: Bench, **settings: Any) -> EventBus:
    """Return a bus whose worker is held and whose events all have one subscription."""
    bus = bench.bus(**settings)
    bench.hold(bus)
    bus.subscribe(object, Recorder())
    return bus


# ---- routing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("thing", [Plain(), 5, "log.line", None, [1], {}, Plain, print, 1.5, ()])
def test_any_object_can_be_published(bench: Bench, thing: Any) -> None:
    """It is routed by its class, and the handler receives the object itself."""
    bus, recorder = bench.bus(), Recorder()
    bus.subscribe(type(thing), recorder)
    assert bus.publish(thing) is True
    assert bus.flush(HANG)
    assert recorder.events[0] is thing
    assert bus.stats().by_type[type(thing).__qualname__].processed == 1


def test_event_without_subscription_is_accepted_and_counted(bench: Bench) -> None:
    """It makes no delivery; `unrouted` counts the events."""
    bus = bench.bus()
    assert bus.publish(Event("a")) is True
    assert bus.publish(Plain()) is True
    assert bus.publish_many([Event("a"), Event("b")]) == 2
    stats = bus.stats()
    assert (stats.unrouted, stats.published) == (4, 0)


# ---- priority --------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "level"), TABLE)
def test_priorities_of_the_table(bench: Bench, name: str, level: int) -> None:
    """Each of the ten has the study's priority, whatever is unknown is medium."""
    assert level_of(held(bench), Event(name)) == level


def test_argument_outranks_class_outranks_table_outranks_medium(bench: Bench) -> None:
    """The first of the four that says something is taken."""
    bus = held(bench, priorities={"log.line": 1, "a": 3})
    assert level_of(bus, Urgent("log.line"), priority=2) == 2
    assert level_of(bus, Urgent("log.line")) == 3
    assert level_of(bus, UrgentPlain()) == 3
    assert level_of(bus, Event("log.line")) == 1
    assert level_of(bus, Event("a")) == 3
    assert level_of(bus, Event("process.started")) == 2
    assert level_of(bus, Plain()) == 2


def test_priority_of_an_event_is_not_that_of_another_of_its_type(bench: Bench) -> None:
    """An explicit priority holds for one publish."""
    bus = held(bench)
    assert level_of(bus, Event("a"), priority=1) == 1
    assert level_of(bus, Event("a"), priority=Priority.HIGH) == 3
    assert level_of(bus, Event("a")) == 2


def test_priority_of_an_instance_does_not_count(bench: Bench) -> None:
    """The class has it or has it not; a property is no priority."""
    bus = held(bench)
    assert level_of(bus, WithProperty("a")) == 2


@pytest.mark.parametrize("levels", [1, 2, 3, 8])
def test_table_entries_above_the_levels_count_as_the_top(bench: Bench, levels: int) -> None:
    """With one level priorities are off."""
    bus = held(bench, priority_levels=levels)
    assert level_of(bus, Event("process.started")) == min(3, levels)
    assert level_of(bus, Event("unknown")) == min(2, levels)
    assert level_of(bus, Urgent("a")) == min(3, levels)
    assert level_of(bus, Event("log.line")) == 1


def test_eight_levels_can_all_be_used(bench: Bench) -> None:
    """Each is a queue of its own, and the table reaches the eighth."""
    bus = held(bench, priority_levels=8, priorities={"top": 8, "over": 8})
    for level in range(1, 9):
        assert level_of(bus, Event("a"), priority=level) == level
    assert level_of(bus, Event("top")) == 8
    assert bus.depth == 9


@pytest.mark.parametrize("wrong", [0, -1, 4, 8, 2**70])
def test_explicit_priority_out_of_range_is_refused(bench: Bench, wrong: int) -> None:
    """A `ValueError` with value and range, before anything changed."""
    bus = held(bench)
    with pytest.raises(ValueError, match=rf"1 to 3.*{wrong}"):
        bus.publish(Event("a"), priority=wrong)
    with pytest.raises(ValueError, match="1 to 3"):
        bus.publish_many([Event("a")], priority=wrong)
    assert bus.depth == 0
    with pytest.raises(ValueError, match="1 to 1"):
        bench.bus(priority_levels=1).publish(Event("a"), priority=2)


@pytest.mark.parametrize("wrong", ["1", 1.0, True, [1]])
def test_explicit_priority_must_be_an_int(bench: Bench, wrong: Any) -> None:
    """Anything else is a `TypeError`."""
    with pytest.raises(TypeError, match="priority"):
        bench.bus().publish(Event("a"), priority=wrong)
    with pytest.raises(TypeError, match="priority"):
        bench.bus().publish_many([], priority=wrong)


# ---- all or none -----------------------------------------------------------------------------


def test_all_deliveries_of_an_event_are_accepted_or_none(bench: Bench) -> None:
    """An event with two deliveries does not take the last single place."""
    bus = bench.bus(queue_size=3, policy=BackpressurePolicy.DROP_NEWEST)
    gate, recorder = bench.hold(bus), Recorder()
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


# ---- publish_many ----------------------------------------------------------------------------


def numbered(count: int, name: str = "a") -> Iterator[Event]:
    return (Event(name, number) for number in range(count))


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 2000])
@pytest.mark.parametrize("subscriptions", [1, 3])
def test_publish_many_takes_all_in_order(bench: Bench, count: int, subscriptions: int) -> None:
    """From a generator, through a small queue, to each subscription in the same order."""
    bus = bench.bus(policy=BackpressurePolicy.BLOCK)
    recorders = [Recorder() for _ in range(subscriptions)]
    for recorder in recorders:
        bus.subscribe("a", recorder)
    assert bus.publish_many(numbered(count)) == count
    assert bus.flush(HANG)
    assert all(recorder.data == list(range(count)) for recorder in recorders)


def test_publish_many_counts_what_was_accepted(bench: Bench) -> None:
    """What the policy drops is not counted, what nobody subscribed to is."""
    bus = bench.bus(policy=BackpressurePolicy.DROP_NEWEST)
    gate, recorder = bench.hold(bus), Recorder()
    bus.subscribe("a", recorder)
    assert bus.publish_many([*numbered(20), Event("nobody")]) == 11
    gate.open()
    assert bus.flush(HANG)
    assert recorder.data == list(range(10))
    assert bus.stats().dropped == 10


@pytest.mark.parametrize("count", [25, 300, 1000])
def test_publish_many_says_how_many_came_before_queue_full(bench: Bench, count: int) -> None:
    """They stay accepted; those after are not tried, not counted and not kept."""
    bus = bench.bus(queue_size=count - 5, policy=BackpressurePolicy.REJECT)
    gate, recorder = bench.hold(bus), Recorder()
    bus.subscribe("a", recorder)
    assert bus.publish(Event("a", "first"))
    with pytest.raises(QueueFull) as caught:
        bus.publish_many([Event("nobody"), *numbered(count)])
    assert caught.value.accepted == count - 5
    assert bus.stats().dropped == 1
    gate.open()
    assert bus.flush(HANG)
    assert recorder.data == ["first", *range(count - 6)]
    assert not bus._table


def test_publish_many_mixes_types_priorities_and_objects(bench: Bench) -> None:
    """Each event takes its own route; a priority argument holds for all."""
    bus, recorder = bench.bus(), Recorder()
    gate = bench.hold(bus)
    bus.subscribe(object, recorder)
    bus.subscribe("log.*", recorder)
    low, high, thing = Event("log.line"), Event("process.started"), Plain()
    assert bus.publish_many([low, thing, high]) == 3
    assert bus.stats().queue_depth == {1: 2, 2: 1, 3: 1}
    assert bus.publish_many([low, thing, high], priority=3) == 3
    gate.open()
    assert bus.flush(HANG)
    assert recorder.events == [high, low, low, thing, high, thing, low, low]


def test_publish_many_passes_on_what_the_iterable_raises(bench: Bench) -> None:
    """The events before the failure are published, as in a loop of `publish`."""
    bus, recorder = bench.bus(), Recorder()
    bus.subscribe("a", recorder)

    def broken() -> Iterator[Event]:
        yield from numbered(3)
        raise KeyError("source")

    with pytest.raises(KeyError, match="source"):
        bus.publish_many(broken())
    assert bus.flush(HANG)
    assert recorder.data == [0, 1, 2]


def test_publish_many_refuses_what_is_not_iterable(bench: Bench) -> None:
    """One event is not many."""
    with pytest.raises(TypeError):
        bench.bus().publish_many(Event("a"))  # type: ignore[arg-type]


# ---- arguments and the closed bus ------------------------------------------------------------


@pytest.mark.parametrize("wrong", [-1, -0.001, float("nan"), float("-inf")])
def test_timeout_out_of_range_is_refused(bench: Bench, wrong: float) -> None:
    """A `ValueError`; nothing was published."""
    bus = held(bench)
    for call in (bus.publish, lambda event, **o: bus.publish_many([event], **o)):
        with pytest.raises(ValueError, match="timeout"):
            call(Event("a"), timeout=wrong)
    assert bus.depth == 0


@pytest.mark.parametrize("wrong", ["1", True, [1]])
def test_timeout_must_be_a_number(bench: Bench, wrong: Any) -> None:
    """Anything else is a `TypeError`."""
    with pytest.raises(TypeError, match="timeout"):
        bench.bus().publish(Event("a"), timeout=wrong)
    with pytest.raises(TypeError, match="timeout"):
        bench.bus().publish_many([], timeout=wrong)


@pytest.mark.parametrize("timeout", [2**1000, float("inf"), 1e300, 0, 0.0])
def test_any_timeout_from_nothing_to_infinity_is_taken(bench: Bench, timeout: float) -> None:
    """Also those that no clock can count."""
    bus = held(bench)
    assert bus.publish(Event("a"), timeout=timeout)
    assert bus.publish_many([Event("a")], timeout=timeout) == 1


@pytest.mark.parametrize("policy", BackpressurePolicy)
def test_closed_bus_refuses(bench: Bench, policy: BackpressurePolicy) -> None:
    """With `BusClosed`, also what nobody subscribed to; nothing is counted or kept."""
    bus = bench.bus(policy=policy)
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
    assert not bus._table


def test_errors_are_what_their_users_expect() -> None:
    """`QueueFull` is a `queue.Full`, `BusClosed` a `RuntimeError`, both are `BusError`s."""
    assert issubclass(QueueFull, (queue.Full,))
    assert issubclass(QueueFull, BusError)
    assert issubclass(BusClosed, RuntimeError)
    assert issubclass(BusClosed, BusError)
    assert QueueFull("full").accepted == 0
