"""Who is told of what, where a stop comes between two steps of a publish: found by chaos."""

import threading
from typing import Any

import pytest
from conftest import HANG, Bench, Drops, InThread, Recorder, poll

from brummerbus import BackpressurePolicy, BusClosed, Event
from brummerbus.ring import Ring


def test_on_drop_is_not_told_of_what_was_never_published(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop begins after the event found no room, and before the policy decides on it."""
    drops = Drops()
    bus = bench.bus(queue_size=1, policy=BackpressurePolicy.DROP_NEWEST, on_drop=drops)
    bench.hold(bus)
    bus.subscribe("a", Recorder())
    assert bus.publish(Event("a"))
    offer = Ring.offer

    def stop_and_offer(ring: Ring, handle: int, mode: int, out: Any) -> int:
        ring.close(drain=True, deadline=HANG)
        return offer(ring, handle, mode, out)

    monkeypatch.setattr(Ring, "offer", stop_and_offer)
    with pytest.raises(BusClosed):
        bus.publish(Event("a"))
    assert drops == []
    assert bus.stats().dropped == 0


def test_on_drop_is_told_of_each_event_that_a_stop_discards_under_publish_many(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`publish_many` is refused when the stop has the accepted events, and has not told of them."""
    drops = Drops()
    bus = bench.bus(queue_size=10, policy=BackpressurePolicy.BLOCK, on_drop=drops)
    gate = bench.hold(bus)
    bus.subscribe("a", Recorder())
    refused = threading.Event()
    discard = Ring.discard

    def discard_and_wait(ring: Ring, out: Any) -> int:
        discarded = discard(ring, out)
        assert refused.wait(HANG)
        return discarded

    monkeypatch.setattr(Ring, "discard", discard_and_wait)
    publisher = InThread(lambda: bus.publish_many([Event("a", i) for i in range(20)]))
    poll(lambda: bus.depth == 10)
    stopper = InThread(lambda: bus.stop(drain=False, timeout=0))
    with pytest.raises(BusClosed):
        publisher.result()
    refused.set()
    stopper.result()
    gate.open()
    assert drops.data == list(range(10))
    assert bus.stats().dropped == 10
