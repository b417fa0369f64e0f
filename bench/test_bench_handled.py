"""From publish to handled: workers, levels, handlers; and stats(). Each round is 1,000 events."""

from collections.abc import Callable
from typing import Any

import pytest

from bench.held import ROUNDS, Baseline, no_op
from brummerbus import Event, EventBus

Make = Callable[..., Any]


def run_bus(benchmark: Any, bus: EventBus, events: list[Event]) -> None:
    """Time from publishing the events until all are handled."""

    def work() -> None:
        publish = bus.publish
        for event in events:
            publish(event)
        bus.flush()

    benchmark.pedantic(work, rounds=ROUNDS, warmup_rounds=3)


def run_baseline(benchmark: Any, baseline: Baseline, events: list[Event], times: int = 1) -> None:
    """Time from putting each event, `times` times, until all are handled."""

    def work() -> None:
        put = baseline.queue.put
        for event in events:
            for _ in range(times):
                put((event, no_op))
        baseline.flush()

    benchmark.pedantic(work, rounds=ROUNDS, warmup_rounds=3)


@pytest.mark.benchmark(group="publish to handled")
class TestHandled:
    """One publisher; one worker and four."""

    @pytest.mark.parametrize("workers", [1, 4])
    def test_bus(self, benchmark: Any, make_bus: Make, events: list[Event], workers: int) -> None:
        bus = make_bus(workers=workers)
        bus.subscribe("bench.event", no_op)
        run_bus(benchmark, bus, events)

    def test_bus_in_batches_of_64(
        self, benchmark: Any, make_bus: Make, events: list[Event]
    ) -> None:
        bus = make_bus()
        bus.subscribe("bench.event", no_op)
        batches = [events[i : i + 64] for i in range(0, len(events), 64)]

        def work() -> None:
            for batch in batches:
                bus.publish_many(batch)
            bus.flush()

        benchmark.pedantic(work, rounds=ROUNDS, warmup_rounds=3)

    def test_simple_queue(self, benchmark: Any, baseline: Baseline, events: list[Event]) -> None:
        run_baseline(benchmark, baseline, events)


@pytest.mark.benchmark(group="priorities")
class TestPriorities:
    """Events distributed over all levels."""

    @pytest.mark.parametrize("levels", [1, 3, 8])
    def test_bus(self, benchmark: Any, make_bus: Make, events: list[Event], levels: int) -> None:
        types = {f"bench.{level}": level for level in range(1, levels + 1)}
        bus = make_bus(priority_levels=levels, priorities=types)
        bus.subscribe("bench.*", no_op)
        spread = [Event(f"bench.{n % levels + 1}", n) for n in range(len(events))]
        run_bus(benchmark, bus, spread)

    def test_simple_queue(self, benchmark: Any, baseline: Baseline, events: list[Event]) -> None:
        run_baseline(benchmark, baseline, events)


@pytest.mark.parametrize("handlers", [1, 3, 10])
class TestHandlers:
    """Several handlers per event; the queue gets an entry for each."""

    @pytest.fixture(autouse=True)
    def _group(self, benchmark: Any, handlers: int) -> None:
        benchmark.group = f"handlers: {handlers}"

    def test_bus(self, benchmark: Any, make_bus: Make, events: list[Event], handlers: int) -> None:
        bus = make_bus()
        for _ in range(handlers):
            bus.subscribe("bench.event", no_op)
        run_bus(benchmark, bus, events)

    def test_simple_queue(
        self, benchmark: Any, baseline: Baseline, events: list[Event], handlers: int
    ) -> None:
        run_baseline(benchmark, baseline, events, handlers)


@pytest.mark.benchmark(group="stats(), one call")
class TestStats:
    """A snapshot of the bus; a queue has only `qsize`."""

    @pytest.mark.parametrize("types", [1, 10, 100])
    def test_bus(self, benchmark: Any, make_bus: Make, types: int) -> None:
        bus = make_bus()
        bus.subscribe("*", no_op)
        for n in range(1_000):
            bus.publish(Event(f"bench.{n % types}"))
        bus.flush()
        benchmark(bus.stats)

    def test_simple_queue_qsize(self, benchmark: Any, baseline: Baseline) -> None:
        benchmark(baseline.queue.qsize)
