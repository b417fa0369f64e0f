"""Keyed deliveries in a full queue, and at a stop."""

import pytest

from brummerbus import BackpressurePolicy, DropReason, Event, QueueFull
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest
from helpers.handlers import Drops, Recorder
from helpers.keys import ByKey, first
from helpers.threads import InThread
from helpers.waiting import poll

POLICIES = list(BackpressurePolicy)


by_policy = pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.value)


@by_policy
def test_the_policy_applies_to_keyed_deliveries_as_to_others(
    factory: BusFactory, policy: BackpressurePolicy
) -> None:
    """A full queue before a key that is held up: what is dropped is by the policy."""
    drops = Drops()
    bus = factory.bus(queue_size=4, policy=policy, on_drop=drops)
    gate, recorder = factory.hold(bus), Recorder()
    bus.subscribe("a", recorder, key=first)
    for n in range(4):
        assert bus.publish(Event("a", (n % 2, n)), priority=1 + n % 2)
    outcome: object
    try:
        outcome = bus.publish(Event("a", (0, "new")), priority=2, timeout=0)
    except QueueFull:
        outcome = "full"
    gone = {
        BackpressurePolicy.DROP_OLDEST: [0],
        BackpressurePolicy.DROP_LOWEST: [0],
    }.get(policy, ["new"])
    assert [data[1] for data in drops.data] == gone
    evicts = gone != ["new"]
    raises = policy not in (
        BackpressurePolicy.DROP_OLDEST,
        BackpressurePolicy.DROP_LOWEST,
        BackpressurePolicy.DROP_NEWEST,
    )
    assert outcome == (True if evicts else "full" if raises else False)
    reason = DropReason.EVICTED if evicts else DropReason.REFUSED
    assert {why for _, _, why in drops} == {reason}
    gate.open()
    assert_at_rest(bus)
    assert sorted(map(str, (n for _, n in recorder.data))) == sorted(
        str(n) for n in (0, 1, 2, 3, "new") if n not in gone
    )


def test_with_caller_runs_a_keyed_event_waits_instead(factory: BusFactory) -> None:
    """In place, it would overtake what is queued before it."""
    bus = factory.bus(queue_size=2, policy="caller_runs")
    gate, recorder = factory.hold(bus), Recorder()
    bus.subscribe("a", recorder, key=first)
    bus.publish_many([Event("a", (0, n)) for n in range(2)])
    waiting = InThread(lambda: bus.publish(Event("a", (0, 2))))
    waiting.await_waiter(bus)
    gate.open()
    assert waiting.result()
    assert_at_rest(bus)
    assert [n for _, n in recorder.data] == [0, 1, 2]


def test_a_stop_drains_them_in_order(factory: BusFactory) -> None:
    """With a worker that is in the midst of a key."""
    bus = factory.bus(workers=3, queue_size=100)
    gate, handler = factory.gate(), ByKey()
    handler.work = lambda event: gate(event) if event.data[1] == 0 else None  # type: ignore[method-assign]
    bus.subscribe("a", handler, key=first)
    bus.publish_many([Event("a", (0, n)) for n in range(40)])
    gate.wait_entered()
    stopping = InThread(bus.stop)
    poll(lambda: bus.closed)
    gate.open()
    assert stopping.result()
    assert handler.seen[0] == list(range(40))


def test_a_stop_that_gives_up_drops_what_waits_for_its_turn(factory: BusFactory) -> None:
    """All of it, once."""
    drops = Drops()
    bus = factory.bus(workers=2, queue_size=100, on_drop=drops)
    gate = factory.gate()
    bus.subscribe("a", gate, key=first)
    bus.publish_many([Event("a", (0, n)) for n in range(40)])
    gate.wait_entered()
    assert not bus.stop(timeout=0.01)
    assert sorted(n for _, n in drops.data) == list(range(1, 40))
    gate.open()
    assert_at_rest(bus)
