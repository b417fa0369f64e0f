"""Events of one key are handled one after the other, in the order of publishing."""

import random
import signal
import threading
from collections import Counter, defaultdict
from typing import Any

import pytest

from brummerbus import Event
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest
from helpers.handlers import Recorder
from helpers.internals import keep_few_keys
from helpers.keys import ByKey, Failure, first
from helpers.waiting import HANG, poll

# ---- order ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 4, 8])
def test_events_of_a_key_come_in_order_whatever_their_priorities(
    factory: BusFactory, workers: int, frequent_switches: None
) -> None:
    """On any number of workers, with random priorities, and none is lost."""
    bus = factory.bus(workers=workers, queue_size=100, policy="block")
    handler = ByKey()
    bus.subscribe("a", handler, key=first)
    dice = random.Random(workers)
    for number in range(3000):
        bus.publish(Event("a", (dice.randrange(7), number)), priority=dice.randint(1, 3))
    assert_at_rest(bus)
    handler.assert_in_order()
    assert sum(map(len, handler.seen.values())) == 3000


def test_without_a_key_they_may_come_in_any(factory: BusFactory) -> None:
    """The test above would see it."""
    bus = factory.bus(workers=2, queue_size=100)
    handler, gate = ByKey(), factory.gate()
    handler.work = lambda event: gate(event) if event.data[1] == 0 else None  # type: ignore[method-assign]
    bus.subscribe("a", handler)
    bus.publish_many([Event("a", ("k", number)) for number in range(3)])
    gate.wait_entered()
    poll(lambda: len(handler.seen["k"]) == 3)
    gate.open()
    assert bus.flush(HANG)
    assert handler.overlaps > 0


def test_other_keys_and_subscriptions_are_not_held_up(factory: BusFactory) -> None:
    """With two workers, one of which is in a handler of the key whose events wait."""
    bus = factory.bus(workers=2, queue_size=100)
    gate, recorder, plain = factory.gate(), Recorder(), Recorder()

    def handler(event: Event) -> None:
        if event.data[0] == "stuck":
            gate(event)
        recorder(event)

    bus.subscribe("a", handler, key=first)
    bus.subscribe("b", plain)
    bus.publish_many([Event("a", ("stuck", n)) for n in range(20)])
    gate.wait_entered()
    bus.publish_many(
        [Event("a", ("free", n)) for n in range(5)] + [Event("b", n) for n in range(5)]
    )
    recorder.wait_for(5)
    plain.wait_for(5)
    assert recorder.data == [("free", n) for n in range(5)]
    poll(lambda: bus.stats().running == 1)
    gate.open()
    assert_at_rest(bus)
    assert recorder.data[5:] == [("stuck", n) for n in range(20)]


def test_no_worker_waits_for_a_key(factory: BusFactory) -> None:
    """While one handler runs, the workers that have nothing else to do sleep: one handler runs."""
    bus = factory.bus(workers=8, queue_size=100)
    gate = factory.gate()
    bus.subscribe("a", gate, key=first)
    bus.publish_many([Event("a", (0, n)) for n in range(50)])
    gate.wait_entered()
    other = Recorder()
    with bus.subscribe("b", other):
        bus.publish_many([Event("b", n) for n in range(20)])
        other.wait_for(20)
    poll(lambda: bus.stats().running == 1)
    gate.open()
    assert_at_rest(bus)


def test_an_urgent_event_does_not_overtake_its_key(factory: BusFactory) -> None:
    """But it overtakes others, as soon as its key's turn has come."""
    bus = factory.bus()
    gate, recorder = factory.hold(bus), Recorder()
    bus.subscribe("a", recorder, key=first)
    bus.publish(Event("a", ("x", 1)), priority=1)
    bus.publish(Event("a", ("y", 2)), priority=2)
    bus.publish(Event("a", ("x", 3)), priority=3)
    bus.publish(Event("a", ("z", 4)), priority=3)
    gate.open()
    assert_at_rest(bus)
    assert recorder.data == [("z", 4), ("y", 2), ("x", 1), ("x", 3)]


def test_keyed_and_plain_deliveries_of_a_level_are_taken_in_one_order(factory: BusFactory) -> None:
    """That of their acceptance."""
    bus = factory.bus(queue_size=100)
    gate, recorder = factory.hold(bus), Recorder()
    bus.subscribe("keyed", recorder, key=first)
    bus.subscribe("plain", recorder)
    dice = random.Random(1)
    for number in range(60):
        kind = dice.choice(("keyed", "plain"))
        bus.publish(Event(kind, (number, number)))
    gate.open()
    assert_at_rest(bus)
    assert [number for _, number in recorder.data] == list(range(60))


def test_an_event_is_ordered_for_each_subscription_by_its_own_key(factory: BusFactory) -> None:
    """Two keyed ones, a limited, a batched and a plain one of the same events."""
    bus = factory.bus(workers=4, queue_size=10_000)
    by_key, by_parity, plain = ByKey(), ByKey(), Recorder()
    batched: list[Event] = []
    limited: list[Event] = []
    bus.subscribe("a", by_key, key=first)
    bus.subscribe("a", by_parity, key=lambda event: event.data[1] % 2)
    bus.subscribe("a", plain)
    bus.subscribe("a", batched.extend, batch=7)
    bus.subscribe("a", limited.append, max_concurrency=1)
    for number in range(500):
        bus.publish(Event("a", (number % 5, number)), priority=1 + number % 3)
    assert_at_rest(bus)
    by_key.assert_in_order()
    everything = [(number % 5, number) for number in range(500)]
    assert sorted(plain.data) == sorted(everything)
    assert sorted(e.data for e in batched) == sorted(e.data for e in limited) == sorted(everything)
    parity = [n for numbers in by_parity.seen.values() for n in numbers]
    assert sorted(parity) == list(range(500))


@pytest.mark.parametrize("tries", [1, 2])
def test_a_retried_event_keeps_its_turn(
    factory: BusFactory, tries: int, frequent_switches: None
) -> None:
    """On several workers, with random failures: each key's events end in order."""
    bus = factory.bus(workers=4, queue_size=10_000, on_error=lambda *_: None)
    ended: dict[Any, list[int]] = defaultdict(list)
    failures: Counter[int] = Counter()
    dice = random.Random(tries)
    fails = {n: dice.randrange(tries + 1) for n in range(300)}

    def handler(event: Event) -> None:
        key, number = event.data
        if failures[number] < fails[number]:
            failures[number] += 1
            raise Failure
        ended[key].append(number)

    bus.subscribe("a", handler, key=first, retries=tries, backoff=0.0005)
    for number in range(300):
        bus.publish(Event("a", (number % 6, number)), priority=dice.randint(1, 3))
    assert_at_rest(bus)
    assert sum(map(len, ended.values())) == 300
    assert all(numbers == sorted(numbers) for numbers in ended.values())
    assert bus.stats().retried == sum(fails.values())


# ---- beside the rest -----------------------------------------------------------------------------


def test_handlers_that_publish_keep_the_order_of_their_keys(factory: BusFactory) -> None:
    """Each event causes the next of its key, beyond the capacity, too."""
    bus = factory.bus(workers=4, queue_size=5)
    handler = ByKey()
    done = threading.Semaphore(0)

    def work(event: Event) -> None:
        key, number = event.data
        if number < 50:
            bus.publish(Event("a", (key, number + 1)))
        else:
            done.release()

    handler.work = work  # type: ignore[method-assign]
    bus.subscribe("a", handler, key=first)
    for key in range(5):
        bus.publish(Event("a", (key, 0)))
    for _ in range(5):
        assert done.acquire(timeout=HANG)
    assert_at_rest(bus)
    handler.assert_in_order()
    assert all(numbers == list(range(51)) for numbers in handler.seen.values())


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such timer")
def test_a_signal_handler_that_publishes_amid_a_keyed_publish_keeps_the_order(
    factory: BusFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same keys, with a table that forgets all the time."""
    monkeypatch.setattr("brummerbus._core.lanes.MAX_IDLE", 2)
    bus = factory.bus(workers=3, queue_size=100_000)
    handler = ByKey()
    subscription = bus.subscribe("a", handler, key=first)
    keep_few_keys(bus, subscription, 2)
    signalled: list[bool] = []
    inside: list[bool] = []

    def publish(*_: Any) -> None:
        if inside:  # a handler of the next signal, amid this one, would come before it
            return
        inside.append(True)
        signalled.append(bus.publish(Event("a", (len(signalled) % 5, len(signalled)))))
        inside.clear()

    before = signal.signal(signal.SIGALRM, publish)
    signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
    try:
        count = 0
        while len(signalled) < 100 or count < 2000:
            bus.publish(Event("a", (5 + count % 5, count)))
            bus.publish(Event("a", (count % 5, -1)))
            count += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert_at_rest(bus)
    assert handler.overlaps == 0
    for key in range(5):
        handler.seen[key] = [n for n in handler.seen[key] if n >= 0]
    handler.assert_in_order()
    assert sum(map(len, handler.seen.values())) == len(signalled) + count


def test_a_gate_that_is_a_handler_works_for_keys(factory: BusFactory) -> None:
    """Starvation: an old low delivery of a key is served next, in the turn of its key."""
    bus = factory.bus(starvation_after=1e-9, queue_size=100)
    gate, recorder = factory.hold(bus), Recorder()
    bus.subscribe("a", recorder, key=first)
    for n in range(20):
        bus.publish(Event("a", (n % 3, n)), priority=1 + n % 3)
    gate.open()
    assert_at_rest(bus)
    assert [n for _, n in recorder.data] == list(range(20))
