"""The cost of each option, beside a publish without any. Each round is 1,000 events."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from bench.held import ROUNDS, no_op
from brummerbus import Event

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


@pytest.mark.benchmark(group="barrier of an idle bus")
def test_barrier(benchmark: Any, make_bus: Make) -> None:
    """One call, not 1,000."""
    bus = make_bus()
    benchmark(bus.barrier)
