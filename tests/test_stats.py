"""The statistics of a bus: every figure, of one moment, and that the counts agree."""

import dataclasses
import json
import threading
from contextlib import suppress
from time import monotonic
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, BusStats, DropReason, Event, EventBus, QueueFull
from helpers.buses import BusFactory
from helpers.checks import assert_balance
from helpers.handlers import Recorder
from helpers.internals import queue_of
from helpers.threads import InThread, run_together
from helpers.waiting import HANG, pause, poll

FIELDS = {
    "published",
    "processed",
    "dropped",
    "queued",
    "running",
    "failed",
    "unrouted",
    "dropped_by",
    "avg_processing_time",
    "queue_wait",
    "processing_time",
    "queue_depth",
    "queue_depth_history",
    "worker_utilization",
    "by_type",
    "by_subscription",
    "by_level",
    "recent",
    "waiting",
    "reserve_used",
    "sizing",
    "age",
}

KEEPING = (BackpressurePolicy.BLOCK, BackpressurePolicy.CALLER_RUNS)


def handle(bus: EventBus, count: int = 1, **options: Any) -> None:
    """Publish events one by one, each after the previous one was handled."""
    for _ in range(count):
        assert bus.publish(Event("a"), **options)
        assert bus.flush(HANG)


# ---- the snapshot ----------------------------------------------------------------------------


def test_snapshot_has_the_fields_of_the_contract(factory: BusFactory) -> None:
    """At least those; it is frozen."""
    stats = factory.bus().stats()
    assert {field.name for field in dataclasses.fields(stats)} >= FIELDS
    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.published = 1  # type: ignore[misc]


def test_new_bus_has_done_nothing(factory: BusFactory) -> None:
    """All counts are 0, all mappings are there."""
    stats = factory.bus(workers=3, priority_levels=4).stats()
    for field in ("published", "processed", "dropped", "queued", "running", "failed", "unrouted"):
        assert getattr(stats, field) == 0, field
    assert stats.dropped_by == {reason: dict.fromkeys(range(1, 5), 0) for reason in DropReason}
    assert stats.queue_depth == dict.fromkeys(range(1, 5), 0)
    assert list(stats.worker_utilization) == [0, 0, 0]
    assert stats.by_type == {}
    assert stats.avg_processing_time == stats.queue_wait.max == stats.processing_time.p50 == 0


def test_snapshot_does_not_change_afterwards(factory: BusFactory) -> None:
    """It shows its moment."""
    bus = factory.bus()
    bus.subscribe("a", Recorder())
    before = bus.stats()
    handle(bus, 3)
    assert before.published == 0
    assert before.by_type == {}
    assert bus.stats().published == 3


def test_counts_follow_a_delivery_through_its_life(factory: BusFactory) -> None:
    """Queued, running, processed or failed, dropped: in total, by level and by type."""
    bus, gate = factory.bus(queue_size=2, policy=BackpressurePolicy.DROP_NEWEST), factory.gate()
    bus.subscribe("a", gate)
    bus.subscribe("bad", lambda _: 1 // 0)
    assert bus.publish(Event("a"), priority=3)
    gate.wait_entered()
    assert bus.publish(Event("a"), priority=1)
    assert bus.publish(Event("bad"), priority=2)
    assert not bus.publish(Event("bad"), priority=1)
    bus.publish(Event("nobody"))
    stats = bus.stats()
    assert (stats.published, stats.running, stats.queued, stats.dropped) == (4, 1, 2, 1)
    assert stats.queue_depth == {1: 1, 2: 1, 3: 0}
    assert stats.by_level[3].running == stats.by_level[1].dropped == 1
    assert (stats.by_type["a"].queued, stats.by_type["bad"].dropped) == (1, 1)
    assert_balance(stats)
    gate.open()
    assert bus.flush(HANG)
    stats = bus.stats()
    assert (stats.processed, stats.failed, stats.dropped, stats.unrouted) == (3, 1, 1, 1)
    assert (stats.by_type["bad"].failed, stats.by_level[2].failed) == (1, 1)
    assert "nobody" not in stats.by_type
    assert_balance(stats)


def test_drops_are_counted_by_reason_and_level(factory: BusFactory) -> None:
    """Each reason has its own counts."""
    bus = factory.bus(queue_size=2, policy=BackpressurePolicy.DROP_LOWEST)
    gate = factory.hold(bus)
    bus.subscribe("a", Recorder())
    for level in (1, 2, 3, 1, 1):
        bus.publish(Event("a"), priority=level)
    bus.stop(drain=False, timeout=0)
    assert bus.stats().dropped_by == {
        DropReason.EVICTED: {1: 1, 2: 0, 3: 0},
        DropReason.REFUSED: {1: 2, 2: 0, 3: 0},
        DropReason.SHUTDOWN: {1: 0, 2: 1, 3: 1},
        DropReason.EXPIRED: {1: 0, 2: 0, 3: 0},
    }
    assert_balance(bus.stats())
    gate.open()


def watch_books(bus: EventBus, until: threading.Event) -> None:
    """Take snapshots one after the other; in each the counts agree, and none ever decreases."""
    last = bus.stats()
    while not until.is_set():
        stats = bus.stats()
        assert_balance(stats)
        for field in ("published", "processed", "dropped", "failed"):
            assert getattr(stats, field) >= getattr(last, field)
        last = stats


@pytest.mark.parametrize("policy", BackpressurePolicy)
def test_books_balance_in_every_snapshot_under_load(
    factory: BusFactory, policy: BackpressurePolicy, frequent_switches: None
) -> None:
    """While events are published, handled, dropped and fail, and new types appear."""
    bus = factory.bus(
        workers=3, queue_size=8, policy=policy, on_error=lambda *_: None, publish_timeout=0.001
    )
    for pattern in ("[abc]*", "b*"):
        bus.subscribe(pattern, lambda event: 1 // (event.data % 7))
    over = threading.Event()
    watch = InThread(lambda: watch_books(bus, over))

    def publish(number: int) -> None:
        for i in range(300):
            with suppress(QueueFull):
                bus.publish(Event(f"{'abc'[i % 3]}{i // 3 % 20}", i), priority=1 + i % 3)

    run_together(4, publish)
    over.set()
    watch.result()
    assert bus.flush(HANG)
    stats = bus.stats()
    assert_balance(stats)
    assert stats.published == 4 * 400
    assert stats.processed + stats.dropped == stats.published
    assert stats.queued == stats.running == 0
    assert stats.dropped == 0 or policy not in KEEPING


# ---- times -----------------------------------------------------------------------------------


def test_times_are_those_of_the_handler_and_the_queue(factory: BusFactory) -> None:
    """Seconds; quantiles at most 3.2 % off, and never above the exact maximum."""
    bus, gate = factory.bus(queue_size=20), factory.gate()
    bus.subscribe("a", gate)
    began = monotonic()
    for _ in range(2):
        assert bus.publish(Event("a"))
    gate.wait_entered()
    pause(0.5)
    gate.let_through()
    gate.wait_entered()
    pause(0.1)
    gate.let_through()
    assert bus.flush(HANG)
    elapsed = monotonic() - began
    stats = bus.stats()
    for times in (stats.queue_wait, stats.processing_time):
        assert 0 < times.p50 <= times.p95 <= times.p99 <= times.max < elapsed
    assert stats.processing_time.max >= 0.5
    assert 0.1 * 0.96 <= stats.processing_time.p50 < 0.5
    assert stats.queue_wait.p99 >= 0.5 * 0.96


def test_percentiles_leave_outliers_to_the_maximum(factory: BusFactory) -> None:
    """One of 200 deliveries takes long: it is not in p99, but in max."""
    bus = factory.bus(queue_size=300)
    bus.subscribe("a", lambda event: pause(0.3) if event.data == 100 else None)
    assert bus.publish_many(Event("a", i) for i in range(200)) == 200
    assert bus.flush(HANG)
    times = bus.stats().processing_time
    assert times.p50 <= times.p95 <= times.p99 < 0.3 <= times.max


def test_times_are_sane_under_load_from_several_threads(
    factory: BusFactory, frequent_switches: None
) -> None:
    """No wait can be longer than the life of the bus; one that is was computed backwards."""
    bus = factory.bus(workers=3, queue_size=3, policy=BackpressurePolicy.BLOCK)
    bus.subscribe("a", lambda _: None)
    run_together(6, lambda _: [bus.publish(Event("a")) for _ in range(2000)])
    assert bus.flush(HANG)
    stats = bus.stats()
    assert 0 < stats.queue_wait.max < stats.age
    assert 0 < stats.processing_time.max < stats.age
    assert 0 < stats.avg_processing_time < stats.age


def test_average_is_an_exponential_moving_average(factory: BusFactory) -> None:
    """Seeded by the first delivery; each later one counts a tenth."""
    bus, seconds = factory.bus(), iter([0.2, 0.0, 0.0, 0.3])
    bus.subscribe("a", lambda _: pause(next(seconds)))
    handle(bus)
    first = bus.stats()
    assert first.avg_processing_time == pytest.approx(first.processing_time.max)
    assert first.avg_processing_time >= 0.2
    handle(bus, 2)
    third = bus.stats().avg_processing_time
    floor = first.avg_processing_time * 0.81
    assert floor <= third < floor + 0.1 * 0.2
    handle(bus)
    last = bus.stats()
    assert last.avg_processing_time == pytest.approx(0.9 * third + 0.1 * last.processing_time.max)


# ---- depth and workers -----------------------------------------------------------------------


def test_depth_history_is_that_of_the_queue(factory: BusFactory) -> None:
    """Samples at least 10 ms apart, oldest first, bounded in number and by the queue's size."""
    bus = factory.bus(queue_size=5, policy=BackpressurePolicy.DROP_NEWEST)
    factory.hold(bus)
    bus.subscribe("a", Recorder())
    before = len(bus.stats().queue_depth_history)
    began = monotonic()
    for _ in range(8):
        bus.publish(Event("a"))
        pause(0.012)
    elapsed = monotonic() - began
    history = list(bus.stats().queue_depth_history)[before:]
    assert history == sorted(history)
    assert set(history) <= set(range(6))
    assert 3 <= len(history) <= elapsed / 0.01 + 1
    assert history[-1] == 5


def test_utilization_is_the_share_of_time_in_handlers(factory: BusFactory) -> None:
    """One figure per worker, between 0 and 1; a running handler counts as well."""
    bus, gate = factory.bus(workers=2), factory.gate()
    bus.subscribe("a", gate)
    assert bus.publish(Event("a"))
    gate.wait_entered()
    poll(lambda: max(bus.stats().worker_utilization) > 0.5)
    shares = sorted(bus.stats().worker_utilization)
    assert shares[0] == 0
    assert 0.5 < shares[1] <= 1
    gate.open()
    assert bus.flush(HANG)
    poll(lambda: max(bus.stats().worker_utilization) < 0.5)
    assert all(0 <= share <= 1 for share in bus.stats().worker_utilization)


def test_handlers_run_in_place_do_not_make_a_worker_busier_than_time(factory: BusFactory) -> None:
    """CALLER_RUNS in a handler: the worker is busy once."""
    policy = BackpressurePolicy.CALLER_RUNS
    bus = factory.bus(queue_size=1, policy=policy, handler_reserve=0)
    bus.subscribe("leaf", lambda _: pause(0.02))
    bus.subscribe("root", lambda _: [bus.publish(Event("leaf")) for _ in range(10)])
    assert bus.publish(Event("root"))
    assert bus.flush(HANG)
    assert bus.stats().processed == 11
    assert 0 < bus.stats().worker_utilization[0] <= 1
    busy, age = queue_of(bus).snapshot(n_workers=1).workers[0]
    assert 9 * 20_000_000 <= busy <= age  # `worker_utilization` would hide it


# ---- the rest --------------------------------------------------------------------------------


def test_as_dict_is_ready_for_json(factory: BusFactory) -> None:
    """Nothing is lost in the conversion, and keys are strings."""
    bus = factory.bus(queue_size=1)
    bus.subscribe(object, lambda _: None)
    handle(bus, 3, priority=3)
    bus.publish(5)
    assert bus.flush(HANG)
    stats = bus.stats()
    plain = stats.as_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert set(plain) == {field.name for field in dataclasses.fields(BusStats)}
    assert plain["published"] == 4
    assert plain["dropped_by"]["evicted"] == {"1": 0, "2": 0, "3": 0}
    assert [plain["by_type"][name]["processed"] for name in ("a", "int")] == [3, 1]
    assert plain["queue_wait"]["max"] == stats.queue_wait.max


def test_without_monitoring_there_are_counts_but_no_times(factory: BusFactory) -> None:
    """Times, utilisation and history are 0 or empty; the counts agree as always."""
    bus = factory.bus(queue_size=2, monitoring=False, policy=BackpressurePolicy.DROP_NEWEST)
    gate = factory.hold(bus)
    bus.subscribe("a", lambda _: pause(0.01))
    for _ in range(4):
        bus.publish(Event("a"))
    gate.open()
    assert bus.flush(HANG)
    stats = bus.stats()
    assert_balance(stats)
    assert (stats.published, stats.processed, stats.dropped) == (5, 3, 2)
    assert stats.avg_processing_time == stats.processing_time.max == stats.queue_wait.max == 0
    assert list(stats.queue_depth_history) == []
    assert list(stats.worker_utilization) == [0]


def test_types_beyond_the_cap_are_counted_together(factory: BusFactory) -> None:
    """The first 1,023 have counts of their own, the others share those of `(other)`."""
    bus = factory.bus(queue_size=3000)
    bus.subscribe("*", lambda _: None)
    bus.publish_many(Event(f"type.{n}", n) for n in range(1500))
    assert bus.flush(HANG)
    stats = bus.stats()
    assert_balance(stats)
    assert stats.by_type["type.0"].processed == stats.by_type["type.1022"].processed == 1
    assert "type.1023" not in stats.by_type
    assert stats.by_type["(other)"].processed == 1500 - 1023
    assert bus.publish(Event("type.1499"))
    assert bus.publish(Event("type.5"))
    assert bus.flush(HANG)
    assert bus.stats().by_type["(other)"].processed == 1500 - 1023 + 1
    assert bus.stats().by_type["type.5"].processed == 2


def test_depth_is_what_is_queued(factory: BusFactory) -> None:
    """Over all levels, without running deliveries."""
    bus = factory.bus()
    factory.hold(bus)
    bus.subscribe("a", Recorder())
    for count in range(5):
        assert bus.depth == bus.stats().queued == count
        bus.publish(Event("a"), priority=1 + count % 3)
