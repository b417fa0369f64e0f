"""The outcome of events that are dropped, refused or run by their publisher."""

import os
import signal
import threading
from contextlib import suppress

import pytest

from brummerbus import BackpressurePolicy, BusClosed, DropReason, Event, Outcome, QueueFull
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest
from helpers.handlers import Outcomes
from helpers.outcomes import Failure, quiet_bus
from helpers.threads import InThread
from helpers.waiting import HANG, poll

POLICIES = list(BackpressurePolicy)


by_policy = pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.value)


def test_an_event_that_nobody_receives_is_done_at_once(factory: BusFactory, done: Outcomes) -> None:
    """In the publisher's thread, before `publish` returns."""
    bus = factory.bus()
    event = Event("nobody")
    threads: list[int] = []
    assert bus.publish(event, on_done=lambda outcome: threads.append(threading.get_ident()))
    assert threads == [threading.get_ident()]
    assert bus.publish(event, on_done=done, expires=1)
    assert done == [Outcome(event, 0, (), ())]
    assert bus.stats().unrouted == 2


@by_policy
@pytest.mark.parametrize("subscribers", [1, 3])
def test_an_event_without_room_ends_by_the_policy_and_once(
    factory: BusFactory, done: Outcomes, policy: BackpressurePolicy, subscribers: int
) -> None:
    """Refused or run before `publish` returns; evicted by a later one; what is left is handled."""
    bus = factory.bus(queue_size=6, policy=policy)
    gate = factory.hold(bus)
    subscriptions = [bus.subscribe("a", lambda event: None) for _ in range(subscribers)]
    rooms = 6 // subscribers
    for n in range(rooms):
        assert bus.publish(Event("a", n), on_done=done, priority=2)
    assert not done
    with suppress(QueueFull):
        bus.publish(Event("a", "new"), on_done=done, priority=2, timeout=0)
    (outcome,) = done
    reasons = {
        BackpressurePolicy.DROP_OLDEST: (0, DropReason.EVICTED),
        BackpressurePolicy.CALLER_RUNS: ("new", None),
    }
    data, reason = reasons.get(policy, ("new", DropReason.REFUSED))
    assert outcome.event.data == data
    assert outcome.failed == ()
    if reason is None:
        assert (outcome.handled, outcome.dropped) == (subscribers, ())
    else:
        assert outcome.handled == 0
        assert outcome.dropped == tuple((one, reason) for one in subscriptions)
    gate.open()
    assert bus.flush(HANG)
    assert sorted(str(outcome.event.data) for outcome in done) == sorted(
        map(str, [*range(rooms), "new"])
    )
    assert_at_rest(bus)


def test_an_event_evicted_in_part_is_done_when_the_rest_has_ended(
    factory: BusFactory, done: Outcomes
) -> None:
    """With what became of each."""
    bus = factory.bus(queue_size=3)
    gate = factory.hold(bus)
    first, second = (bus.subscribe("a", lambda event: None) for _ in range(2))
    bus.subscribe("b", lambda event: None)
    bus.publish(Event("a"), on_done=done)
    bus.publish_many([Event("b"), Event("b")])
    assert not done
    gate.open()
    assert bus.flush(HANG)
    (outcome,) = done
    assert outcome.handled == 1
    assert outcome.dropped == ((first, DropReason.EVICTED),)
    assert second.label


@pytest.mark.parametrize("drain", [True, False])
def test_what_a_stop_drops_is_done(factory: BusFactory, done: Outcomes, drain: bool) -> None:
    """Before `stop` returns."""
    bus = factory.bus()
    factory.hold(bus)
    subscription = bus.subscribe("a", lambda event: None)
    bus.publish_many([Event("a", n) for n in range(3)], on_done=done)
    assert not bus.stop(drain=drain, timeout=0)
    assert [(o.event.data, o.handled, o.failed) for o in done] == [(n, 0, ()) for n in range(3)]
    assert all(o.dropped == ((subscription, DropReason.SHUTDOWN),) for o in done)


def test_what_a_closed_bus_refuses_was_never_published(factory: BusFactory, done: Outcomes) -> None:
    """So it has no outcome: whether somebody would receive it or not, at once or from the line."""
    bus = factory.bus(queue_size=1, policy="block")
    factory.hold(bus)
    bus.subscribe("a", lambda event: None)
    bus.publish(Event("a"))
    waiting = InThread(lambda: bus.publish(Event("a"), on_done=done))
    waiting.await_waiter(bus)
    assert not bus.stop(drain=False, timeout=0)
    with pytest.raises(BusClosed):
        waiting.result()
    for kind in ("a", "nobody"):
        with pytest.raises(BusClosed):
            bus.publish(Event(kind), on_done=done)
    assert not done


def test_an_interrupted_wait_has_no_outcome(factory: BusFactory, done: Outcomes) -> None:
    """A Ctrl-C that ends it: the bus does not know the event."""
    bus = factory.bus(queue_size=1, policy="block")
    gate = factory.hold(bus)
    bus.subscribe("a", lambda event: None)
    bus.publish(Event("a"))

    def interrupt() -> None:
        poll(lambda: bus.stats().waiting == 1)
        os.kill(os.getpid(), signal.SIGINT)

    helper = InThread(interrupt)
    with pytest.raises(KeyboardInterrupt):
        bus.publish(Event("a"), on_done=done)
    helper.result()
    gate.open()
    assert_at_rest(bus)
    assert not done
    assert bus.stats().published == 2


@pytest.mark.parametrize("raised", [Failure, KeyboardInterrupt, SystemExit])
def test_handlers_that_raise_in_the_caller_are_counted_there(
    factory: BusFactory, done: Outcomes, raised: type[BaseException]
) -> None:
    """What is no `Exception` goes on to the publisher; the rest is refused, and it is done."""
    bus = quiet_bus(factory, queue_size=1, policy="caller_runs")
    gate = factory.hold(bus)
    bus.publish(Event("fill"))
    bus.subscribe("fill", lambda event: None)
    bus.publish(Event("fill"))

    def raising(event: Event) -> None:
        raise raised

    first = bus.subscribe("a", raising)
    second = bus.subscribe("a", lambda event: None)
    if raised is Failure:
        assert bus.publish(Event("a"), on_done=done)
    else:
        with pytest.raises(raised):
            bus.publish(Event("a"), on_done=done)
    (outcome,) = done
    assert [(one, type(error)) for one, error in outcome.failed] == [(first, raised)]
    goes_on = raised is not Failure
    assert outcome.handled == (0 if goes_on else 1)
    assert outcome.dropped == (((second, DropReason.REFUSED),) if goes_on else ())
    gate.open()
    assert_at_rest(bus)
