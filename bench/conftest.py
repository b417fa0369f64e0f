"""Shared fixtures: buses whose workers are blocked, so that publishing can be timed alone."""

import logging
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, Event, EventBus

EVENTS = 1_000
"""Events per round of each suite: a figure divided by this is the cost of one event."""

ROUNDS = 100


class Held:
    """A bus whose only worker can be blocked in a handler."""

    def __init__(self, **settings: Any) -> None:
        usual = {
            "workers": 1,
            "queue_size": 4 * EVENTS,
            "publish_timeout": 0,
            "policy": BackpressurePolicy.DROP_NEWEST,
        }
        self.bus = EventBus(**{**usual, **settings})
        self._entered = Semaphore(0)
        self._pass = Semaphore(0)
        self.bus.subscribe("hold", self._hold)

    def _hold(self, _: Any) -> None:
        self._entered.release()
        self._pass.acquire()

    def hold(self) -> None:
        """Block the worker from now on, with an empty queue."""
        self.bus.publish(Event("hold"), priority=1)
        self._entered.acquire()

    def let_go(self) -> None:
        """Let the worker handle everything, and wait for that."""
        self._pass.release()
        self.bus.flush()

    def empty(self) -> None:
        """Handle what is queued, and block the worker again."""
        self.let_go()
        self.hold()


class Baseline:
    """SimpleQueue with worker threads."""

    def __init__(self, workers: int = 1) -> None:
        self.queue: SimpleQueue[Any] = SimpleQueue()
        self.handled = Semaphore(0)
        self._threads = [Thread(target=self._work, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        get = self.queue.get
        while (item := get()) is not None:
            event, handler = item
            handler(event)

    def flush(self) -> None:
        """Wait until all items are handled; for one worker."""
        self.queue.put((None, lambda _: self.handled.release()))
        self.handled.acquire()

    def stop(self) -> None:
        """End the threads."""
        for _ in self._threads:
            self.queue.put(None)
        for thread in self._threads:
            thread.join()


def no_op(_: Any) -> None:
    """Do nothing."""


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
        held.bus.stop(drain=False, timeout=0.01)
        held._pass.release(1_000)  # noqa: SLF001, whatever it was held by
        held.bus.stop()


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
