"""A delivery that has not begun in time is dropped."""

import threading
from typing import Any

import pytest

from brummerbus import DropReason, Event
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest, assert_balance
from helpers.expiring import KINDS, Scene, of_each_kind
from helpers.handlers import Drops, Outcomes
from helpers.threads import InThread, run_together
from helpers.waiting import HANG, pause, poll

EXPIRED = DropReason.EXPIRED


AT_ONCE = 1e-9
"""Seconds; whatever is looked at later has expired."""


LONG = 1000.0
"""Seconds; no test takes so long."""


@of_each_kind
def test_a_delivery_that_has_not_begun_in_time_is_dropped(
    factory: BusFactory, options: dict[str, Any]
) -> None:
    """By reason and level, reported to `on_drop` and to `on_done`; the others are handled."""
    scene, done = Scene(factory, options), Outcomes()
    assert scene.publish(1, expires=AT_ONCE, on_done=done, priority=2) == [True]
    assert scene.publish(2, expires=LONG, on_done=done) == [True]
    assert scene.publish(3) == [True]
    assert scene.bus.depth == 3
    assert scene.finish() == [2, 3]
    (drop,) = scene.drops
    assert (drop[0].data, drop[1], drop[2]) == (1, scene.subscription, EXPIRED)
    stats = scene.bus.stats()
    assert stats.dropped_by[EXPIRED] == {1: 0, 2: 1, 3: 0}
    assert stats.as_dict()["dropped_by"]["expired"]["2"] == 1
    by_data = {outcome.event.data: outcome for outcome in done}
    assert by_data[1].dropped == ((scene.subscription, EXPIRED),)
    assert (by_data[1].handled, by_data[2].handled) == (0, 1)


def test_it_is_the_wait_that_counts_and_not_the_run(factory: BusFactory) -> None:
    """A handler that has begun in time may take as long as it likes."""
    bus, gate, done = factory.bus(), factory.gate(), Outcomes()
    bus.subscribe("a", gate)
    bus.publish(Event("a"), expires=0.5, on_done=done)
    gate.wait_entered()
    pause(0.6)
    gate.open()
    done.wait_for(1)
    assert (done[0].handled, done[0].dropped) == (1, ())


def test_each_delivery_expires_for_itself(factory: BusFactory) -> None:
    """One subscription has begun in time, another has not."""
    bus, done = factory.bus(workers=1), Outcomes()
    gate = factory.gate()
    bus.subscribe("a", gate)
    late = bus.subscribe("a", lambda event: None)
    bus.publish(Event("a"), expires=0.2, on_done=done)
    gate.wait_entered()
    pause(0.3)
    gate.open()
    done.wait_for(1)
    assert (done[0].handled, done[0].dropped) == (1, ((late, EXPIRED),))
    assert bus.flush(HANG)


def test_flush_waits_until_the_drop_was_reported(factory: BusFactory) -> None:
    """Nothing is queued any more, but its worker still calls the hook."""
    gate = factory.gate()
    bus = factory.bus(on_drop=lambda event, subscription, reason: gate(event))
    held = factory.hold(bus)
    bus.subscribe("a", lambda event: None)
    bus.publish(Event("a"), expires=AT_ONCE)
    held.open()
    gate.wait_entered()
    assert bus.depth == 0
    assert not bus.flush(0)
    assert not bus.barrier(0)
    gate.open()
    assert bus.flush(HANG)


def test_publish_many_gives_each_event_its_time(factory: BusFactory) -> None:
    """A list of them."""
    scene = Scene(factory, {})
    events = [Event("a", n) for n in range(4)]
    assert scene.bus.publish_many(events, expires=AT_ONCE) == 4
    assert scene.bus.publish_many(iter(events), expires=LONG) == 4
    assert scene.finish() == [0, 1, 2, 3]
    assert scene.expired == [0, 1, 2, 3]


# ---- beside the rest -----------------------------------------------------------------------------


def test_what_is_retried_has_begun(factory: BusFactory) -> None:
    """It does not expire between two tries."""
    bus, done, tries = factory.bus(on_error=lambda *_: None), Outcomes(), []

    def fail(event: Event) -> None:
        tries.append(event)
        raise ValueError

    bus.subscribe("a", fail, retries=2, backoff=0.2)
    bus.publish(Event("a"), expires=0.15, on_done=done)
    done.wait_for(1)
    assert len(tries) == 3
    assert len(done[0].failed) == 1
    assert bus.stats().dropped == 0


def test_a_batch_has_none_that_has_expired(factory: BusFactory) -> None:
    """Neither first nor in its midst."""
    batches: list[list[Any]] = []
    bus = factory.bus()
    gate = factory.hold(bus)
    bus.subscribe("a", lambda events: batches.append([e.data for e in events]), batch=10)
    for n in range(6):
        bus.publish(Event("a", n), expires=AT_ONCE if n in (0, 3) else LONG)
    gate.open()
    assert_at_rest(bus)
    assert [data for batch in batches for data in batch] == [1, 2, 4, 5]
    assert bus.stats().dropped == 2


def test_the_next_of_a_key_follows_one_that_has_expired(factory: BusFactory) -> None:
    """At once; the key is not held up by it."""
    scene = Scene(factory, KINDS["keyed"], workers=2)
    scene.publish(1, expires=AT_ONCE)
    scene.publish(2)
    scene.publish(3, expires=AT_ONCE)
    scene.publish(4)
    assert scene.finish() == [2, 4]
    assert sorted(scene.expired) == [1, 3]


def test_what_expires_while_it_waits_in_line_is_dropped_later(factory: BusFactory) -> None:
    """The time begins with `publish`; admitted, it is queued, and then found."""
    scene = Scene(factory, {}, queue_size=1, policy="block")
    scene.publish(1)
    waiting = InThread(lambda: scene.publish(2, expires=AT_ONCE))
    waiting.await_waiter(scene.bus)
    assert scene.finish() == [1]
    assert waiting.result() == [True]
    assert scene.expired == [2]


def test_a_handler_that_runs_in_the_caller_has_not_expired(factory: BusFactory) -> None:
    """It begins at once."""
    scene = Scene(factory, {}, queue_size=1, policy="caller_runs")
    scene.publish("queued")
    here: list[int] = []
    scene.bus.subscribe("b", lambda event: here.append(threading.get_ident()))
    assert scene.bus.publish(Event("b"), expires=AT_ONCE)
    assert here == [threading.get_ident()]
    assert scene.finish() == ["queued"]


def test_at_a_stop_what_has_expired_is_expired(factory: BusFactory) -> None:
    """While draining, as before; what is dropped by the stop has that reason."""
    scene = Scene(factory, {})
    scene.publish(1, expires=AT_ONCE)
    scene.publish(2, expires=LONG)
    assert not scene.bus.stop(timeout=0)
    assert {(event.data, reason) for event, _, reason in scene.drops} == {
        (1, DropReason.SHUTDOWN),
        (2, DropReason.SHUTDOWN),
    }
    scene = Scene(factory, {})
    scene.publish(1, expires=AT_ONCE)
    stopping = InThread(scene.bus.stop)
    poll(lambda: scene.bus.closed)
    scene.gate.open()
    assert stopping.result()
    assert scene.expired == [1]


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (float("nan"), ValueError),
        ("1", TypeError),
        (True, TypeError),
    ],
)
def test_a_time_that_is_none_is_refused(
    factory: BusFactory, bad: Any, error: type[Exception]
) -> None:
    """Before anything is published."""
    bus = factory.bus()
    with pytest.raises(error, match="expires"):
        bus.publish(Event("a"), expires=bad)
    with pytest.raises(error, match="expires"):
        bus.publish_many([Event("a")], expires=bad)
    assert bus.stats().unrouted == 0


def test_an_infinite_time_never_comes(factory: BusFactory) -> None:
    """As without."""
    scene = Scene(factory, {})
    scene.publish(1, expires=float("inf"))
    scene.publish(2, expires=1e300)
    assert scene.finish() == [1, 2]


@of_each_kind
def test_the_books_balance_while_deliveries_expire(
    factory: BusFactory, options: dict[str, Any], frequent_switches: None
) -> None:
    """Under pressure, with several publishers; each is handled or dropped once."""
    drops, done = Drops(), Outcomes()
    bus = factory.bus(workers=3, queue_size=8, on_drop=drops)
    handled: list[Any] = []

    def handle(event: Any) -> None:
        events = event if isinstance(event, list) else [event]
        handled.extend(one.data for one in events)

    bus.subscribe("a", handle, **options)

    def publish(number: int) -> None:
        for n in range(200):
            expires = (None, AT_ONCE, 1e-4, LONG)[n % 4]
            bus.publish(Event("a", (number, n)), expires=expires, on_done=done)
            if n % 20 == 0:
                assert_balance(bus.stats())

    run_together(3, publish)
    assert_at_rest(bus)
    everything = [(number, n) for number in range(3) for n in range(200)]
    assert sorted(handled + drops.data) == everything
    assert sorted(outcome.event.data for outcome in done) == everything
    assert EXPIRED in {reason for _, _, reason in drops}
