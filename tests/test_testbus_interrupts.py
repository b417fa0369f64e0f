"""A bus without threads, interrupted before each opcode that it executes, is whole afterwards."""

import contextlib
import logging
from typing import Any

import pytest

from brummerbus import BusError, Event
from brummerbus.testing import TestBus
from helpers.checks import assert_balance
from helpers.interrupts import LIMIT, LONG, interrupt
from helpers.opcodes import At

pytestmark = pytest.mark.slow

STRIDE = 1 if LONG else 31
"""From one opcode to the next that is struck: at each, it takes a minute."""


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable the log: each interrupt of a hook would be logged."""
    monkeypatch.setattr(logging.getLogger("brummerbus"), "disabled", True)


class Stage:
    """A bus with something of everything to do."""

    def __init__(self, **options: Any) -> None:
        self.bus = TestBus(seed=7, on_error=lambda *_: None, **options)
        self.bus.subscribe("a", lambda event: None)
        self.bus.subscribe("a", lambda event: 1 / 0, retries=1, backoff=1)
        self.bus.subscribe("b", lambda events: None, batch=3, batch_wait=2)

    def prepare(self) -> None:
        """Publish some, and schedule one."""
        for event_type in "abab":
            self.bus.publish(Event(event_type), on_done=lambda outcome: None)
        self.bus.publish_after(1, Event("a"))

    def assert_whole(self) -> None:
        """Nothing is lost: the rest can be run, and all of it ends."""
        assert_balance(self.bus.stats())
        self.bus.advance(60)
        stats = self.bus.stats()
        assert_balance(stats)
        assert (stats.running, stats.queued, stats.scheduled) == (0, 0, 0)
        assert stats.processed + stats.dropped == stats.published


@pytest.mark.parametrize(
    "name", ["run_until_idle", "advance", "flush", "barrier", "publish that waits"]
)
def test_interrupted_anywhere_it_is_whole(name: str) -> None:
    stage = Stage(queue_size=20)
    bus = stage.bus
    calls: dict[str, Any] = {
        "run_until_idle": bus.run_until_idle,
        "advance": lambda: bus.advance(5),
        "flush": bus.flush,
        "barrier": bus.barrier,
        "publish that waits": lambda: [bus.publish(Event("a"), timeout=9) for _ in range(8)],
    }
    for k in range(1, LIMIT, STRIDE):
        stage.prepare()
        at = At(k, interrupt)
        # What workers and the timer call lets no exception pass, here as in a thread.
        with contextlib.suppress(KeyboardInterrupt):
            at.during(calls[name])
        try:
            stage.assert_whole()
        except (AssertionError, BusError) as error:
            raise AssertionError(f"struck before opcode {k} in {at.where}") from error
        if not at.where:
            break
    assert 100 < k < LIMIT - STRIDE
    assert bus.stop()
