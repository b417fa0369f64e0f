"""`subscribe(..., key=...)`: events with equal keys, one at a time and in order on any worker."""

import gc
import random
import signal
import sys
import threading
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, DropReason, Event, EventBus, QueueFull
from brummerbus._core.lanes import MAX_IDLE
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest, assert_balance
from helpers.handlers import Drops, Outcomes, Recorder
from helpers.internals import keep_few_keys, lanes_of
from helpers.threads import InThread, run_together
from helpers.waiting import HANG, poll

POLICIES = list(BackpressurePolicy)
by_policy = pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.value)


class Failure(Exception):
    """What is raised on purpose."""


def first(event: Event) -> Any:
    """Return the key of an event whose data is a pair: the first of it."""
    return event.data[0]


class ByKey:
    """A handler that notes what it gets by key, and whether two of a key run at once."""

    def __init__(self) -> None:
        self.seen: dict[Any, list[Any]] = defaultdict(list)
        self.overlaps = 0
        self._running: Counter[Any] = Counter()
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Note the event, whose data is a pair of key and number."""
        key, number = event.data
        with self._lock:
            self._running[key] += 1
            self.overlaps += self._running[key] > 1
            self.seen[key].append(number)
        self.work(event)
        with self._lock:
            self._running[key] -= 1

    def work(self, event: Event) -> None:
        """Do nothing."""

    def assert_in_order(self) -> None:
        """Check that each key's numbers came in order and one at a time."""
        assert self.overlaps == 0
        for key, numbers in self.seen.items():
            assert numbers == sorted(numbers), key


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
    assert bus.stats().running == 1
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
    assert bus.stats().running == 1
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


# ---- what is a key -------------------------------------------------------------------------------


class Order(Event):
    """An event with an attribute."""

    def __init__(self, number: int) -> None:
        super().__init__("order")
        self.customer = number % 3
        self.number = number


@pytest.mark.parametrize(
    "data",
    [
        lambda key: {"customer": key},
        lambda key: MappingProxyType({"customer": key}),
    ],
    ids=["dict", "mapping"],
)
def test_a_name_is_that_of_an_item_of_the_data(factory: BusFactory, data: Any) -> None:
    """Of a mapping."""
    bus = factory.bus(workers=2)
    gate, seen = factory.gate(), []

    def handler(event: Event) -> None:
        seen.append(event.data["customer"])
        gate(event)

    bus.subscribe("a", handler, key="customer")
    for key in (1, 1, 2):
        bus.publish(Event("a", data(key)))
    gate.wait_entered(2)
    assert sorted(seen) == [1, 2]
    gate.open()
    assert_at_rest(bus)


def test_a_name_is_that_of_an_attribute_first(factory: BusFactory) -> None:
    """Of an event's class, of Event itself, or of any object that is published."""
    bus = factory.bus(workers=2)
    gate, seen = factory.gate(), []

    def handler(order: Order) -> None:
        seen.append(order.customer)
        gate(order)

    bus.subscribe(Order, handler, key="customer")
    for number in (1, 4, 2):
        bus.publish(Order(number))
    gate.wait_entered(2)
    assert sorted(seen) == [1, 2]
    gate.open()
    by_source = ByKey()
    bus.subscribe("s", by_source, key="source")
    bus.publish(Event("s", (1, 1), source="here"))
    assert_at_rest(bus)
    assert by_source.seen == {1: [1]}


@pytest.mark.parametrize("key", [None, 0, "", (), float("nan"), frozenset((1,)), Failure], ids=repr)
def test_any_hashable_is_a_key(factory: BusFactory, key: Any) -> None:
    """None is one as good as any."""
    bus = factory.bus(workers=2)
    gate = factory.gate()
    bus.subscribe("a", gate, key=lambda event: key)
    bus.publish_many([Event("a", n) for n in range(3)])
    gate.wait_entered()
    poll(lambda: bus.stats().queued == 2)
    assert bus.stats().running == 1
    gate.open()
    assert_at_rest(bus)


def test_equal_keys_of_different_types_are_one_key(factory: BusFactory) -> None:
    """As in a dict."""
    bus = factory.bus(workers=3)
    gate = factory.gate()
    bus.subscribe("a", gate, key=first)
    bus.publish_many([Event("a", (key, 0)) for key in (1, 1.0, True)])
    gate.wait_entered()
    assert bus.stats().running == 1
    gate.open()
    assert_at_rest(bus)


def test_it_is_computed_by_the_publisher(factory: BusFactory) -> None:
    """In its thread, once for each delivery."""
    bus = factory.bus()
    threads: list[int] = []

    def key(event: Event) -> int:
        threads.append(threading.get_ident())
        return 0

    bus.subscribe("a", lambda event: None, key=key)
    bus.publish_many([Event("a"), Event("a")])
    assert_at_rest(bus)
    assert threads == [threading.get_ident()] * 2


@pytest.mark.parametrize(
    ("bad", "error"),
    [(1, TypeError), ((), TypeError), ("", ValueError)],
)
def test_what_is_no_key_is_refused(factory: BusFactory, bad: Any, error: type[Exception]) -> None:
    """By `subscribe` and by `on`."""
    bus = factory.bus()
    with pytest.raises(error, match="key"):
        bus.subscribe("a", print, key=bad)
    with pytest.raises(error, match="key"):
        bus.on("a", key=bad)


# ---- keys that misbehave -------------------------------------------------------------------------


class Bad:
    """A key whose hash or comparison does something."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.on_hash: Any = None
        self.on_eq: Any = None

    def __hash__(self) -> int:
        if self.on_hash is not None:
            self.on_hash()
        return 1

    def __eq__(self, other: object) -> bool:
        for one in (self, other):
            if isinstance(one, Bad) and one.on_eq is not None:
                one.on_eq()
        return isinstance(other, Bad) and other.number == self.number


def raise_it() -> None:
    """Raise."""
    raise Failure("a key")


def bad_keys(bus: EventBus) -> Iterator[tuple[Any, type[Exception]]]:
    """Yield keys with what publishing them raises."""
    unhashable = Bad(2)
    unhashable.on_hash = raise_it
    incomparable = Bad(3)
    incomparable.on_eq = raise_it
    yield [], TypeError
    yield unhashable, Failure
    yield incomparable, Failure


def test_a_key_that_raises_refuses_the_publish(factory: BusFactory) -> None:
    """Nothing of the event is accepted, for no subscription; the counts are as they were."""
    bus = factory.bus(queue_size=100)
    gate, handler, plain, done = factory.hold(bus), ByKey(), Recorder(), Outcomes()
    bus.subscribe("a", plain)
    bus.subscribe("a", handler, key=lambda event: 0)
    bus.subscribe("a", handler, key=first)
    bus.publish(Event("a", (Bad(1), 0)))  # what the others are compared with
    before = bus.stats()
    for key, error in bad_keys(bus):
        with pytest.raises(error):
            bus.publish(Event("a", (key, 1)))
        with pytest.raises(error):
            bus.publish(Event("a", (key, 1)), on_done=done, expires=1, priority=3)
        with pytest.raises(error):
            bus.publish_many([Event("a", (key, 1))])
    after = bus.stats()
    assert_balance(after)
    assert (after.published, after.dropped, after.queued) == (before.published, 0, 3)
    assert not done
    assert bus.publish(Event("a", (Bad(1), 2)))
    gate.open()
    assert_at_rest(bus)
    assert [number for _, number in plain.data] == [0, 2]
    assert sorted(n for numbers in handler.seen.values() for n in numbers) == [0, 0, 2, 2]


def test_a_key_function_that_raises_refuses_the_publish(factory: BusFactory) -> None:
    """With what it raised; a name that the event has not, too."""
    bus = factory.bus()
    recorder = Recorder()
    bus.subscribe("a", recorder, key=lambda event: 1 // event.data)
    bus.subscribe("b", recorder, key="customer")
    with pytest.raises(ZeroDivisionError):
        bus.publish(Event("a", 0))
    with pytest.raises(KeyError):
        bus.publish(Event("b", {"another": 1}))
    with pytest.raises(AttributeError):
        bus.publish(Event("b", None))
    assert bus.stats().published == 0
    assert bus.publish(Event("a", 1))
    assert_at_rest(bus)
    assert recorder.data == [1]


def test_a_refusal_in_publish_many_leaves_what_came_before(factory: BusFactory) -> None:
    """As in a loop of `publish`."""
    bus = factory.bus()
    recorder = Recorder()
    bus.subscribe("a", recorder, key=lambda event: 1 // event.data)
    with pytest.raises(ZeroDivisionError):
        bus.publish_many([Event("a", n) for n in (2, 1, 0, 3)])
    assert_at_rest(bus)
    assert recorder.data == [2, 1]


def test_a_key_that_raised_holds_nothing(factory: BusFactory) -> None:
    """Its lanes are forgotten, also while the exception is kept."""
    bus = factory.bus()
    subscription = bus.subscribe("a", lambda event: None, key=first)
    failing = bus.subscribe("a", lambda event: None, key=lambda event: 1 // event.data[1])
    kept: list[Exception] = []
    for n in range(10 * MAX_IDLE):
        with pytest.raises(ZeroDivisionError) as raised:
            bus.publish(Event("a", (n, 0)))
        kept.append(raised.value)
    assert len(lanes_of(subscription)) <= 3 * MAX_IDLE
    failing.cancel()


def test_keys_whose_comparison_publishes_keep_the_order(factory: BusFactory) -> None:
    """To the same subscription and of the same key: of each key one at a time, and none lost."""
    bus = factory.bus(workers=4, queue_size=1000)
    handler = ByKey()
    bus.subscribe("a", handler, key=lambda event: event.source_key)
    published = 0
    inside = False

    class Keyed(Event):
        def __init__(self, data: tuple[int, int], key: Bad) -> None:
            super().__init__("a", data)
            self.source_key = key

    def publish(number: int) -> None:
        nonlocal published
        key = Bad(number)
        key.on_eq = lambda: again(number)
        bus.publish(Keyed((number, 0), key))
        published += 1

    def again(number: int) -> None:
        nonlocal inside
        if not inside:
            inside = True
            publish(number)
            inside = False

    for n in range(200):
        publish(n % 3)
    assert_at_rest(bus)
    assert handler.overlaps == 0
    assert sum(map(len, handler.seen.values())) == published > 200


def test_a_stored_key_that_turns_bad_refuses_no_strangers_publish(factory: BusFactory) -> None:
    """Its hash raises when the table of keys forgets: others go on, in order."""
    bus = factory.bus(queue_size=10, policy="block")
    handler = ByKey()
    bus.subscribe("a", handler, key=first)
    bad = Bad(1)
    bus.publish(Event("a", (bad, 0)))
    assert bus.flush(HANG)
    bad.on_hash = raise_it
    for n in range(5 * MAX_IDLE):
        assert bus.publish(Event("a", (n, 0)))
        assert bus.publish(Event("a", (n, 1)))
    assert_at_rest(bus)
    bad.on_hash = None
    handler.assert_in_order()


# ---- many keys -----------------------------------------------------------------------------------


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


# ---- beside the rest -----------------------------------------------------------------------------


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
    signalled = []

    def publish(*_: Any) -> None:
        signalled.append(bus.publish(Event("a", (len(signalled) % 5, len(signalled)))))

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
