"""Many events together: as a loop of `publish`, in order, and with a count."""

from collections.abc import Iterator

import pytest

from brummerbus import BackpressurePolicy, Event, QueueFull
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest
from helpers.handlers import Recorder
from helpers.waiting import HANG


class Plain:
    pass


def numbered(count: int, name: str = "a") -> Iterator[Event]:
    return (Event(name, number) for number in range(count))


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 2000])
@pytest.mark.parametrize("subscriptions", [1, 3])
def test_publish_many_takes_all_in_order(
    factory: BusFactory, count: int, subscriptions: int
) -> None:
    """From a generator, through a small queue, to each subscription in the same order."""
    bus = factory.bus(policy=BackpressurePolicy.BLOCK)
    recorders = [Recorder() for _ in range(subscriptions)]
    for recorder in recorders:
        bus.subscribe("a", recorder)
    assert bus.publish_many(numbered(count)) == count
    assert bus.flush(HANG)
    assert all(recorder.data == list(range(count)) for recorder in recorders)


def test_publish_many_counts_what_was_accepted(factory: BusFactory) -> None:
    """What the policy drops is not counted, events without a subscription are."""
    bus = factory.bus(policy=BackpressurePolicy.DROP_NEWEST)
    gate, recorder = factory.hold(bus), Recorder()
    bus.subscribe("a", recorder)
    assert bus.publish_many([*numbered(20), Event("nobody")]) == 11
    gate.open()
    assert bus.flush(HANG)
    assert recorder.data == list(range(10))
    assert bus.stats().dropped == 10


@pytest.mark.parametrize("count", [25, 300, 1000])
def test_publish_many_says_how_many_came_before_queue_full(factory: BusFactory, count: int) -> None:
    """They stay accepted; those after are not tried, not counted and not kept."""
    bus = factory.bus(queue_size=count - 5, policy=BackpressurePolicy.REJECT)
    gate, recorder = factory.hold(bus), Recorder()
    bus.subscribe("a", recorder)
    assert bus.publish(Event("a", "first"))
    with pytest.raises(QueueFull) as caught:
        bus.publish_many([Event("nobody"), *numbered(count)])
    assert caught.value.accepted == count - 5
    assert bus.stats().dropped == 1
    gate.open()
    assert bus.flush(HANG)
    assert recorder.data == ["first", *range(count - 6)]
    assert_at_rest(bus)


def test_publish_many_mixes_types_priorities_and_objects(factory: BusFactory) -> None:
    """Each event has its own route; a priority argument applies to all."""
    bus, recorder = factory.bus(), Recorder()
    gate = factory.hold(bus)
    bus.subscribe(object, recorder)
    bus.subscribe("log.*", recorder)
    low, high, thing = Event("log.line"), Event("process.started"), Plain()
    assert bus.publish_many([low, thing, high]) == 3
    assert bus.stats().queue_depth == {1: 2, 2: 1, 3: 1}
    assert bus.publish_many([low, thing, high], priority=3) == 3
    gate.open()
    assert bus.flush(HANG)
    assert recorder.events == [high, low, low, thing, high, thing, low, low]


def test_publish_many_passes_on_what_the_iterable_raises(factory: BusFactory) -> None:
    """The events before the failure are published, as in a loop of `publish`."""
    bus, recorder = factory.bus(), Recorder()
    bus.subscribe("a", recorder)

    def broken() -> Iterator[Event]:
        yield from numbered(3)
        raise KeyError("source")

    with pytest.raises(KeyError, match="source"):
        bus.publish_many(broken())
    assert bus.flush(HANG)
    assert recorder.data == [0, 1, 2]


def test_publish_many_refuses_what_is_not_iterable(factory: BusFactory) -> None:
    """One event is not many."""
    with pytest.raises(TypeError):
        factory.bus().publish_many(Event("a"))  # type: ignore[arg-type]


def test_publish_many_takes_the_events_before_one_that_is_refused(factory: BusFactory) -> None:
    """As a loop of `publish` would; those after it are not tried."""
    bus, recorder = factory.bus(queue_size=20), Recorder()
    bus.subscribe("a", recorder)
    for some in ([*numbered(3), "a", *numbered(3)], (*numbered(3), "a"), iter([*numbered(3), "a"])):
        with pytest.raises(TypeError, match=r"did you mean Event\('a'\)"):
            bus.publish_many(some)
    assert bus.flush(HANG)
    assert recorder.data == [0, 1, 2] * 3
