"""What is reported if a stop comes between two steps of a publish, or hooks raise in it."""

import threading

import pytest

from brummerbus import (
    BackpressurePolicy,
    BusClosed,
    BusError,
    DropReason,
    Event,
    QueueFull,
    Subscription,
)
from brummerbus._core import worker_hooks
from helpers.buses import BusFactory, fill
from helpers.checks import assert_at_rest
from helpers.handlers import Drops, Recorder
from helpers.internals import workers_of
from helpers.threads import InThread
from helpers.waiting import HANG, poll


@pytest.mark.parametrize("policy", BackpressurePolicy, ids=lambda policy: policy.value)
def test_on_drop_is_not_told_of_what_was_never_published(
    factory: BusFactory, policy: BackpressurePolicy
) -> None:
    """A stop begins while the event waits for free slots, before the policy is applied."""
    drops = Drops()
    bus = factory.bus(queue_size=1, policy=policy, on_drop=drops)
    gate = factory.hold(bus)
    bus.subscribe("a", Recorder())
    fill(bus, 1)
    waiting = InThread(lambda: bus.publish(Event("a"), timeout=HANG))
    waiting.await_waiter(bus)
    stopping = InThread(lambda: bus.stop(drain=True, timeout=HANG))
    with pytest.raises(BusClosed):
        waiting.result()
    gate.open()
    assert stopping.result()
    assert drops == []
    assert bus.stats().published == 2


def test_on_drop_is_told_of_each_event_that_a_stop_discards_under_publish_many(
    factory: BusFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`publish_many` is refused while the stop has discarded, but not reported, earlier events."""
    drops = Drops()
    bus = factory.bus(queue_size=10, policy=BackpressurePolicy.BLOCK, on_drop=drops)
    gate = factory.hold(bus)
    bus.subscribe("a", Recorder())
    refused = threading.Event()
    discard = worker_hooks.discard

    def discard_and_wait(address: int) -> tuple[list[object], int]:
        discarded = discard(address)
        assert refused.wait(HANG)
        return discarded

    monkeypatch.setattr(worker_hooks, "discard", discard_and_wait)
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


@pytest.mark.parametrize("raised", [ValueError, SystemExit, KeyboardInterrupt])
def test_all_that_a_stop_drops_is_reported_though_the_hook_raises(
    factory: BusFactory, raised: type[BaseException]
) -> None:
    """More than fit into one step; nothing is left, and a BaseException is propagated."""
    reported = Drops()

    def hook(event: Event, subscription: Subscription, reason: DropReason) -> None:
        reported(event, subscription, reason)
        raise raised

    bus = factory.bus(queue_size=100, on_drop=hook)
    gate = factory.hold(bus)
    bus.subscribe("a", Recorder())
    fill(bus, 100)
    if raised is ValueError:
        assert not bus.stop(drain=False, timeout=0)
    else:
        with pytest.raises(raised):
            bus.stop(drain=False, timeout=0)
    assert reported.data == list(range(100))
    assert bus.stats().dropped == 100
    gate.open()
    assert_at_rest(bus)
    bus.stop()


def test_a_stop_drops_what_another_had_no_memory_to_drop(
    factory: BusFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither that stop nor the workers could; a later one must not wait for it for ever."""
    drops = Drops()
    bus = factory.bus(queue_size=10, on_drop=drops)
    gate = factory.hold(bus)
    bus.subscribe("a", Recorder())
    fill(bus, 5)

    def no_memory(address: int) -> tuple[list[object], int]:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(worker_hooks, "discard", no_memory)
        with pytest.raises(MemoryError):
            bus.stop(drain=False, timeout=0)
        gate.open()
        for thread in workers_of(bus):
            thread.join(HANG)
    assert bus.stats().queued == 5
    bus.stop()
    assert drops.data == list(range(5))
    assert_at_rest(bus)


@pytest.mark.parametrize("reserve", [0, 10])
def test_a_hook_of_a_worker_is_inside_the_handler_that_it_reports(
    factory: BusFactory, reserve: int
) -> None:
    """It has the reserve, is accepted while the bus drains, and never waits for its own worker."""
    outcomes: list[object] = []
    stopping = threading.Event()

    def hook(event: Event, subscription: Subscription, error: BaseException) -> None:
        assert stopping.wait(HANG)
        poll(lambda: bus.closed)
        for call in (lambda: bus.publish(Event("a")), bus.flush):
            try:
                outcomes.append(call())
            except BusError as raised:
                outcomes.append(type(raised))

    bus = factory.bus(
        queue_size=1, policy=BackpressurePolicy.BLOCK, handler_reserve=reserve, on_error=hook
    )
    seen = Recorder()
    bus.subscribe("a", seen)
    bus.subscribe("fails", int)
    assert bus.publish(Event("fails"))
    poll(lambda: bus.depth == 0)
    assert bus.publish(Event("a"))
    stopping.set()
    assert bus.stop(timeout=HANG)
    assert outcomes == [True if reserve else QueueFull, BusError]
    assert len(seen.events) == (2 if reserve else 1)
