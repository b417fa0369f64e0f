"""Hooks and logging handlers that publish on their own bus: the chains end."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, Event, QueueFull
from helpers.buses import BusFactory
from helpers.checks import assert_balance
from helpers.handlers import Recorder
from helpers.waiting import HANG

KEEPING = [BackpressurePolicy.BLOCK, BackpressurePolicy.CALLER_RUNS]


class Publishing(logging.Handler):
    """A logging handler that publishes its records."""

    def __init__(self, publish: Callable[[], object]) -> None:
        super().__init__()
        self.publish = publish
        self.calls = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Publish."""
        self.calls += 1
        assert self.calls < 10_000, "endless"
        self.publish()


@pytest.mark.parametrize("policy", [p for p in BackpressurePolicy if p not in KEEPING])
def test_on_drop_that_publishes_comes_to_an_end(
    factory: BusFactory, policy: BackpressurePolicy
) -> None:
    """Its own event is dropped too, and reported, but not for ever."""
    calls = []

    def on_drop(event: Event, *_: object) -> None:
        calls.append(event)
        for _ in range(2):
            bus.publish(Event("a"), priority=3)

    bus = factory.bus(queue_size=1, policy=policy, on_drop=on_drop)
    factory.hold(bus)
    bus.subscribe("a", Recorder())
    for _ in range(5):
        try:
            bus.publish(Event("a"), priority=1)
        except QueueFull:
            assert policy is BackpressurePolicy.REJECT
    assert 5 <= len(calls) < 200
    assert_balance(bus.stats())


@pytest.mark.parametrize("failure", [ValueError, SystemExit])
def test_on_error_that_publishes_comes_to_an_end(
    factory: BusFactory, failure: type[BaseException]
) -> None:
    """Its event's handler fails too, and so on, but not for ever."""
    calls = []

    def on_error(event: Event, *_: object) -> None:
        calls.append(event)
        for _ in range(2):
            bus.publish(Event("failed"))

    def fail(_: Any) -> None:
        raise failure

    bus = factory.bus(queue_size=100, on_error=on_error)
    bus.subscribe("*", fail)
    bus.publish(Event("a"))
    assert bus.flush(HANG)
    assert 1 <= len(calls) < 200
    assert bus.stats().failed == bus.stats().processed


@pytest.mark.parametrize("raised", [None, ValueError, SystemExit])
def test_logging_handler_that_publishes_comes_to_an_end(
    factory: BusFactory, raised: type[BaseException] | None
) -> None:
    """Also if the event's handler fails, and if `on_error` itself raises, which is logged."""

    def fail(_: Any) -> None:
        raise KeyError

    def on_error(*_: object) -> None:
        assert raised is not None
        raise raised

    bus = factory.bus(queue_size=100, on_error=on_error if raised else None)
    bus.subscribe("*", fail)
    handler = Publishing(lambda: bus.publish(Event("log")))
    logger = logging.getLogger("brummerbus")
    logger.addHandler(handler)
    try:
        bus.publish(Event("a"))
        assert bus.flush(HANG)
    finally:
        logger.removeHandler(handler)
    assert 1 <= handler.calls < 200


def test_logging_handler_that_publishes_drops_comes_to_an_end(factory: BusFactory) -> None:
    """The warning of a drop, published into the full queue, is dropped itself."""
    bus = factory.bus(queue_size=1, on_drop=lambda *_: 1 / 0)
    factory.hold(bus)
    bus.subscribe("*", Recorder())
    handler = Publishing(lambda: bus.publish(Event("log")))
    logger = logging.getLogger("brummerbus")
    logger.addHandler(handler)
    try:
        for _ in range(5):
            assert bus.publish(Event("a"))
    finally:
        logger.removeHandler(handler)
    assert 1 <= handler.calls < 500
    assert_balance(bus.stats())
