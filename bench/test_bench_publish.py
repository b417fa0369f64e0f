"""The cost to a publisher: one event, batches, monitoring. Each round is 1,000 events."""

from collections.abc import Callable
from queue import Queue, SimpleQueue
from typing import Any, ClassVar

import pytest

from bench.held import EVENTS, ROUNDS, Baseline, Held, no_op
from brummerbus import Event, EventBus

Make = Callable[..., Any]


def put_all(put: Callable[[Any], object], events: list[Event]) -> None:
    """Call with each event, as a publisher's loop does."""
    for event in events:
        put(event)


def run_held(benchmark: Any, held: Held, work: Callable[[], object]) -> None:
    """Time `work` on an empty queue from which no worker takes."""
    held.hold()
    benchmark.pedantic(work, setup=held.empty, rounds=ROUNDS, warmup_rounds=3)


@pytest.mark.benchmark(group="publish alone")
class TestPublishAlone:
    """The call by itself: the queue has free slots, and no worker runs."""

    def test_bus(self, benchmark: Any, make_held: Make, events: list[Event]) -> None:
        held = make_held()
        held.bus.subscribe("bench.event", no_op)
        run_held(benchmark, held, lambda: put_all(held.bus.publish, events))

    def test_bus_unmonitored(self, benchmark: Any, make_held: Make, events: list[Event]) -> None:
        held = make_held(monitoring=False)
        held.bus.subscribe("bench.event", no_op)
        run_held(benchmark, held, lambda: put_all(held.bus.publish, events))

    def test_bus_unrouted(self, benchmark: Any, make_held: Make, events: list[Event]) -> None:
        held = make_held()
        run_held(benchmark, held, lambda: put_all(held.bus.publish, events))

    def test_simple_queue(self, benchmark: Any, events: list[Event]) -> None:
        benchmark.pedantic(
            put_all,
            setup=lambda: ((SimpleQueue().put, events), {}),
            rounds=ROUNDS,
            warmup_rounds=3,
        )

    def test_queue(self, benchmark: Any, events: list[Event]) -> None:
        benchmark.pedantic(
            put_all,
            setup=lambda: ((Queue(4 * EVENTS).put, events), {}),
            rounds=ROUNDS,
            warmup_rounds=3,
        )


@pytest.mark.parametrize("size", [8, 64, 512])
class TestPublishMany:
    """Batches, of 1,000 events in all."""

    @pytest.fixture(autouse=True)
    def _group(self, benchmark: Any, size: int) -> None:
        benchmark.group = f"publish_many in {size}"

    def test_bus(self, benchmark: Any, make_held: Make, events: list[Event], size: int) -> None:
        held = make_held()
        held.bus.subscribe("bench.event", no_op)
        batches = [events[i : i + size] for i in range(0, EVENTS, size)]
        run_held(benchmark, held, lambda: put_all(held.bus.publish_many, batches))

    @pytest.mark.usefixtures("size")
    def test_simple_queue(self, benchmark: Any, events: list[Event]) -> None:
        benchmark.pedantic(
            put_all,
            setup=lambda: ((SimpleQueue().put, events), {}),
            rounds=ROUNDS,
            warmup_rounds=3,
        )


@pytest.mark.benchmark(group="monitoring, publish to handled")
class TestMonitoring:
    """The cost of timing and of the monitor thread, from publish to handled."""

    SETTINGS: ClassVar[dict[str, dict[str, Any]]] = {
        "on": {},
        "off": {"monitoring": False},
        "on, with a monitor": {"slow_handler_after": 60.0},
        "on, elastic": {"workers": (1, 2)},
    }

    @pytest.mark.parametrize("settings", SETTINGS)
    def test_bus(self, benchmark: Any, make_bus: Make, events: list[Event], settings: str) -> None:
        bus: EventBus = make_bus(**self.SETTINGS[settings])
        bus.subscribe("bench.event", no_op)

        def work() -> None:
            put_all(bus.publish, events)
            bus.flush()

        benchmark.pedantic(work, rounds=ROUNDS, warmup_rounds=3)

    def test_simple_queue(self, benchmark: Any, baseline: Baseline, events: list[Event]) -> None:
        def work() -> None:
            put = baseline.queue.put
            for event in events:
                put((event, no_op))
            baseline.flush()

        benchmark.pedantic(work, rounds=ROUNDS, warmup_rounds=3)
