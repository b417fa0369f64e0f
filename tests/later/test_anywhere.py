"""Scheduling from signal handlers and hooks, and interrupted anywhere."""

import logging
import signal
from collections.abc import Callable
from typing import Any

import pytest

from brummerbus import Event, EventBus
from helpers.buses import BusFactory
from helpers.checks import assert_balance
from helpers.handlers import Drops, Recorder
from helpers.opcodes import At
from helpers.scheduling import full_bus
from helpers.waiting import poll

NEVER = 3600.0
"""Seconds that no test waits."""


def test_a_signal_handler_can_schedule_and_cancel(factory: BusFactory) -> None:
    """Whatever it interrupts; here, the very same calls."""
    bus = factory.bus()
    before = signal.getsignal(signal.SIGTERM)

    def handler(_number: int, _frame: object) -> None:
        assert bus.publish_after(NEVER, Event("a")).cancel()

    signal.signal(signal.SIGTERM, handler)
    try:
        for k in range(1, 400, 7):
            at = At(k, lambda: signal.raise_signal(signal.SIGTERM))
            at.during(lambda: bus.publish_after(NEVER, Event("a")).cancel())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert bus.stats().scheduled == 0


def test_a_hook_that_schedules_what_was_dropped_does_not_loop(factory: BusFactory) -> None:
    """What a hook schedules counts as published by it."""
    bus: EventBus
    dropped: list[Any] = []

    def again(event: Event, _subscription: object, _reason: object) -> None:
        dropped.append(event)
        bus.publish_after(0, event)

    bus, _, _ = full_bus(factory, "drop_newest", on_drop=again)
    bus.publish_after(0, Event("a", "again"))
    poll(lambda: bus.stats().dropped == 4)  # the last one is counted, and reported no more
    poll(lambda: bus.stats().scheduled == 0)
    assert len(dropped) == 3


def interrupt_everywhere(call: Callable[[], Callable[[], object]], step: int = 1) -> int:
    """Interrupt calls, each made again, at one of their opcodes after the other; how many."""
    for k in range(1, 20_000, step):
        at = At(k, lambda: signal.default_int_handler(signal.SIGINT, None))
        try:
            at.during(call())
        except KeyboardInterrupt:
            assert at.where
        else:
            assert not at.where, f"{at.where}: the interrupt was swallowed"
            return k
    raise AssertionError


def test_an_interrupted_call_schedules_an_event_or_does_not(factory: BusFactory) -> None:
    """What it has scheduled is counted, and dropped at the end."""
    bus = factory.bus(on_drop=Drops())
    bus.subscribe("a", Recorder())
    bus.publish_after(NEVER, Event("a")).cancel()
    assert interrupt_everywhere(lambda: lambda: bus.publish_after(NEVER, Event("a"))) > 50
    scheduled = bus.stats().scheduled
    assert scheduled >= 1
    bus.stop()
    stats = bus.stats()
    assert (stats.scheduled, stats.dropped) == (0, scheduled)
    assert_balance(stats)


@pytest.mark.slow
def test_an_interrupted_stop_counts_each_scheduled_event_once(
    factory: BusFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one counts the rest."""
    monkeypatch.setattr(logging.getLogger("brummerbus"), "disabled", True)
    buses: list[EventBus] = []

    def stop() -> Callable[[], object]:
        for bus in buses[-1:]:
            check(bus)
        bus = factory.bus(on_drop=lambda *_: None)
        bus.subscribe("a", Recorder())
        for _ in range(3):
            bus.publish_after(NEVER, Event("a"))
        buses.append(bus)
        return bus.stop

    def check(bus: EventBus) -> None:
        bus.stop()
        stats = bus.stats()
        assert (stats.scheduled, stats.dropped) == (0, 3)
        assert_balance(stats)

    assert interrupt_everywhere(stop, step=3) > 100
    check(buses[-1])
