"""Events and subscriptions with options, repeatedly: they leak nothing.

Counts of references are compared in `test_references_options.py`.
"""

import logging
from contextlib import suppress
from typing import Any

import pytest
from leaks import assert_keeps_nothing

from brummerbus import Event, EventBus, QueueFull
from helpers.buses import BusFactory
from helpers.waiting import HANG

pytestmark = pytest.mark.slow

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "keyed": {"key": "data"},
    "limited": {"max_concurrency": 1},
    "batched": {"batch": 3, "key": "source"},
    "retried": {"retries": 2, "backoff": 0},
}
EVENTS = 30
"""Events of one round: more than fit into the queue."""


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the log from storing records: they refer to events."""
    monkeypatch.setattr(logging.getLogger("brummerbus"), "disabled", True)


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("policy", ["drop_oldest", "reject", "block"])
def test_events_with_options_keep_no_memory(
    factory: BusFactory, options: dict[str, Any], policy: str
) -> None:
    """Accepted, retried, expired, evicted or refused."""

    def ignore(*_: Any) -> None:
        pass

    def handler(events: Any) -> None:
        if failing:
            failing.pop()
            raise ValueError

    bus = factory.bus(queue_size=20, policy=policy, on_error=ignore, on_drop=ignore)
    bus.subscribe("a", handler, **options)
    failing: list[bool] = []
    timeout = None if policy == "block" else 0.0
    endings: tuple[dict[str, Any], ...] = (
        {"on_done": ignore},
        {"expires": 1e-9},
        {"expires": HANG},
    )

    def publish() -> None:
        failing[:] = [True] * 3
        for number in range(EVENTS):
            with suppress(QueueFull):
                bus.publish(Event("a", number % 10), timeout=timeout, **endings[number % 3])
        assert bus.flush(HANG)

    assert_keeps_nothing(publish, times=100)


def test_a_bus_that_had_events_with_options_is_gone() -> None:
    """With the hooks, the lanes and the contexts that its events referred to."""

    def live() -> None:
        with EventBus(workers=1, on_drop=lambda *_: None, propagate_context=True) as bus:
            for options in KINDS.values():
                bus.subscribe("a", lambda events: None, **options)
            bus.publish(Event("a", 1), on_done=lambda outcome: None, expires=HANG)
            bus.publish(Event("a", 2), expires=1e-9)

    assert_keeps_nothing(live, times=30)
