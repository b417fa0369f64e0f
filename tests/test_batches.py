"""`subscribe(..., batch=..., batch_wait=...)`: a handler that takes what is queued as one list."""

import threading
from typing import Any

import pytest

from brummerbus import DropReason, Event, EventBus
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest, assert_balance
from helpers.handlers import Drops, Outcomes, Recorder
from helpers.threads import InThread, run_together
from helpers.waiting import HANG, poll

LONG = 1000.0
"""Seconds; no test takes so long."""


class Batches(list[list[Any]]):
    """A handler that keeps the payloads of each of its calls."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()

    def __call__(self, events: list[Any]) -> None:
        """Keep them."""
        assert type(events) is list
        with self._changed:
            self.append([event.data for event in events])
            self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        """Return when that many calls were made."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self) >= count, HANG), list(self)

    @property
    def all(self) -> list[Any]:
        """The payloads, in order."""
        return [data for batch in self for data in batch]


def held(factory: BusFactory, **settings: Any) -> tuple[EventBus, Any]:
    """Make a bus whose worker is held, and the gate that holds it."""
    bus = factory.bus(**{"queue_size": 1000, **settings})
    return bus, factory.hold(bus)


@pytest.mark.parametrize("size", [1, 2, 10, 40, 100, 65_536])
def test_a_call_takes_what_is_queued_up_to_the_size(factory: BusFactory, size: int) -> None:
    """In order."""
    bus, gate = held(factory)
    batches = Batches()
    bus.subscribe("a", batches, batch=size)
    bus.publish_many([Event("a", n) for n in range(95)])
    gate.open()
    assert_at_rest(bus)
    assert batches.all == list(range(95))
    full, rest = divmod(95, size)
    assert list(map(len, batches)) == [size] * full + ([rest] if rest else [])


def test_one_event_is_a_list_too(factory: BusFactory) -> None:
    """Also of a class."""
    bus, batches = factory.bus(), []
    bus.subscribe(int, batches.append, batch=5)
    bus.publish(7)
    assert_at_rest(bus)
    assert batches == [[7]]


def test_each_event_is_counted(factory: BusFactory) -> None:
    """With an equal share of the time; the call is one for `max_concurrency`."""
    bus, gate = held(factory)
    inner = factory.gate()
    done = Outcomes()
    bus.subscribe("a", inner, batch=10)
    bus.publish_many([Event("a", n) for n in range(10)], on_done=done)
    gate.open()
    inner.wait_entered()
    stats = bus.stats()
    assert (stats.running, stats.queued) == (10, 0)
    assert_balance(stats)
    assert not done
    inner.open()
    assert_at_rest(bus)
    stats = bus.stats()
    assert stats.by_subscription[next(iter(stats.by_subscription))].published
    assert stats.processing_time.count == 11
    assert sorted(outcome.event.data for outcome in done) == list(range(10))
    assert all(outcome.handled == 1 for outcome in done)


def test_if_it_raises_all_have_failed(factory: BusFactory) -> None:
    """Each is reported, with the same exception, and the worker goes on."""
    failures: list[Any] = []
    bus = factory.bus(
        queue_size=100, on_error=lambda event, sub, error: failures.append((event.data, error))
    )
    gate, done = factory.hold(bus), Outcomes()

    def fail(events: list[Event]) -> None:
        raise ValueError(len(events))

    subscription = bus.subscribe("a", fail, batch=4)
    bus.publish_many([Event("a", n) for n in range(4)], on_done=done)
    gate.open()
    assert_at_rest(bus)
    assert [data for data, _ in failures] == [0, 1, 2, 3]
    assert {str(error) for _, error in failures} == {"4"}
    assert bus.stats().failed == 4
    assert all(outcome.failed[0][0] is subscription for outcome in done)
    assert len(done) == 4


def test_urgent_events_come_first(factory: BusFactory) -> None:
    """Each level in its order."""
    bus, gate = held(factory)
    batches = Batches()
    bus.subscribe("a", batches, batch=4)
    for n in range(12):
        bus.publish(Event("a", n), priority=1 + n % 3)
    gate.open()
    assert_at_rest(bus)
    assert batches.all == [2, 5, 8, 11, 1, 4, 7, 10, 0, 3, 6, 9]
    assert list(map(len, batches)) == [4, 4, 4]


def test_a_batch_is_of_one_key(factory: BusFactory) -> None:
    """And of one subscription, whatever else is queued in between."""
    bus, gate = held(factory)
    batches, other = Batches(), Recorder()
    bus.subscribe("a", batches, batch=100, key=lambda event: event.data[0])
    bus.subscribe("a", other)
    bus.subscribe("b", other)
    for n in range(30):
        bus.publish(Event("a", (n % 3, n)))
        bus.publish(Event("b", n))
    gate.open()
    assert_at_rest(bus)
    assert batches == [[(key, n) for n in range(key, 30, 3)] for key in range(3)]
    assert len(other.events) == 60


def test_batches_of_a_key_are_one_at_a_time(factory: BusFactory, frequent_switches: None) -> None:
    """On several workers, in order, with failures that are retried."""
    bus = factory.bus(workers=4, queue_size=2000, on_error=lambda *_: None)
    seen: dict[int, list[int]] = {key: [] for key in range(4)}
    calls = 0

    def handler(events: list[Event]) -> None:
        nonlocal calls
        calls += 1
        if calls % 5 == 0:
            raise ValueError
        seen[events[0].data[0]].extend(event.data[1] for event in events)

    bus.subscribe("a", handler, batch=7, key=lambda event: event.data[0], retries=100, backoff=0.0)
    run_together(2, lambda number: [bus.publish(Event("a", (number, n))) for n in range(500)])
    assert_at_rest(bus)
    assert bus.stats().failed == 0
    for number in range(2):
        assert seen[number] == list(range(500))


# ---- waiting to fill it --------------------------------------------------------------------------


def test_without_a_wait_a_call_takes_what_there_is(factory: BusFactory) -> None:
    """At once."""
    bus, batches = factory.bus(), Batches()
    bus.subscribe("a", batches, batch=100)
    for n in range(3):
        bus.publish(Event("a", n))
        batches.wait_for(n + 1)
    assert batches == [[0], [1], [2]]


def test_a_call_waits_until_the_batch_is_full(factory: BusFactory) -> None:
    """And no longer, whatever the time that it might."""
    bus, batches = factory.bus(queue_size=100), Batches()
    bus.subscribe("a", batches, batch=5, batch_wait=LONG)
    for n in range(12):
        bus.publish(Event("a", n))
    batches.wait_for(2)
    assert batches == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    poll(lambda: bus.stats().running == 2)  # they count as running, in the call that waits
    assert_balance(bus.stats())
    assert bus.stop()
    assert batches[2] == [10, 11]


def test_the_wait_has_an_end(factory: BusFactory) -> None:
    """Then the call is made with what has come."""
    bus, batches = factory.bus(), Batches()
    bus.subscribe("a", batches, batch=100, batch_wait=0.05)
    bus.publish(Event("a", 1))
    batches.wait_for(1)
    assert batches == [[1]]


def test_a_stop_ends_the_wait(factory: BusFactory) -> None:
    """What has come is handled while draining; without, too, since it has begun."""
    for drain in (True, False):
        bus, batches = factory.bus(queue_size=100), Batches()
        bus.subscribe("a", batches, batch=100, batch_wait=LONG)
        bus.publish_many([Event("a", n) for n in range(3)])
        poll(lambda bus=bus: bus.stats().running == 3)
        stopping = InThread(lambda bus=bus, drain=drain: bus.stop(drain=drain))
        assert stopping.result()
        assert batches == [[0, 1, 2]]


def test_other_workers_go_on_while_one_waits(factory: BusFactory) -> None:
    """And an event of another key does not come into the batch."""
    bus, batches, other = factory.bus(workers=2, queue_size=100), Batches(), Recorder()
    bus.subscribe("a", batches, batch=3, batch_wait=LONG, key=lambda event: event.data % 2)
    bus.subscribe("b", other)
    bus.publish(Event("a", 0))
    poll(lambda: bus.stats().running == 1)
    bus.publish_many([Event("b", n) for n in range(20)])
    other.wait_for(20)
    bus.publish_many([Event("a", n) for n in (1, 2, 3, 4)])
    batches.wait_for(1)
    assert batches[0] == [0, 2, 4]
    assert bus.stop()
    assert sorted(batches) == [[0, 2, 4], [1, 3]]


def test_a_full_queue_is_no_reason_to_wait_for_more(factory: BusFactory) -> None:
    """A publisher is admitted by a worker that fills its batch."""
    bus, batches = factory.bus(queue_size=2, policy="block"), Batches()
    bus.subscribe("a", batches, batch=20, batch_wait=LONG)
    for n in range(20):
        assert bus.publish(Event("a", n), timeout=HANG)
    batches.wait_for(1)
    assert batches == [list(range(20))]


# ---- beside the rest -----------------------------------------------------------------------------


def test_a_batch_that_fails_comes_back_event_by_event(factory: BusFactory) -> None:
    """Each with its own number of tries; all are handled in the end."""
    bus, gate = held(factory, on_error=lambda *_: None)
    tries: list[list[int]] = []
    done = Outcomes()

    def handler(events: list[Event]) -> None:
        tries.append([event.data for event in events])
        if len(tries) < 3:
            raise ValueError

    bus.subscribe("a", handler, batch=3, retries=2, backoff=0.001, key=lambda event: 0)
    bus.publish_many([Event("a", n) for n in range(3)], on_done=done)
    gate.open()
    done.wait_for(3)
    assert_at_rest(bus)
    stats = bus.stats()
    assert (stats.failed, stats.processed) == (0, 4)
    assert stats.retried == sum(map(len, tries[:2]))
    assert tries[0] == [0, 1, 2]
    assert [data for batch in tries[2:] for data in batch] == sorted(
        data for batch in tries[2:] for data in batch
    )


def test_what_is_dropped_never_comes_into_a_batch(
    factory: BusFactory, frequent_switches: None
) -> None:
    """Evicted or handled: each event once."""
    drops, batches = Drops(), Batches()
    bus = factory.bus(workers=2, queue_size=10, on_drop=drops)
    bus.subscribe("a", batches, batch=4)

    def publish(number: int) -> None:
        for n in range(300):
            bus.publish(Event("a", (number, n)), priority=1 + n % 3)
            if n % 50 == 0:
                assert_balance(bus.stats())

    run_together(3, publish)
    assert_at_rest(bus)
    everything = sorted((number, n) for number in range(3) for n in range(300))
    assert sorted(batches.all + drops.data) == everything
    assert {reason for _, _, reason in drops} <= {DropReason.EVICTED}


@pytest.mark.parametrize(
    ("options", "error", "name"),
    [
        ({"batch": 0}, ValueError, "batch"),
        ({"batch": 65_537}, ValueError, "batch"),
        ({"batch": 2.0}, TypeError, "batch"),
        ({"batch": True}, TypeError, "batch"),
        ({"batch": 2, "batch_wait": -1}, ValueError, "batch_wait"),
        ({"batch": 2, "batch_wait": float("inf")}, ValueError, "batch_wait"),
        ({"batch": 2, "batch_wait": float("nan")}, ValueError, "batch_wait"),
        ({"batch": 2, "batch_wait": "1"}, TypeError, "batch_wait"),
        ({"batch_wait": 1}, ValueError, "batch_wait needs batch"),
    ],
)
def test_what_is_no_batch_is_refused(
    factory: BusFactory, options: dict[str, Any], error: type[Exception], name: str
) -> None:
    """The message names the option."""
    bus = factory.bus()
    with pytest.raises(error, match=name):
        bus.subscribe("a", print, **options)
