"""The order in which deliveries are handled."""

import random
import threading
from itertools import chain

import pytest

from brummerbus import BackpressurePolicy, Event, EventBus
from helpers.buses import BusFactory
from helpers.handlers import Recorder
from helpers.threads import run_together
from helpers.waiting import HANG


def handled(factory: BusFactory, bus: EventBus, levels: list[int]) -> list[tuple[int, int]]:
    """Publish events at the levels to a blocked bus; the order of handling: (level, number)."""
    recorder, gate = Recorder(), factory.hold(bus)
    with bus.subscribe("a", recorder):
        for number, level in enumerate(levels):
            assert bus.publish(Event("a", (level, number)), priority=level)
    gate.open()
    assert bus.flush(HANG)
    return recorder.data


def urgent_first(levels: list[int]) -> list[tuple[int, int]]:
    return sorted(((level, n) for n, level in enumerate(levels)), key=lambda x: (-x[0], x[1]))


@pytest.mark.parametrize("levels", [1, 2, 3, 8])
def test_most_urgent_first_and_within_a_level_first_in_first_out(
    factory: BusFactory, levels: int
) -> None:
    """Over all levels, for any mixture of them."""
    mixture = random.Random(levels).choices(range(1, levels + 1), k=300)
    bus = factory.bus(queue_size=300, priority_levels=levels)
    assert handled(factory, bus, mixture) == urgent_first(mixture)


def test_order_is_kept_while_slots_are_used_again(factory: BusFactory) -> None:
    """A queue that was full and empty many times still works."""
    bus = factory.bus(queue_size=7)
    for seed in range(30):
        mixture = random.Random(seed).choices((1, 2, 3), k=7)
        assert handled(factory, bus, mixture) == urgent_first(mixture)
        assert bus.stats().processed == bus.stats().published


def test_urgent_event_overtakes_what_is_queued(factory: BusFactory) -> None:
    """It is taken next, by the first worker that is free."""
    bus, gate, recorder = factory.bus(queue_size=100), factory.gate(), Recorder()
    bus.subscribe("low", gate)
    bus.subscribe("high", recorder)
    for _ in range(50):
        bus.publish(Event("low"), priority=1)
    gate.wait_entered()
    bus.publish(Event("high"), priority=3)
    gate.let_through()
    gate.wait_entered()
    assert len(recorder.events) == 1
    assert bus.depth == 48


def test_subscriptions_of_one_event_are_served_in_their_order(factory: BusFactory) -> None:
    """With one worker, the first that subscribed is the first that is called."""
    bus, recorder = factory.bus(queue_size=20), Recorder()
    for number in range(5):
        bus.subscribe("a", lambda event, n=number: recorder(Event("x", (event.data, n))))
    for data in range(3):
        assert bus.publish(Event("a", data))
    assert bus.flush(HANG)
    assert recorder.data == [(data, n) for data in range(3) for n in range(5)]


@pytest.mark.parametrize("queue_size", [1, 2, 7, 1000])
@pytest.mark.parametrize("policy", [BackpressurePolicy.BLOCK, BackpressurePolicy.DROP_OLDEST])
def test_events_of_one_publisher_keep_their_order(
    factory: BusFactory, policy: BackpressurePolicy, queue_size: int, frequent_switches: None
) -> None:
    """With one worker, also if all publishers wait for free slots repeatedly."""
    bus = factory.bus(queue_size=queue_size, policy=policy, publish_timeout=HANG)
    recorder = Recorder()
    bus.subscribe("a", recorder)
    run_together(5, lambda n: [bus.publish(Event("a", (n, i))) for i in range(200)])
    assert bus.flush(HANG)
    for publisher in range(5):
        assert [i for n, i in recorder.data if n == publisher] == list(range(200))


@pytest.mark.parametrize("queue_size", [1, 7, 100, 1000])
def test_publish_many_and_publish_keep_a_common_order(factory: BusFactory, queue_size: int) -> None:
    """One publisher may use both, several publishers concurrently."""
    bus = factory.bus(queue_size=queue_size, policy=BackpressurePolicy.BLOCK)
    recorder = Recorder()
    bus.subscribe("a", recorder)

    def work(number: int) -> None:
        serial = iter(range(400))
        for size in (1, 30, 1, 300, 68):
            some = [Event("a", (number, next(serial))) for _ in range(size)]
            if size == 1:
                bus.publish(some[0])
            else:
                bus.publish_many(some)

    run_together(4, work)
    assert bus.flush(HANG)
    for publisher in range(4):
        assert [i for n, i in recorder.data if n == publisher] == list(range(400))


def test_two_workers_take_in_order(factory: BusFactory) -> None:
    """Handlers run concurrently, but deliveries are begun in the order of the queue."""
    bus, gate = factory.bus(workers=2, queue_size=20), factory.gate()
    hold = factory.hold(bus)
    bus.subscribe("a", gate)
    for _ in range(4):
        bus.publish(Event("a"), priority=3)
    bus.subscribe("b", Recorder())
    for _ in range(4):
        bus.publish(Event("b"), priority=2)
    hold.open()
    gate.wait_entered(2)
    assert bus.stats().queue_depth == {1: 0, 2: 4, 3: 2}


# ---- starvation ------------------------------------------------------------------------------


@pytest.mark.parametrize("monitoring", [True, False])
def test_starving_delivery_is_served_next_whatever_its_level(
    factory: BusFactory, monitoring: object
) -> None:
    """With the shortest limit all starve immediately, and the queue is first in, first out."""
    mixture = random.Random(1).choices((1, 2, 3), k=200)
    bus = factory.bus(queue_size=200, starvation_after=1e-9, monitoring=monitoring)
    expected = [(level, number) for number, level in enumerate(mixture)]
    assert handled(factory, bus, mixture) == expected


@pytest.mark.parametrize("limit", [None, 1000, 1e9])
def test_delivery_that_does_not_starve_waits_its_turn(
    factory: BusFactory, limit: float | None
) -> None:
    """Below the limit, and without one, priority is strict."""
    mixture = random.Random(2).choices((1, 2, 3), k=200)
    bus = factory.bus(queue_size=200, starvation_after=limit)
    assert handled(factory, bus, mixture) == urgent_first(mixture)


@pytest.mark.slow
def test_only_what_waited_longer_than_the_limit_is_preferred(factory: BusFactory) -> None:
    """Old ones by age, then the others by priority."""
    limit = 1.0
    bus, recorder = factory.bus(queue_size=20, starvation_after=limit), Recorder()
    gate = factory.hold(bus)
    bus.subscribe("a", recorder)
    for data, level in (("old low", 1), ("old high", 3), ("old medium", 2)):
        assert bus.publish(Event("a", data), priority=level)
    threading.Event().wait(limit * 1.1)  # the test depends on their age
    for data, level in (("new low", 1), ("new medium", 2), ("new high", 3)):
        assert bus.publish(Event("a", data), priority=level)
    gate.open()
    recorder.wait_for(6)
    old = ["old low", "old high", "old medium"]
    assert recorder.data == [*old, "new high", "new medium", "new low"]


def test_starving_level_does_not_starve_the_others(factory: BusFactory) -> None:
    """Whatever is published, everything is handled once."""
    mixture = list(chain.from_iterable((1, 3, 3) for _ in range(100)))
    bus = factory.bus(queue_size=5, starvation_after=1e-4, policy=BackpressurePolicy.BLOCK)
    recorder = Recorder()
    bus.subscribe("a", recorder)
    for number, level in enumerate(mixture):
        assert bus.publish(Event("a", number), priority=level)
    assert bus.flush(HANG)
    assert sorted(recorder.data) == list(range(300))
