"""Fixtures of the benchmark suites."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bench.held import EVENTS, Baseline, Held
from brummerbus import BackpressurePolicy, Event, EventBus


@pytest.fixture
def events() -> list[Event]:
    """Create the events of a round, of the single type that the suites use."""
    return [Event("bench.event", n) for n in range(EVENTS)]


@pytest.fixture
def make_held() -> Iterator[Callable[..., Held]]:
    """Create buses with a blocked worker that end with the test."""
    made: list[Held] = []

    def make(**settings: Any) -> Held:
        made.append(Held(**settings))
        return made[-1]

    yield make
    for held in made:
        held.end()


@pytest.fixture
def make_bus() -> Iterator[Callable[..., EventBus]]:
    """Create running buses, as for the target ratios, that end with the test."""
    made: list[EventBus] = []

    def make(**settings: Any) -> EventBus:
        usual = {"workers": 1, "queue_size": 4096, "policy": BackpressurePolicy.BLOCK}
        made.append(EventBus(**{**usual, **settings}))
        return made[-1]

    yield make
    for bus in made:
        bus.stop()


@pytest.fixture
def baseline() -> Iterator[Baseline]:
    """Create a SimpleQueue with one worker."""
    baseline = Baseline()
    yield baseline
    baseline.stop()


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the first drop of a streak out of the log, and its cost out of the figures."""
    logger = logging.getLogger("brummerbus")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)
