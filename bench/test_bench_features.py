"""The cost of each option, beside a publish without any. Each round is 1,000 events."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Semaphore, Thread
from typing import Any

import pytest

from bench.held import ROUNDS, no_op
from brummerbus import Event, EventBus

Make = Callable[..., Any]

FEATURES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    # Of the bus, of the subscription, of the publish.
    "none": ({}, {}, {}),
    "on_done": ({}, {}, {"on_done": no_op}),
    "expires": ({}, {}, {"expires": 1000.0}),
    "key": ({}, {"key": "data"}, {}),
    "one key": ({}, {"key": "type"}, {}),
    "max_concurrency": ({}, {"max_concurrency": 1}, {}),
    "batch": ({}, {"batch": 64}, {}),
    "retries": ({}, {"retries": 3}, {}),
    "reserved_workers": ({"workers": 2, "reserved_workers": 1}, {}, {}),
    "propagate_context": ({"propagate_context": True}, {}, {}),
    "flight_recorder": ({"flight_recorder": 10_000}, {}, {}),
    "on_unrouted": ({"on_unrouted": no_op}, {}, {}),
    "on_worker_start": ({"on_worker_start": lambda: None}, {}, {}),
}
of_each = pytest.mark.parametrize("feature", FEATURES)


def publishing(publish: Callable[..., object], options: dict[str, Any]) -> Callable[..., object]:
    """Return the call, without keywords if there are none."""
    return partial(publish, **options) if options else publish


@pytest.mark.benchmark(group="publish alone, with an option")
@of_each
def test_publish(benchmark: Any, make_held: Make, events: list[Event], feature: str) -> None:
    """The call by itself: the queue has free slots, and no worker runs."""
    of_bus, of_subscription, of_publish = FEATURES[feature]
    if "workers" in of_bus:
        pytest.skip("one worker is blocked, and the other would take")
    held = make_held(**of_bus)
    held.bus.subscribe("bench.event", no_op, **of_subscription)
    publish = publishing(held.bus.publish, of_publish)

    def work() -> None:
        for event in events:
            publish(event)

    held.hold()
    benchmark.pedantic(work, setup=held.empty, rounds=ROUNDS, warmup_rounds=3)


@pytest.mark.benchmark(group="publish to handled, with an option")
@of_each
def test_handled(benchmark: Any, make_bus: Make, events: list[Event], feature: str) -> None:
    """From publishing the events until all are handled."""
    of_bus, of_subscription, of_publish = FEATURES[feature]
    bus = make_bus(**of_bus)
    bus.subscribe("bench.event", no_op, **of_subscription)
    publish = publishing(bus.publish, of_publish)

    def work() -> None:
        for event in events:
            publish(event)
        bus.flush()

    benchmark.pedantic(work, rounds=ROUNDS, warmup_rounds=3)


class Method:
    """Has a handler that is a bound method."""

    def handle(self, _: Event) -> None:
        """Do nothing."""


@pytest.mark.benchmark(group="publish to handled, of a bound method")
@pytest.mark.parametrize("weak", [False, True])
def test_weak(benchmark: Any, make_bus: Make, events: list[Event], weak: bool) -> None:
    """Kept by its subscription, or not."""
    bus, method = make_bus(), Method()
    bus.subscribe("bench.event", method.handle, weak=weak)

    def work() -> None:
        for event in events:
            bus.publish(event)
        bus.flush()

    benchmark.pedantic(work, rounds=ROUNDS, warmup_rounds=3)


@pytest.mark.benchmark(group="publish to nobody")
@pytest.mark.parametrize("hook", [None, no_op])
def test_unrouted(benchmark: Any, make_bus: Make, events: list[Event], hook: Any) -> None:
    """Without and with `on_unrouted`."""
    bus = make_bus(on_unrouted=hook)

    def work() -> None:
        for event in events:
            bus.publish(event)

    benchmark.pedantic(work, rounds=ROUNDS, warmup_rounds=3)


@contextmanager
def nothing(_: EventBus) -> Iterator[None]:
    """Nobody else gets the events."""
    yield


@contextmanager
def listener(bus: EventBus) -> Iterator[None]:
    """A listener that drops the oldest."""
    with bus.listen("bench.event", maxsize=64, policy="drop_oldest"):
        yield


@contextmanager
def waiter(bus: EventBus) -> Iterator[None]:
    """A thread that waits for another event of the type."""
    wanted: Callable[[Event], bool] = lambda event: event.data is None  # noqa: E731
    thread = Thread(target=bus.wait_for, args=("bench.event", wanted))
    thread.start()
    yield
    bus.publish(Event("bench.event"))
    thread.join()


@pytest.mark.benchmark(group="publish to handled, beside others who get the event")
@pytest.mark.parametrize("other", [nothing, listener, waiter])
def test_taps(benchmark: Any, make_bus: Make, events: list[Event], other: Any) -> None:
    """`listen` and `wait_for`."""
    bus = make_bus()
    bus.subscribe("bench.event", no_op)

    def work() -> None:
        for event in events:
            bus.publish(event)
        bus.flush()

    with other(bus):
        benchmark.pedantic(work, rounds=ROUNDS, warmup_rounds=3)


@pytest.mark.benchmark(group="a single event, of a subscription of its own")
@pytest.mark.parametrize("once", [True, False])
def test_once(benchmark: Any, make_bus: Make, events: list[Event], once: bool) -> None:
    """`once=True`, or cancelled by hand; 100 of them, not 1,000."""
    bus = make_bus()

    def work() -> None:
        for event in events[:100]:
            subscription = bus.subscribe("bench.event", no_op, once=once)
            bus.publish(event)
            if not once:
                subscription.cancel()
        bus.flush()

    benchmark.pedantic(work, rounds=ROUNDS, warmup_rounds=3)


@pytest.mark.benchmark(group="publish_after")
class TestLater:
    """Events that are published by the timer thread, 100 per round, not 1,000."""

    def test_handled(self, benchmark: Any, make_bus: Make, events: list[Event]) -> None:
        """From scheduling them until all are handled."""
        bus, handled = make_bus(), Semaphore(0)
        bus.subscribe("bench.event", lambda _: handled.release())

        def work() -> None:
            for event in events[:100]:
                bus.publish_after(0, event)
            for _ in range(100):
                handled.acquire()

        benchmark.pedantic(work, rounds=ROUNDS, warmup_rounds=3)

    def test_cancelled(self, benchmark: Any, make_bus: Make, events: list[Event]) -> None:
        """Scheduled and cancelled again."""
        bus = make_bus()

        def work() -> None:
            for event in events[:100]:
                bus.publish_after(1_000, event).cancel()

        benchmark.pedantic(work, rounds=ROUNDS, warmup_rounds=3)


@pytest.mark.benchmark(group="barrier of an idle bus")
def test_barrier(benchmark: Any, make_bus: Make) -> None:
    """One call, not 1,000."""
    bus = make_bus()
    benchmark(bus.barrier)
