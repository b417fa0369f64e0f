"""Many keys: they are forgotten when nothing of them is queued."""

import gc
import sys
import tracemalloc

import pytest

from brummerbus import Event, EventBus
from brummerbus._core.lanes import MAX_IDLE
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest
from helpers.internals import keep_few_keys, lanes_of
from helpers.keys import ByKey, first
from helpers.threads import run_together
from helpers.waiting import HANG, poll


def test_keys_that_are_no_longer_in_use_are_forgotten(factory: BusFactory) -> None:
    """However many there were."""
    bus = factory.bus(queue_size=100, policy="block")
    subscription = bus.subscribe("a", lambda event: None, key=first)
    for n in range(20 * MAX_IDLE):
        bus.publish(Event("a", (n, 0)))
    assert_at_rest(bus)
    assert len(lanes_of(subscription)) <= 3 * MAX_IDLE


def test_keys_in_use_are_not_forgotten(factory: BusFactory) -> None:
    """Whose deliveries are queued while thousands of others come and go."""
    bus = factory.bus(workers=2, queue_size=5000)
    gate, handler = factory.gate(), ByKey()
    handler.work = lambda event: gate(event) if event.data == ("held", 0) else None  # type: ignore[method-assign]
    bus.subscribe("a", handler, key=first)
    bus.publish(Event("a", ("held", 0)))
    gate.wait_entered()
    for n in range(1, 5):
        bus.publish(Event("a", ("held", n)))
        for other in range(3 * MAX_IDLE):
            bus.publish(Event("a", ((n, other), n)), timeout=HANG)
    poll(lambda: bus.stats().queued == 4)
    assert handler.seen["held"] == [0]
    gate.open()
    assert_at_rest(bus)
    handler.assert_in_order()
    assert handler.seen["held"] == list(range(5))


@pytest.mark.slow
def test_memory_stays_where_it_is_whatever_the_number_of_keys() -> None:
    """Some bytes for each key would be a megabyte."""
    with EventBus(workers=2, queue_size=50, policy="block") as bus:
        bus.subscribe("a", lambda event: None, key="data")
        tracemalloc.start()

        def publish(start: int, times: int) -> int:
            for n in range(start, start + times):
                bus.publish(Event("a", n))
            assert bus.flush(HANG)
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        before = publish(0, 10_000)
        after = publish(10_000, 60_000)
        tracemalloc.stop()
    assert after - before < 500_000


def test_order_holds_while_the_table_of_keys_turns_over(
    factory: BusFactory, frequent_switches: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Publishers of the same keys in several threads, with a table that forgets all the time."""
    monkeypatch.setattr("brummerbus._core.lanes.MAX_IDLE", 2)
    bus = factory.bus(workers=3, queue_size=50, policy="block")
    handler = ByKey()
    subscription = bus.subscribe("a", handler, key=lambda event: event.data[0])
    keep_few_keys(bus, subscription, 2)

    def publish(number: int) -> None:
        for n in range(500):
            bus.publish(Event("a", ((n * 7 + number) % 9, n)))

    run_together(4, publish)
    assert_at_rest(bus)
    assert handler.overlaps == 0
    assert sum(map(len, handler.seen.values())) == 2000
    assert len(lanes_of(subscription)) <= 2 * 9


def test_a_subscription_that_is_cancelled_leaves_no_keys(factory: BusFactory) -> None:
    """Thousands of them may come and go."""
    bus = factory.bus(queue_size=1000)
    before = sys.getallocatedblocks()
    for n in range(300):
        with bus.subscribe("a", lambda event: None, key=first):
            bus.publish(Event("a", (n, n)))
        if n == 100:
            assert bus.flush(HANG)
            gc.collect()
            before = sys.getallocatedblocks()
    assert bus.flush(HANG)
    gc.collect()
    assert sys.getallocatedblocks() - before < 500
