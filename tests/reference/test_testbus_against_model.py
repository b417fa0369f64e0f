"""The bus without threads, step by step: it does what the plain Python one does.

Here a worker that is free takes whenever the test says so, and not at once. All that has to hold
for a bus with threads (`test_options_against_model`) has to hold here.
`BRUMMERBUS_LONG=1` in the environment makes it a long test.
"""

from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from options_model import Delivery, Kind
from test_options_against_model import LONG, POLICIES, Call, Item, OptionsMachine

from brummerbus import BackpressurePolicy
from brummerbus._core._ext import Worker
from brummerbus.testing import TestBus
from helpers.internals import queue_of, stepped_workers, timers_of


def _items(call: list[Delivery]) -> list[Item]:
    return [(one.event, one.kind.name) for one in call]


pytestmark = pytest.mark.slow


class SteppedMachine(OptionsMachine):
    """A bus without threads and the model of it, side by side."""

    @initialize(
        policy=st.sampled_from(POLICIES),
        size=st.integers(1, 7),
        workers=st.integers(1, 3),
    )
    def begin(self, policy: BackpressurePolicy, size: int, workers: int) -> None:
        """Make both."""
        self.held: list[tuple[Worker, list[Delivery]]] = []
        self.called: list[list[Item]] = []
        self.fails = False
        make = "test_options_against_model.EventBus"
        with mock.patch(make, lambda **options: TestBus(seed=0, **options)):
            super().begin(policy, size, workers)
        self.patch.stop()
        self.patch = mock.Mock()
        self.workers = stepped_workers(self.bus)

    def _handler(self, kind: Kind) -> Callable[[Any], None]:
        def handler(given: Any) -> None:
            events = given if kind.batch > 1 else [given]
            self.called.append([(event.data[0], kind.name) for event in events])
            if self.fails:
                raise ValueError

        return handler

    def _follow(self) -> None:
        """What was published to expire does, a nanosecond later; nobody takes anything yet."""
        queue = queue_of(self.bus)
        queue.set_clock(queue.clock() + 1)

    @precondition(lambda self: len(self.held) < len(self.workers))
    @rule(data=st.data())
    def take(self, data: st.DataObject) -> None:
        """Let a free worker take a delivery, after dropping what has expired."""
        free = [one for one in self.workers if all(one is not worker for worker, _ in self.held)]
        worker = free[data.draw(st.integers(0, len(free) - 1))]
        self.model.workers = len(self.held) + 1
        self.model.take()
        while worker.fill() == -1 and worker.take():
            pass
        if len(self.model.calls) == len(self.held):
            assert worker.fill() == -1
            return
        assert worker.fill() == 0
        self.held.append((worker, self.model.calls[-1]))
        self.running.append(Call(_items(self.model.calls[-1])))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), fails=st.booleans())
    def end(self, data: st.DataObject, fails: bool) -> None:
        """Run what a worker has taken."""
        worker, call = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        items = _items(call)
        self.running = [one for one in self.running if one.items != items]
        before = timers_of(self.bus)
        self.fails = fails
        assert worker.run()
        assert self.called == [items]
        self.called.clear()
        again = self.model.end(call, fails=fails)
        new = [timer for timer in timers_of(self.bus) if timer not in before]
        assert len(new) == len(again)
        self.delayed += zip(again, new, strict=True)

    @precondition(lambda self: self.delayed)
    @rule()
    def time_passes(self) -> None:
        """Let time pass until a retry is due."""
        timers = self.bus._engine._timers
        due = timers.next_due()
        delivery, _ = self.delayed.pop(
            next(i for i, (_, timer) in enumerate(self.delayed) if timer[0] == due)
        )
        queue_of(self.bus).set_clock(max(due, queue_of(self.bus).clock()))
        if delivery in self.model.queued:
            delivery.is_delayed = False
        assert timers.step(due)

    def teardown(self) -> None:
        """Stop at once, and run what was taken."""
        self.fails = False
        super().teardown()


TestStepped = SteppedMachine.TestCase
TestStepped.settings = settings(
    max_examples=5000 if LONG else 100,
    stateful_step_count=60 if LONG else 40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
