"""How long publish waits for free slots: its timeout at most, and once per congestion episode."""

from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, BusClosed, Event, EventBus, QueueFull
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest
from helpers.handlers import Gate, Recorder
from helpers.threads import InThread, run_together
from helpers.waiting import HANG

REFUSING = [BackpressurePolicy.DROP_NEWEST, BackpressurePolicy.REJECT]
WAIT = 0.3
"""A publish_timeout that can be distinguished from no wait."""


def brim(factory: BusFactory, **settings: Any) -> tuple[EventBus, Gate]:
    """Return a bus whose workers are blocked and whose queue is full of events of the type `a`."""
    bus = factory.bus(**{"queue_size": 2, "policy": BackpressurePolicy.REJECT, **settings})
    gate = factory.hold(bus)
    bus.subscribe("a", gate)
    for _ in range(bus.config.queue_size):
        assert bus.publish(Event("a"))
    return bus, gate


def took(call: Callable[[], object]) -> float:
    """Return the duration of a call that may find too few slots."""
    began = monotonic()
    with suppress(QueueFull):
        call()
    return monotonic() - began


def test_publish_that_finds_room_does_not_wait(factory: BusFactory) -> None:
    """However long the timeout."""
    bus = factory.bus(publish_timeout=HANG)
    bus.subscribe("a", Recorder())
    assert bus.publish(Event("a"))
    assert bus.publish(Event("a"), timeout=HANG)


@pytest.mark.parametrize("policy", BackpressurePolicy)
@pytest.mark.parametrize("explicit", [True, False], ids=["explicit", "configured"])
def test_publish_waits_for_room(
    factory: BusFactory, policy: BackpressurePolicy, explicit: Any
) -> None:
    """It sleeps until a worker frees a slot, and then nothing is evicted."""
    bus, gate = brim(factory, policy=policy, publish_timeout=0 if explicit else HANG)
    options = {"timeout": HANG} if explicit else {}
    call = InThread(lambda: bus.publish(Event("a"), **options))
    call.await_waiter(bus)
    gate.let_through()
    assert call.result() is True
    stats = bus.stats()
    assert (stats.queued, stats.dropped) == (2, 0)


def test_publish_many_waits_for_room(factory: BusFactory) -> None:
    """Each event of the batch waits in turn."""
    bus, gate = brim(factory, publish_timeout=HANG)
    call = InThread(lambda: bus.publish_many(Event("a") for _ in range(20)))
    call.await_waiter(bus)
    gate.open()
    assert call.result() == 20
    assert bus.flush(HANG)
    assert bus.stats().processed == 23


def test_publisher_with_many_deliveries_gets_all_its_room(factory: BusFactory) -> None:
    """Publishers after it in the wait queue do not take them away one by one."""
    bus, gate = brim(factory, queue_size=3, publish_timeout=HANG)
    recorder = Recorder()
    for _ in range(3):
        bus.subscribe("wide", recorder)
    wide = InThread(lambda: bus.publish(Event("wide")))
    wide.await_waiter(bus)
    gate.let_through()
    gate.wait_entered()
    narrow = InThread(lambda: bus.publish(Event("a")))
    narrow.await_waiter(bus, 2)
    gate.let_through()
    gate.wait_entered()
    assert bus.depth == 1
    gate.open()
    assert wide.result() is True
    assert narrow.result() is True
    assert bus.flush(HANG)
    assert len(recorder.events) == 3


def test_line_is_first_come_first_served(factory: BusFactory) -> None:
    """Publishers are admitted in the order in which they began to wait."""
    bus, gate = brim(factory, queue_size=1, publish_timeout=HANG)
    recorder = Recorder()
    bus.subscribe("b", recorder)
    calls = []
    for number in range(6):
        calls.append(InThread(lambda n=number: bus.publish(Event("b", n))))
        calls[-1].await_waiter(bus, len(calls))
    gate.open()
    assert all(call.result() for call in calls)
    assert bus.flush(HANG)
    assert recorder.data == list(range(6))


@pytest.mark.parametrize("policy", REFUSING)
@pytest.mark.parametrize("explicit", [True, False], ids=["explicit", "configured"])
def test_publish_without_room_waits_its_timeout(
    factory: BusFactory, policy: BackpressurePolicy, explicit: Any
) -> None:
    """Not less; then the policy applies."""
    bus, _ = brim(factory, policy=policy, publish_timeout=HANG if explicit else WAIT)
    options = {"timeout": WAIT} if explicit else {}
    assert took(lambda: bus.publish(Event("a"), **options)) >= WAIT * 0.99
    assert bus.stats().dropped == 1


@pytest.mark.parametrize("policy", REFUSING)
def test_stuck_handlers_cost_one_wait_and_not_one_an_event(
    factory: BusFactory, policy: BackpressurePolicy
) -> None:
    """After a wait that timed out, further publishes of any thread apply the policy immediately."""
    bus, _ = brim(factory, policy=policy, publish_timeout=WAIT)
    took(lambda: bus.publish(Event("a")))
    assert sum(took(lambda: bus.publish(Event("a"))) for _ in range(200)) < 200 * WAIT / 10
    began = monotonic()
    run_together(8, lambda _: [took(lambda: bus.publish(Event("a"))) for _ in range(100)])
    assert monotonic() - began < 100 * WAIT / 2
    assert bus.stats().dropped == 1001


def test_publish_many_into_a_stuck_bus_costs_one_wait(factory: BusFactory) -> None:
    """Not one for each of its events."""
    bus, _ = brim(factory, policy=BackpressurePolicy.DROP_NEWEST, publish_timeout=WAIT)
    elapsed = took(lambda: bus.publish_many(Event("a") for _ in range(200)))
    assert WAIT * 0.99 <= elapsed < 200 * WAIT / 10


@pytest.mark.parametrize("policy", [BackpressurePolicy.DROP_OLDEST, BackpressurePolicy.DROP_LOWEST])
def test_room_made_by_eviction_does_not_end_a_congestion(
    factory: BusFactory, policy: BackpressurePolicy
) -> None:
    """Only a worker that takes shows that waiting makes sense again."""
    bus, _ = brim(factory, policy=policy, publish_timeout=WAIT, queue_size=100)
    bus.subscribe("urgent", Recorder())
    began = monotonic()
    for _ in range(50):
        assert bus.publish(Event("urgent"), priority=3)
    assert WAIT * 0.99 <= monotonic() - began < 50 * WAIT / 2
    assert bus.stats().dropped == 50


def test_wait_is_paid_again_after_a_worker_has_freed_a_place(factory: BusFactory) -> None:
    """Each congestion episode costs its own wait."""
    bus, gate = brim(factory, publish_timeout=WAIT)
    for _ in range(2):
        assert took(lambda: bus.publish(Event("a"))) >= WAIT * 0.99
        gate.let_through()
        gate.wait_entered()
        assert bus.publish(Event("a"))


def test_wait_that_was_rewarded_starts_no_congestion(factory: BusFactory) -> None:
    """The next publish waits as well."""
    bus, gate = brim(factory, publish_timeout=HANG)
    for _ in range(3):
        call = InThread(lambda: bus.publish(Event("a")))
        call.await_waiter(bus)
        gate.let_through()
        assert call.result() is True


def test_timeout_of_0_starts_no_congestion(factory: BusFactory) -> None:
    """A publisher that did not wait does not prevent others from waiting."""
    bus, gate = brim(factory, publish_timeout=HANG)
    with pytest.raises(QueueFull):
        bus.publish(Event("a"), timeout=0)
    call = InThread(lambda: bus.publish(Event("a")))
    call.await_waiter(bus)
    gate.let_through()
    assert call.result() is True


def test_explicit_timeout_is_waited_also_in_a_congestion(factory: BusFactory) -> None:
    """It is a plain upper bound: waits of others that timed out do not make it shorter."""
    bus, gate = brim(factory, publish_timeout=WAIT / 10)
    took(lambda: bus.publish(Event("a")))
    for _ in range(2):
        assert took(lambda: bus.publish(Event("a"), timeout=WAIT)) >= WAIT * 0.99
    call = InThread(lambda: bus.publish(Event("a"), timeout=HANG))
    call.await_waiter(bus)
    gate.let_through()
    assert call.result() is True


def test_explicit_timeout_in_vain_starts_no_congestion(factory: BusFactory) -> None:
    """The limit of one publisher says nothing about whether workers take."""
    bus, gate = brim(factory, publish_timeout=HANG)
    with pytest.raises(QueueFull):
        bus.publish(Event("a"), timeout=0.01)
    call = InThread(lambda: bus.publish(Event("a")))
    call.await_waiter(bus)
    gate.let_through()
    assert call.result() is True


def test_explicit_timeout_longer_than_the_standstill_outlasts_it(factory: BusFactory) -> None:
    """`publish_timeout` ends only waits without their own limit."""
    bus, gate = brim(factory, publish_timeout=0.01)
    patient = InThread(lambda: bus.publish(Event("a"), timeout=HANG))
    patient.await_waiter(bus)
    with pytest.raises(QueueFull):
        bus.publish(Event("a"))
    gate.let_through()
    assert patient.result() is True


@pytest.mark.parametrize("policy", [*REFUSING, BackpressurePolicy.DROP_OLDEST])
def test_publish_timeout_of_0_never_waits(factory: BusFactory, policy: BackpressurePolicy) -> None:
    """A thousand publishes into a stuck bus return; so do those with a timeout of 0."""
    bus, _ = brim(factory, policy=policy, publish_timeout=0)
    patient, _ = brim(factory, policy=policy, publish_timeout=HANG)
    began = monotonic()
    for _ in range(1000):
        took(lambda: bus.publish(Event("a")) and policy is not BackpressurePolicy.DROP_OLDEST)
        took(
            lambda: (
                patient.publish(Event("a"), timeout=0)
                and policy is not BackpressurePolicy.DROP_OLDEST
            )
        )
    assert monotonic() - began < HANG
    assert bus.stats().dropped == patient.stats().dropped == 1000


@pytest.mark.parametrize("publishers", [1, 5])
def test_slow_handlers_pace_the_publisher(factory: BusFactory, publishers: int) -> None:
    """Handlers slower than publishers, but faster than the timeout, lose nothing by default."""
    bus = factory.bus(publish_timeout=HANG / 3, policy=BackpressurePolicy.DROP_OLDEST, queue_size=4)
    recorder = Recorder()

    def slow(event: Event) -> None:
        recorder(event)
        sum(range(10_000))

    bus.subscribe("a", slow)
    run_together(publishers, lambda n: [bus.publish(Event("a", (n, i))) for i in range(100)])
    assert bus.flush(HANG)
    assert bus.stats().dropped == 0
    assert len(set(recorder.data)) == len(recorder.data) == publishers * 100


def test_publisher_in_line_is_told_that_the_bus_closes(factory: BusFactory) -> None:
    """It was never published: `BusClosed`, not counted, not kept."""
    bus, gate = brim(factory, policy=BackpressurePolicy.BLOCK)
    calls = [InThread(lambda: bus.publish(Event("a"))) for _ in range(3)]
    for call in calls:
        call.await_waiter(bus)
    stop = InThread(lambda: bus.stop(timeout=HANG))
    for call in calls:
        with pytest.raises(BusClosed):
            call.result()
    gate.open()
    assert stop.result() is True
    stats = bus.stats()
    assert (stats.published, stats.processed, stats.dropped) == (3, 3, 0)
    assert_at_rest(bus)
