"""Statistics by subscription, durations as histograms, and the number of waiting publishers."""

import ast
import inspect
import json
import math
import os
import threading
from itertools import pairwise
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, BusStats, Event, EventBus, QueueFull, _stats
from brummerbus._stats import Counts, Durations, Recent
from helpers.buses import BusFactory, fill
from helpers.handlers import Recorder
from helpers.processes import in_child
from helpers.threads import InThread, run_together
from helpers.waiting import HANG, pause, poll

COUNTS = ("published", "processed", "failed", "dropped", "queued", "running")


def assert_sums(stats: BusStats) -> None:
    """Check that the subscriptions' counts sum up to those of the bus, and that none is below 0."""
    parts = stats.by_subscription.values()
    for field in COUNTS:
        assert sum(getattr(part, field) for part in parts) == getattr(stats, field), field
        assert all(getattr(part, field) >= 0 for part in parts), field
    for part in parts:
        assert part.published == part.processed + part.dropped + part.queued + part.running


def fail(event: Any) -> None:
    """Fail."""
    raise LookupError


# ---- by subscription -------------------------------------------------------------------------


def test_each_subscription_has_counts_under_its_label(factory: BusFactory) -> None:
    """One event may be handled by one and fail in the other; counts exist without events, too."""
    bus = factory.bus(on_error=lambda *_: None)
    both = [bus.subscribe("a", Recorder()), bus.subscribe("*", fail)]
    idle = bus.subscribe("b", Recorder())
    fill(bus, 3)
    assert bus.flush(HANG)
    stats = bus.stats()
    assert_sums(stats)
    assert stats.by_subscription == {
        both[0].label: Counts(3, 3, 0, 0, 0, 0),
        both[1].label: Counts(3, 3, 3, 0, 0, 0),
        idle.label: Counts(0, 0, 0, 0, 0, 0),
    }
    assert both[1].label == "* -> fail"


def test_subscriptions_follow_a_delivery_through_its_life(factory: BusFactory) -> None:
    """Queued, running, dropped."""
    bus, gate = factory.bus(queue_size=2, policy=BackpressurePolicy.DROP_NEWEST), factory.gate()
    subscription = bus.subscribe("a", gate)
    assert bus.publish(Event("a"))
    gate.wait_entered()
    assert [bus.publish(Event("a")) for _ in range(3)] == [True, True, False]
    assert_sums(bus.stats())
    assert bus.stats().by_subscription[subscription.label] == Counts(4, 0, 0, 1, 2, 1)


def test_subscriptions_with_the_same_label_are_counted_together(factory: BusFactory) -> None:
    """As those created in a loop."""
    bus = factory.bus(queue_size=100)
    for _ in range(5):
        subscription = bus.subscribe("a", lambda event: None)
    fill(bus, 3)
    assert bus.flush(HANG)
    stats = bus.stats()
    assert stats.by_subscription == {subscription.label: Counts(15, 15, 0, 0, 0, 0)}
    assert_sums(stats)


def test_subscriptions_that_ended_are_counted_together(factory: BusFactory) -> None:
    """Under `(other)`, with what is still queued for them; nothing is lost."""
    bus = factory.bus()
    gate = factory.hold(bus)  # whose subscription has ended
    stays, goes = bus.subscribe("a", Recorder()), bus.subscribe("a", fail)
    fill(bus, 2)
    goes.cancel()
    fill(bus, 1)
    stats = bus.stats()
    assert stats.by_subscription == {
        stays.label: Counts(3, 0, 0, 0, 3, 0),
        "(other)": Counts(3, 0, 0, 0, 2, 1),
    }
    gate.open()
    assert bus.flush(HANG)
    stats = bus.stats()
    assert_sums(stats)
    assert stats.by_subscription["(other)"] == Counts(3, 3, 2, 0, 0, 0)


def test_without_ended_subscriptions_there_are_no_others(factory: BusFactory) -> None:
    """An ended one that received nothing leaves no counts."""
    bus = factory.bus()
    bus.subscribe("a", Recorder()).cancel()
    assert bus.stats().by_subscription == {}


def test_subscriptions_have_all_counts_in_every_snapshot(
    factory: BusFactory, frequent_switches: None
) -> None:
    """While they come and go, and their events are handled, dropped and fail."""
    bus = factory.bus(workers=2, queue_size=8, on_error=lambda *_: None)
    bus.subscribe("*", lambda event: 1 // (event.data % 3))
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            assert_sums(bus.stats())

    def publish(number: int) -> None:
        for i in range(300):
            with bus.subscribe("a", lambda event: None):
                bus.publish(Event("a", i))

    watcher = InThread(watch)
    run_together(3, publish)
    over.set()
    watcher.result()
    assert bus.flush(HANG)
    stats = bus.stats()
    assert_sums(stats)
    assert stats.by_subscription["(other)"].published >= 900


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_subscriptions_count_from_0_in_the_child_of_a_fork(factory: BusFactory) -> None:
    """As the bus does."""
    bus = factory.bus()
    label = bus.subscribe("a", Recorder()).label
    fill(bus, 3)
    assert bus.flush(HANG)

    def child() -> None:
        assert bus.stats().by_subscription == {label: Counts(0, 0, 0, 0, 0, 0)}
        fill(bus, 2)
        assert bus.flush(HANG)
        assert bus.stats().by_subscription == {label: Counts(2, 2, 0, 0, 0, 0)}

    assert in_child(child) == 0
    assert bus.stats().by_subscription == {label: Counts(3, 3, 0, 0, 0, 0)}


# ---- durations ---------------------------------------------------------------------------------


def assert_consistent(times: Durations) -> None:
    """Check the histogram, and the quantiles and the maximum by it."""
    edges, counts = [edge for edge, _ in times.buckets], [count for _, count in times.buckets]
    assert edges == sorted(set(edges))
    assert counts == sorted(set(counts))
    assert (counts[0] > 0, counts[-1]) == (True, times.count)
    assert all(type(count) is int for count in counts)
    lower = [0.0, *edges]
    assert lower[-2] <= times.max < lower[-1]
    for quantile, value in ((0.5, times.p50), (0.95, times.p95), (0.99, times.p99)):
        rank = math.ceil(quantile * times.count)
        edge = next(edge for edge, count in times.buckets if count >= rank)
        assert edge * 15 / 17 <= value <= edge
    sums = [edge * (b - a) for edge, (a, b) in zip(edges, pairwise([0, *counts]), strict=True)]
    assert sum(sums) * 15 / 17 <= times.sum <= sum(sums)


def of_many(factory: BusFactory) -> BusStats:
    """Return the statistics after 100 short deliveries and 5 long ones."""
    bus = factory.bus(queue_size=200)
    bus.subscribe("a", lambda event: pause(0.05 if event.data % 20 == 7 else 0.001))
    fill(bus, 100)
    assert bus.flush(HANG)
    return bus.stats()


def test_histograms_agree_with_count_sum_quantiles_and_maximum(factory: BusFactory) -> None:
    """Pairs of upper edge and cumulative count, the last of which has all."""
    stats = of_many(factory)
    for times in (stats.queue_wait, stats.processing_time):
        assert times.count == 100
        assert_consistent(times)
    above = stats.processing_time.count - max(
        count for edge, count in stats.processing_time.buckets if edge < 0.05
    )
    assert above >= 5
    assert stats.processing_time.sum >= 5 * 0.05 + 95 * 0.001
    assert stats.processing_time.sum <= stats.age


def test_recent_durations_of_a_young_bus_are_all_of_them(factory: BusFactory) -> None:
    """It is younger than half a minute."""
    stats = of_many(factory)
    assert stats.age < 30
    assert stats.recent.queue_wait == stats.queue_wait
    assert stats.recent.processing_time == stats.processing_time


@pytest.mark.skipif(os.environ.get("BRUMMERBUS_LONG") != "1", reason="takes more than a minute")
def test_recent_durations_forget_what_was_a_minute_ago(factory: BusFactory) -> None:
    """All of them do not."""
    bus = factory.bus()
    bus.subscribe("a", lambda event: pause(event.data))
    assert bus.publish(Event("a", 0.2))
    assert bus.flush(HANG)
    pause(65)
    assert bus.publish(Event("a", 0.01))
    assert bus.flush(HANG)
    stats = bus.stats()
    assert (stats.processing_time.count, stats.recent.processing_time.count) == (2, 1)
    assert stats.recent.processing_time.max < 0.2 <= stats.processing_time.max


@pytest.mark.parametrize("monitoring", [True, False])
def test_durations_of_nothing_are_0_and_have_no_buckets(
    factory: BusFactory, monitoring: bool
) -> None:
    """So are all if nothing is timed."""
    bus = factory.bus(monitoring=monitoring)
    if not monitoring:
        bus.subscribe("a", Recorder())
        fill(bus, 5)
        assert bus.flush(HANG)
    stats = bus.stats()
    recent = stats.recent
    for times in (stats.queue_wait, stats.processing_time, recent.queue_wait):
        assert times == Durations(0, 0, 0, 0, 0, 0, ())


# ---- who waits, and the reserve ------------------------------------------------------------------


def test_waiting_is_how_many_publishers_wait_for_room(factory: BusFactory) -> None:
    """The publishers that wait now."""
    bus = factory.bus(queue_size=1, policy=BackpressurePolicy.BLOCK)
    bus.subscribe("a", Recorder())
    gate = factory.hold(bus)
    fill(bus, 1)
    publishers = []
    for n in range(1, 4):
        publishers.append(InThread(lambda: bus.publish(Event("a"))))
        publishers[-1].await_waiter(bus, n)
        assert bus.stats().waiting == n
    with pytest.raises(QueueFull):
        bus.publish(Event("a"), timeout=0.01)
    assert bus.stats().waiting == 3
    gate.open()
    assert all(publisher.result() for publisher in publishers)
    assert bus.stats().waiting == 0


def test_reserve_used_is_what_handlers_have_queued_beyond_the_capacity(factory: BusFactory) -> None:
    """It decreases as workers take."""
    bus, gate = factory.bus(queue_size=2, handler_reserve=10), factory.gate()

    def cascade(event: Any) -> None:
        fill(bus, 5, "leaf")
        gate(event)

    bus.subscribe("root", cascade)
    bus.subscribe("leaf", gate)
    assert bus.publish(Event("root"))
    gate.wait_entered()
    stats = bus.stats()
    assert (stats.queued, stats.reserve_used, stats.dropped) == (5, 3, 0)
    gate.let_through()
    gate.wait_entered()
    assert (bus.stats().queued, bus.stats().reserve_used) == (4, 2)
    gate.open()
    assert bus.flush(HANG)
    assert bus.stats().reserve_used == 0


# ---- all fields --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [BusStats, Counts, Durations, Recent])
def test_every_field_has_a_docstring_in_the_source(kind: type) -> None:
    """After it, where editors look."""
    source = ast.parse(inspect.getsource(_stats))  # `kind` itself shows the public module
    classes = [node for node in source.body if isinstance(node, ast.ClassDef)]
    (definition,) = (node for node in classes if node.name == kind.__name__)
    after = dict(zip(definition.body, definition.body[1:], strict=False))
    for node in definition.body:
        if isinstance(node, ast.AnnAssign):
            below = after.get(node)
            assert isinstance(below, ast.Expr), ast.unparse(node)
            assert isinstance(below.value, ast.Constant)


def test_as_dict_has_all_of_it_ready_for_json(factory: BusFactory) -> None:
    """Pairs are lists, steps and counts are dicts."""
    bus: EventBus = factory.bus(name="json")
    label = bus.subscribe("a", Recorder()).label
    bus.subscribe("a", fail).cancel()
    fill(bus, 3)
    assert bus.flush(HANG)
    bus.resize(2)
    poll(lambda: bus.workers == 2)
    stats = bus.stats()
    plain = stats.as_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["by_subscription"][label]["processed"] == 3
    assert plain["queue_wait"]["buckets"] == [list(pair) for pair in stats.queue_wait.buckets]
    assert plain["recent"]["processing_time"]["count"] == 3
    assert (plain["waiting"], plain["reserve_used"]) == (0, 0)
    assert plain["sizing"][0]["after"] == 2
