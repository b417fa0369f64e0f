"""`subscribe(..., once=True)`: exactly one event, and then the subscription has ended."""

import os
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, Event, EventBus, QueueFull, Retry
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest
from helpers.handlers import Outcomes, Recorder
from helpers.internals import subscriptions_of
from helpers.processes import in_child
from helpers.threads import InThread, run_together
from helpers.waiting import HANG

POLICIES = list(BackpressurePolicy)


def test_it_receives_the_first_event_only(factory: BusFactory) -> None:
    """Plainly published, or with options; others receive all."""
    bus = factory.bus(queue_size=100)
    once, always = Recorder(), Recorder()
    bus.subscribe("a", once, once=True)
    bus.subscribe("a", always)
    for n in range(5):
        assert bus.publish(Event("a", n))
    assert_at_rest(bus)
    assert once.data == [0]
    assert always.data == list(range(5))
    assert len(subscriptions_of(bus)) == 1
    assert bus.stats().published == 6


@pytest.mark.parametrize("event_type", ["a", "a*", Event, object], ids=str)
def test_whatever_it_was_subscribed_to(factory: BusFactory, event_type: Any) -> None:
    """A string, a glob, a class; by `publish_many`, too."""
    bus, once = factory.bus(queue_size=100), Recorder()
    bus.subscribe(event_type, once, once=True)
    assert bus.publish_many([Event("a", n) for n in range(5)]) == 5
    assert_at_rest(bus)
    assert once.data == [0]


def test_once_for_each_subscription(factory: BusFactory) -> None:
    """Several of them, beside each other and one after the other."""
    bus, recorder = factory.bus(queue_size=100), Recorder()
    for _ in range(3):
        bus.subscribe("a", recorder, once=True)
    bus.publish(Event("a", 1))
    bus.publish(Event("a", 2))
    bus.subscribe("a", recorder, once=True)
    bus.publish(Event("a", 3))
    bus.publish(Event("a", 4))
    assert_at_rest(bus)
    assert recorder.data == [1, 1, 1, 3]
    assert bus.stats().unrouted == 2


def test_on_takes_it_too(factory: BusFactory) -> None:
    """Once for each of the types."""
    bus, seen = factory.bus(queue_size=100), []

    @bus.on("a", "b", once=True)
    def handler(event: Event) -> None:
        seen.append(event.type)

    for kind in "aabb":
        bus.publish(Event(kind))
    assert_at_rest(bus)
    assert seen == ["a", "b"]


def test_of_events_published_at_the_same_moment_it_receives_one(
    factory: BusFactory, frequent_switches: None
) -> None:
    """The thread that is first; each of the others is published as if it were not there."""
    for _ in range(30):
        bus, once, always = factory.bus(workers=2, queue_size=1000), Recorder(), Recorder()
        bus.subscribe("a", once, once=True)
        bus.subscribe("a", always)
        run_together(4, lambda number, bus=bus: [bus.publish(Event("a", n)) for n in range(5)])
        assert_at_rest(bus)
        assert len(once.events) == 1
        assert len(always.events) == 20
        assert bus.stats().published == 21
        assert bus.stop()


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.value)
def test_a_refused_event_leaves_it_to_the_next(
    factory: BusFactory, policy: BackpressurePolicy
) -> None:
    """Whatever the policy: it receives one that was accepted."""
    bus = factory.bus(queue_size=2, policy=policy)
    gate, once = factory.hold(bus), Recorder()
    bus.subscribe("fill", lambda event: None)
    subscription = bus.subscribe("a", once, once=True)
    bus.publish_many([Event("fill")] * 2, priority=3)
    for n in range(3):
        if policy is BackpressurePolicy.CALLER_RUNS:
            break
        assert not offer_for(bus, Event("a", n), 0, priority=1)
        assert not subscription.is_taken
    gate.open()
    assert bus.flush(HANG)
    assert bus.publish(Event("a", "accepted"))
    assert bus.publish(Event("a", "later"))
    assert_at_rest(bus)
    assert once.data == ["accepted"]
    assert subscription.is_taken


def test_run_in_the_caller_it_has_had_its_event(factory: BusFactory) -> None:
    """The handler may publish the same there, and does not get it."""
    bus = factory.bus(queue_size=1, policy="caller_runs")
    gate = factory.hold(bus)
    bus.subscribe("fill", lambda event: None)
    bus.publish(Event("fill"))
    seen: list[Any] = []

    def handler(event: Event) -> None:
        seen.append(event.data)
        bus.publish(Event("a", "inner"))

    bus.subscribe("a", handler, once=True)
    assert bus.publish(Event("a", "outer"))
    gate.open()
    assert_at_rest(bus)
    assert seen == ["outer"]


def test_while_a_publisher_waits_with_it_others_pass(factory: BusFactory) -> None:
    """If that one gives up, the next one has it."""
    bus = factory.bus(queue_size=1, policy="block")
    gate, once = factory.hold(bus), Recorder()
    bus.subscribe("fill", lambda event: None)
    bus.publish(Event("fill"))
    bus.subscribe("a", once, once=True)
    waiting = InThread(lambda: offer_for(bus, Event("a", 1), 0.3))
    waiting.await_waiter(bus)
    assert bus.publish(Event("a", 2))  # nobody else receives it
    assert not waiting.result()
    gate.open()
    assert bus.flush(HANG)
    assert bus.publish(Event("a", 3))
    assert_at_rest(bus)
    assert once.data == [3]


def offer_for(bus: EventBus, event: Event, seconds: float, **options: int) -> bool:
    """Publish with a time-out, and say whether it was accepted."""
    try:
        return bus.publish(event, timeout=seconds, **options)
    except QueueFull:
        return False


def test_an_evicted_event_was_its_event(factory: BusFactory) -> None:
    """It was accepted; the bus keeps nothing back."""
    done = Outcomes()
    bus = factory.bus(queue_size=1)
    gate, once = factory.hold(bus), Recorder()
    bus.subscribe("b", lambda event: None)
    bus.subscribe("a", once, once=True)
    bus.publish(Event("a", 1), on_done=done)
    bus.publish(Event("b"))
    assert done[0].dropped
    bus.publish(Event("a", 2))
    gate.open()
    assert_at_rest(bus)
    assert once.events == []
    assert bus.stats().unrouted == 1


def test_an_event_with_a_bad_key_leaves_it_to_the_next(factory: BusFactory) -> None:
    """Also while the exception is kept."""
    bus, once, kept = factory.bus(queue_size=10), Recorder(), []
    bus.subscribe("a", once, once=True, key=lambda event: 1 // event.data)
    with pytest.raises(ZeroDivisionError) as raised:
        bus.publish(Event("a", 0))
    kept.append(raised)
    bus.publish(Event("a", 1))
    bus.publish(Event("a", 2))
    assert_at_rest(bus)
    assert once.data == [1]


def test_one_that_fails_is_tried_again_with_the_same_event(factory: BusFactory) -> None:
    """If it has retries."""
    bus, calls = factory.bus(queue_size=10), []

    def handler(event: Event) -> None:
        calls.append(event.data)
        if len(calls) < 3:
            raise Retry(after=0)

    bus.subscribe("a", handler, once=True, retries=2)
    bus.publish(Event("a", 1))
    bus.publish(Event("a", 2))
    assert_at_rest(bus)
    assert calls == [1, 1, 1]


def test_in_a_batch_it_is_one(factory: BusFactory) -> None:
    """A list of one."""
    bus, batches = factory.bus(queue_size=10), []
    gate = factory.hold(bus)
    bus.subscribe("a", lambda events: batches.append([e.data for e in events]), once=True, batch=5)
    bus.publish_many([Event("a", n) for n in range(3)])
    gate.open()
    assert_at_rest(bus)
    assert batches == [[0]]


def test_it_can_be_cancelled_before_and_after(factory: BusFactory) -> None:
    """As any other."""
    bus, once = factory.bus(), Recorder()
    bus.subscribe("a", once, once=True).cancel()
    bus.publish(Event("a", 1))
    subscription = bus.subscribe("a", once, once=True)
    bus.publish(Event("a", 2))
    subscription.cancel()
    assert_at_rest(bus)
    assert once.data == [2]


def test_a_handler_can_subscribe_again(factory: BusFactory) -> None:
    """The next event is the next one's."""
    bus, seen = factory.bus(), []

    def handler(event: Event) -> None:
        seen.append(event.data)
        bus.subscribe("a", handler, once=True)

    bus.subscribe("a", handler, once=True)
    for n in range(3):
        bus.publish(Event("a", n))
        assert bus.flush(HANG)
    assert seen == [0, 1, 2]
    assert len(subscriptions_of(bus)) == 1


def test_one_that_publishes_while_it_is_claimed_is_passed_over(factory: BusFactory) -> None:
    """A key whose computation publishes the same type: the outer event has it."""
    bus, once, always = factory.bus(queue_size=10), Recorder(), Recorder()

    def key(event: Event) -> int:
        if event.data == "outer":
            bus.publish(Event("a", "inner"))
        return 0

    bus.subscribe("a", once, once=True, key=key)
    bus.subscribe("a", always)
    bus.publish(Event("a", "outer"))
    assert_at_rest(bus)
    assert once.data == ["outer"]
    assert always.data == ["inner", "outer"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_the_child_of_a_fork_has_one_of_its_own(factory: BusFactory) -> None:
    """Also if a publisher of the parent waited with it just then."""
    bus = factory.bus(queue_size=1, policy="block")
    gate, once = factory.hold(bus), Recorder()
    bus.subscribe("fill", lambda event: None)
    bus.publish(Event("fill"))
    bus.subscribe("a", once, once=True)
    waiting = InThread(lambda: bus.publish(Event("a", "parent")))
    waiting.await_waiter(bus)

    def child() -> None:
        bus.publish(Event("a", "child"))
        bus.publish(Event("a", "later"))
        assert bus.flush(HANG)
        assert once.data == ["child"]

    assert in_child(child) == 0
    gate.open()
    assert waiting.result()
    assert_at_rest(bus)
    assert once.data == ["parent"]


@pytest.mark.parametrize("bad", [1, "yes", None])
def test_what_is_neither_true_nor_false_is_refused(factory: BusFactory, bad: Any) -> None:
    """The message names the option."""
    bus = factory.bus()
    with pytest.raises(TypeError, match="once"):
        bus.subscribe("a", print, once=bad)


def test_thousands_leave_nothing(factory: BusFactory) -> None:
    """No subscription, no route."""
    bus = factory.bus(queue_size=10, policy="block")
    recorder = Recorder()
    for n in range(2000):
        bus.subscribe("a", recorder, once=True)
        bus.publish(Event("a", n))
    recorder.wait_for(2000)
    assert len(subscriptions_of(bus)) == 0
