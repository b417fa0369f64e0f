"""The study's load cases, and realistic bursts."""

import threading
from time import perf_counter

import pytest

from brummerbus import Event, EventBus
from helpers.checks import assert_balance
from helpers.threads import run_together
from helpers.waiting import HANG

pytestmark = pytest.mark.slow

CASES = {
    "small": (2, 20, 1_000, 10, 1),
    "medium": (4, 40, 10_000, 50, 5),
    "heavy": (8, 80, 100_000, 100, 30),
    "burst": (4, 200, 50_000, 500, 10),
}
TYPES = ("log.line", "process.started", "build.event")

NEVER = 10 * HANG
"""Seconds, far more than any case needs on any machine."""

PATIENCE = 5
"""The `publish_timeout`; a busy machine may not run a worker for 0.1 s, which is the default."""


class Counter:
    """A handler that counts its calls, in a list per thread, and so without a lock."""

    def __init__(self) -> None:
        self._calls: dict[int, list[object]] = {}

    def __call__(self, event: Event) -> None:
        """Count."""
        self._calls.setdefault(threading.get_ident(), []).append(event.data)

    @property
    def seen(self) -> list[object]:
        """The calls of all threads."""
        return [data for calls in self._calls.values() for data in calls]


def publish_from(publishers: int, each: int, bus: EventBus) -> float:
    """Publish from many threads concurrently; the seconds until all is handled."""

    def work(number: int) -> None:
        for i in range(each):
            assert bus.publish(Event(TYPES[i % len(TYPES)], (number, i))) is True

    began = perf_counter()
    run_together(publishers, work)
    assert bus.flush(NEVER)
    return perf_counter() - began


@pytest.mark.parametrize("case", CASES)
def test_load_case_loses_nothing_with_the_default_policy(case: str) -> None:
    """Each event is handled once, and there are no more threads than workers + 10."""
    workers, queue_size, events, publishers, limit = CASES[case]
    before = threading.active_count()
    counter = Counter()
    with EventBus(workers=workers, queue_size=queue_size, publish_timeout=PATIENCE) as bus:
        bus.subscribe("*", counter)
        elapsed = publish_from(publishers, events // publishers, bus)
        stats = bus.stats()
        assert threading.active_count() - before <= workers + 10
    print(f"{case}: {events:,} events in {elapsed:.2f} s (the study allows {limit} s)")
    assert_balance(stats)
    assert (stats.published, stats.processed, stats.dropped) == (events, events, 0)
    expected = {(n, i) for n in range(publishers) for i in range(events // publishers)}
    assert len(counter.seen) == events
    assert set(counter.seen) == expected
    assert threading.active_count() == before


@pytest.mark.parametrize("types", [("log.line",), ("log.line", "process.started")])
def test_hundred_thousand_events_in_a_loop_lose_nothing(types: tuple[str, ...]) -> None:
    """With a handler that keeps up, and for events that overtake each other."""
    counter = Counter()
    with EventBus(publish_timeout=PATIENCE) as bus:
        bus.subscribe("*", counter)
        for i in range(100_000):
            bus.publish(Event(types[i % len(types)], i))
        assert bus.flush(NEVER)
        stats = bus.stats()
    assert (stats.processed, stats.dropped) == (100_000, 0)
    assert sorted(counter.seen) == list(range(100_000))  # type: ignore[type-var]


def test_publish_many_of_hundred_thousand_loses_nothing() -> None:
    """The batch waits where a loop would."""
    counter = Counter()
    with EventBus(publish_timeout=PATIENCE) as bus:
        bus.subscribe("log.line", counter)
        assert bus.publish_many(Event("log.line", i) for i in range(100_000)) == 100_000
        assert bus.flush(NEVER)
        assert bus.stats().dropped == 0
    assert sorted(counter.seen) == list(range(100_000))  # type: ignore[type-var]


def test_hundred_publishers_run_ten_thousand_handlers() -> None:
    """100 events each, alternating between two types with a handler each."""
    lines, starts = Counter(), Counter()
    with EventBus(publish_timeout=PATIENCE) as bus:
        bus.subscribe("log.line", lines)
        bus.subscribe("process.started", starts)
        run_together(
            100,
            lambda n: [bus.publish(Event(TYPES[i % 2], (n, i))) for i in range(100)],
        )
        assert bus.flush(NEVER)
        assert bus.stats().dropped == 0
    assert len(set(lines.seen)) == len(lines.seen) == 5000
    assert len(set(starts.seen)) == len(starts.seen) == 5000


@pytest.mark.parametrize("at_once", [True, False], ids=["at_once", "in_turn"])
def test_ten_buses_leave_no_thread(at_once: object) -> None:
    """Created, used and stopped, all together or one after the other."""
    before = set(threading.enumerate())
    counter = Counter()
    alive: list[EventBus] = []
    for _ in range(10):
        bus = EventBus(publish_timeout=PATIENCE)
        bus.subscribe("log.line", counter)
        bus.publish_many(Event("log.line", i) for i in range(100))
        if at_once:
            alive.append(bus)
        else:
            assert bus.stop(timeout=HANG)
            assert set(threading.enumerate()) == before
    assert all(bus.stop(timeout=HANG) for bus in alive)
    assert set(threading.enumerate()) == before
    assert len(counter.seen) == 1000


def test_slow_handlers_lose_nothing_either() -> None:
    """Ten publishers with handlers that wait: they are paced."""
    counter, pause = Counter(), threading.Event()

    def slow(event: Event) -> None:
        pause.wait(0.001)
        counter(event)

    bus = EventBus(workers=4, queue_size=20, publish_timeout=PATIENCE)
    bus.subscribe("*", slow)
    with bus:
        publish_from(10, 100, bus)
        assert bus.stats().dropped == 0
    assert len(set(counter.seen)) == 1000
