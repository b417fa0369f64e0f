"""What comes again, and how often it is handled: copies, poison, drops, slow handlers."""

from dataclasses import replace

import pytest

from brummerbus import Event
from helpers.buses import BusFactory
from helpers.handlers import Recorder
from helpers.waiting import pause, poll
from relay.scene import QUICK, Scene, foreign, publish_all, scene

pytestmark = pytest.mark.slow  # tests here take a second and more

__all__ = ["scene"]


@pytest.mark.slow
def test_a_slow_consumer_lags_at_the_broker_and_nothing_is_delivered_twice(
    scene: Scene, factory: BusFactory
) -> None:
    here = factory.bus(queue_size=100)
    there = factory.bus(workers=1, queue_size=5)
    gate, got = factory.gate(), Recorder()
    there.subscribe("t", gate)
    there.subscribe("t", got)
    receiver = scene.relay(there, receive=["t"])
    sender = scene.relay(here, send=["t"])
    publish_all(here, "t", range(50))
    poll(lambda: sender.stats().acked == 50)
    gate.wait_entered()
    poll(lambda: (receiver.stats().lag or 0) >= 40)
    pause(1.3 * QUICK.ack_wait)  # nothing must come again, however long the handler takes
    stats = receiver.stats()
    assert stats.in_flight <= 6
    assert there.depth <= 5
    assert (stats.duplicates, stats.redeliver, stats.handled) == (0, 0, 0)
    assert (stats.lag or 0) >= 40
    gate.open()
    got.wait_for(50)
    poll(lambda: receiver.stats().handled == 50)
    assert got.data == list(range(50))
    assert receiver.stats().duplicates == 0  # it would have come now
    poll(lambda: receiver.stats().lag == 0)


def test_copies_of_an_event_are_handled_once(scene: Scene, factory: BusFactory) -> None:
    here, there = factory.bus(), factory.bus(queue_size=100)
    got = Recorder()
    there.subscribe("t.x", got)
    receiver = scene.relay(there, receive=["t.x"])
    sender = scene.relay(here, send=["t.x"])
    event = Event("t.x", "same")
    for _ in range(3):
        here.publish(event)
    poll(lambda: sender.stats().acked == 3)
    for copy in range(3):
        scene.inject(*[foreign(number, copy=copy) for number in range(5)])
        poll(lambda: receiver.stats().handled == 6)
    scene.inject(foreign(99))
    poll(lambda: receiver.stats().handled == 7)
    assert got.data == ["same", 0, 1, 2, 3, 4, 99]
    assert receiver.stats().duplicates >= 10


def test_a_copy_of_an_event_in_hand_is_not_published(scene: Scene, factory: BusFactory) -> None:
    there = factory.bus(workers=2)
    gate = factory.gate()
    there.subscribe("t.x", gate)
    receiver = scene.relay(there, receive=["t.x"])
    scene.inject(foreign(1))
    gate.wait_entered()
    scene.inject(foreign(1, copy=1))
    poll(lambda: receiver.stats().duplicates == 1)
    gate.open()
    poll(lambda: receiver.stats().handled == 1)
    assert there.stats().published == 1


def test_poison_becomes_a_dead_letter_and_holds_nobody_up(
    scene: Scene, factory: BusFactory
) -> None:
    there = factory.bus(queue_size=100, on_error=lambda event, subscription, error: None)
    got, tries = Recorder(), []

    def handle(event: Event) -> None:
        if event.data == 3:
            tries.append(event)
            raise ValueError("poison")
        got(event)

    there.subscribe("t.x", handle)
    receiver = scene.relay(there, receive=["t.x"])
    scene.inject(*map(foreign, range(10)))
    got.wait_for(9)
    poll(lambda: receiver.stats().dead == 1)
    assert got.data == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert len(tries) == 5
    stats = receiver.stats()
    assert (stats.handled, stats.redeliver, stats.in_flight) == (9, 4, 0)
    (error,) = scene.errors
    assert "dead letter" in str(error)
    assert "ValueError: poison" in str(error)


def test_a_dead_letter_that_is_too_large_with_its_reason_goes_without_its_data(
    scene: Scene, factory: BusFactory
) -> None:
    """Redis has no such limit; there it has all."""
    there = factory.bus(on_error=lambda event, subscription, error: None)

    def fail(event: Event) -> None:
        raise ValueError("x" * 500)

    there.subscribe("t.x", fail)
    receiver = scene.relay(there, receive=["t.x"])
    large = foreign(1)
    body = b'"%s"' % (b"x" * ((1 << 20) - 400))
    scene.inject(replace(large, body=body))
    poll(lambda: receiver.stats().dead == 1)
    stats = receiver.stats()
    assert (stats.redeliver, stats.in_flight) == (4, 0)
    (error,) = scene.errors
    assert "became a dead letter" in str(error)


def test_what_the_bus_drops_is_delivered_again(scene: Scene, factory: BusFactory) -> None:
    there = factory.bus(workers=1, queue_size=4, policy="drop_oldest")
    gate, got = factory.gate(), Recorder()
    there.subscribe("hold", gate)
    there.subscribe("t.x", got)
    receiver = scene.relay(there, receive=["t.x"])
    there.publish(Event("hold"))
    gate.wait_entered()
    scene.inject(foreign(1), foreign(2))
    poll(lambda: there.depth == 2)
    for _ in range(4):  # evicts both
        assert there.publish(Event("hold"), timeout=0)
    poll(lambda: receiver.stats().redeliver >= 2)
    gate.open()
    got.wait_for(2)
    assert sorted(got.data) == [1, 2]
    poll(lambda: receiver.stats().handled == 2)
