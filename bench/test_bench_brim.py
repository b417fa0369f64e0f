"""Publishing into a full queue, under every policy. Each round is 1,000 events."""

from collections.abc import Callable
from contextlib import suppress
from queue import Full, Queue, SimpleQueue
from threading import Thread
from typing import Any

import pytest

from bench.held import EVENTS, ROUNDS, Held, no_op
from brummerbus import BackpressurePolicy, Event, EventBus

Make = Callable[..., Any]
SIZE = 2 * EVENTS
SMALL = 64

pytestmark = pytest.mark.benchmark(group="publish at the brim")


def publish_all(bus: EventBus, events: list[Event]) -> None:
    """Publish; ignore refusals."""
    publish = bus.publish
    for event in events:
        with suppress(Full):
            publish(event)


def fill(held: Held) -> None:
    """Block the worker and fill the queue with events that may be evicted."""
    held.empty()
    for n in range(SIZE):
        held.bus.publish(Event("filling", n))


@pytest.mark.parametrize(
    "policy",
    [
        BackpressurePolicy.DROP_OLDEST,
        BackpressurePolicy.DROP_NEWEST,
        BackpressurePolicy.DROP_LOWEST,
        BackpressurePolicy.REJECT,
        BackpressurePolicy.CALLER_RUNS,
    ],
    ids=lambda policy: policy.name,
)
def test_bus(benchmark: Any, make_held: Make, events: list[Event], policy: Any) -> None:
    held = make_held(queue_size=SIZE, policy=policy, priorities={"filling": 1, "bench.event": 2})
    held.bus.subscribe("filling", no_op)
    held.bus.subscribe("bench.event", no_op)
    held.hold()
    benchmark.pedantic(
        publish_all,
        args=(held.bus, events),
        setup=lambda: fill(held),
        rounds=ROUNDS // 2,
        warmup_rounds=2,
    )


def test_bus_block(benchmark: Any, make_bus: Make, events: list[Event]) -> None:
    """BLOCK waits, so a worker drains the queue: a small one, full nearly all of the time."""
    bus = make_bus(queue_size=SMALL)
    bus.subscribe("bench.event", no_op)
    benchmark.pedantic(publish_all, args=(bus, events), rounds=ROUNDS, warmup_rounds=3)


def test_queue_block(benchmark: Any, events: list[Event]) -> None:
    """The same with `Queue`, and a thread that calls `get`."""
    queue: Queue[Any] = Queue(SMALL)

    def work() -> None:
        while queue.get() is not None:
            pass

    def put_all() -> None:
        for event in events:
            queue.put(event)

    thread = Thread(target=work, daemon=True)
    thread.start()
    benchmark.pedantic(put_all, rounds=ROUNDS, warmup_rounds=3)
    queue.put(None)
    thread.join()


def test_queue_reject(benchmark: Any, events: list[Event]) -> None:
    """`put_nowait` into a full `Queue`."""
    queue: Queue[Any] = Queue(1)
    queue.put(None)

    def put_all() -> None:
        for event in events:
            with suppress(Full):
                queue.put_nowait(event)

    benchmark.pedantic(put_all, rounds=ROUNDS, warmup_rounds=3)


def test_simple_queue(benchmark: Any, events: list[Event]) -> None:
    """`SimpleQueue.put`, which is unbounded."""

    def put_all(put: Callable[[Any], object]) -> None:
        for event in events:
            put(event)

    benchmark.pedantic(
        put_all, setup=lambda: ((SimpleQueue().put,), {}), rounds=ROUNDS, warmup_rounds=3
    )
