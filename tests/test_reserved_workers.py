"""`reserved_workers`: some workers take only the highest level, whatever holds the others."""

import threading

import pytest

from brummerbus import Event, EventBus, EventBusConfig
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest, assert_balance
from helpers.handlers import Gate, Recorder
from helpers.threads import run_together
from helpers.waiting import HANG, poll


def stuck(factory: BusFactory, **settings: object) -> tuple[EventBus, Gate]:
    """Make a bus all of whose unreserved workers are in a handler."""
    bus = factory.bus(**{"queue_size": 100, **settings})
    gate = factory.gate()
    bus.subscribe("stuck", gate)
    free = bus.workers - bus.config.reserved_workers
    bus.publish_many([Event("stuck")] * (free + 20), priority=1)
    gate.wait_entered(free)
    return bus, gate


@pytest.mark.parametrize(("workers", "reserved"), [(2, 1), (4, 1), (4, 3)])
def test_a_health_check_is_answered_while_all_others_are_stuck(
    factory: BusFactory, workers: int, reserved: int
) -> None:
    """Again and again; and what is queued for the others stays queued."""
    bus, gate = stuck(factory, workers=workers, reserved_workers=reserved)
    health = Recorder()
    bus.subscribe("health", health)
    for n in range(1, 20):
        bus.publish(Event("health"), priority=3)
        health.wait_for(n)
    poll(lambda: bus.stats().running == workers - reserved)  # the last check's ends a moment later
    assert bus.stats().queued == 20
    gate.open()
    assert_at_rest(bus)


def test_without_one_it_is_not(factory: BusFactory) -> None:
    """The test above would see it."""
    bus, gate = stuck(factory, workers=2)
    health = Recorder()
    bus.subscribe("health", health)
    bus.publish(Event("health"), priority=3)
    assert bus.barrier(0.05) is False
    assert health.events == []
    gate.open()
    assert_at_rest(bus)


def test_they_take_nothing_of_lower_levels(factory: BusFactory) -> None:
    """However much of it there is, and however long it waits."""
    bus = factory.bus(workers=3, reserved_workers=1, queue_size=1000, starvation_after=1e-9)
    threads: dict[int, set[str]] = {1: set(), 2: set(), 3: set()}
    lock = threading.Lock()

    def handler(event: Event) -> None:
        with lock:
            threads[event.data].add(threading.current_thread().name)

    bus.subscribe("a", handler)
    run_together(
        2, lambda _: [bus.publish(Event("a", 1 + n % 3), priority=1 + n % 3) for n in range(400)]
    )
    assert_at_rest(bus)
    assert len(threads[1] | threads[2]) <= 2


def test_the_others_take_the_highest_level_too(factory: BusFactory) -> None:
    """All of them at once."""
    bus = factory.bus(workers=3, reserved_workers=1, queue_size=100)
    gate = factory.gate()
    bus.subscribe("a", gate)
    bus.publish_many([Event("a")] * 5, priority=3)
    gate.wait_entered(3)
    gate.open()
    assert_at_rest(bus)


def test_idle_ones_do_not_keep_work_from_the_others(factory: BusFactory) -> None:
    """Whichever of them sleeps, a low event wakes one that may take it."""
    bus = factory.bus(workers=4, reserved_workers=3, queue_size=100)
    recorder = Recorder()
    bus.subscribe("a", recorder)
    for n in range(200):
        bus.publish(Event("a", n), priority=1 + n % 3)
        recorder.wait_for(n + 1)


def test_with_one_level_every_event_is_of_the_highest(factory: BusFactory) -> None:
    """So all workers take all."""
    bus = factory.bus(workers=3, reserved_workers=2, priority_levels=1, queue_size=100)
    gate = factory.gate()
    bus.subscribe("a", gate)
    bus.publish_many([Event("a")] * 5)
    gate.wait_entered(3)
    gate.open()
    assert_at_rest(bus)


def test_keyed_and_limited_deliveries_of_the_highest_level_are_theirs(factory: BusFactory) -> None:
    """Batches, too."""
    bus, gate = stuck(factory, workers=2, reserved_workers=1)
    seen = Recorder()
    batches: list[int] = []
    bus.subscribe("a", seen, key=lambda event: event.data % 2)
    bus.subscribe("a", seen, max_concurrency=1)
    bus.subscribe("a", lambda events: batches.append(len(events)), batch=10)
    for n in range(10):
        bus.publish(Event("a", n), priority=3)
    seen.wait_for(20)
    poll(lambda: sum(batches) == 10)
    assert bus.stats().queued == 20
    gate.open()
    assert_at_rest(bus)


def test_the_number_stays_when_the_pool_is_resized(factory: BusFactory) -> None:
    """Whichever workers leave and come."""
    bus, gate = stuck(factory, workers=4, reserved_workers=2)
    health = Recorder()
    bus.subscribe("health", health)
    bus.resize(6)
    gate.wait_entered(2)
    for answered, workers in enumerate((3, 5, 3), start=1):
        bus.resize(workers)
        bus.publish(Event("health"), priority=3)
        health.wait_for(answered)
    poll(lambda: bus.stats().running == 4)
    assert_balance(bus.stats())
    gate.open()
    assert_at_rest(bus)


def test_a_pool_of_reserved_workers_alone_is_refused(factory: BusFactory) -> None:
    """Nothing but the highest level would ever be handled."""
    bus = factory.bus(workers=3, reserved_workers=2)
    with pytest.raises(ValueError, match="workers must be an int from 3 to 1024, got 2"):
        bus.resize(2)
    bus.resize(3)
    for workers, reserved in ((1, 1), (3, 3), ((2, 8), 2), (2, -1)):
        with pytest.raises(ValueError, match="reserved_workers must be an int from 0 to"):
            EventBusConfig(workers=workers, reserved_workers=reserved)
    with pytest.raises(ValueError, match="reserved_workers"):
        EventBusConfig(workers=3, reserved_workers=1.5)  # type: ignore[arg-type]
    assert EventBusConfig(workers=(2, 8), reserved_workers=1).reserved_workers == 1


def test_handlers_that_publish_into_a_full_queue_do_not_wait_for_them(factory: BusFactory) -> None:
    """All workers that could make room wait in publish: the policy applies."""
    bus = factory.bus(
        workers=3, reserved_workers=1, queue_size=1, handler_reserve=0, policy="block",
        publish_timeout=0.1, on_error=lambda *_: None,
    )  # fmt: skip
    ended: list[object] = []
    both = threading.Barrier(2)

    def publish(event: Event) -> None:
        both.wait(HANG)
        try:
            for _ in range(3):
                bus.publish(Event("b"), priority=1)
        finally:
            ended.append(event)

    bus.subscribe("a", publish)
    bus.subscribe("b", lambda event: None)
    for _ in range(2):
        bus.publish(Event("a"), priority=2)
    poll(lambda: len(ended) == 2)
    assert_at_rest(bus)


def test_a_stop_drains_with_them(factory: BusFactory) -> None:
    """And ends them."""
    bus = factory.bus(workers=3, reserved_workers=2, queue_size=100)
    recorder = Recorder()
    bus.subscribe("a", recorder)
    bus.publish_many([Event("a", n) for n in range(50)], priority=1)
    assert bus.stop()
    assert recorder.data == list(range(50))
