"""References of events with options: nothing keeps an event, its handlers, hooks, keys or contexts.

As in `test_references`, for tickets and the lanes of keys.
"""

import contextvars
import gc
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from brummerbus import Event, EventBus, QueueFull
from brummerbus._core._ext import Ticket
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest
from helpers.handlers import Outcomes
from helpers.internals import forget_routes
from helpers.waiting import HANG

TIMES = 5
"""Repetitions of each way: a count that is wrong by one each time is wrong by five."""

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "keyed": {"key": "data"},
    "limited": {"max_concurrency": 1},
    "batched": {"batch": 3, "key": "source"},
    "retried": {"retries": 2, "backoff": 0},
}
of_each_kind = pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)


class Key:
    """A payload that is a key, and counted."""


class Handler:
    """A handler that is counted; it returns, or raises the first times."""

    def __init__(self) -> None:
        self.fails = 0

    def __call__(self, events: Any) -> None:
        """Raise, if there is a reason to."""
        if self.fails:
            self.fails -= 1
            raise ValueError


class Scene:
    """A bus with a subscription of a kind to "a", and the counts of all that takes part."""

    def __init__(self, factory: BusFactory, options: dict[str, Any], **settings: Any) -> None:
        self.factory = factory
        usual = {"queue_size": 6, "policy": "reject", "on_error": lambda *_: None}
        self.bus: EventBus = factory.bus(**{**usual, **settings})
        self.handler = Handler()
        self.subscription = self.bus.subscribe("a", self.handler, **options)
        self.key = Key()
        self.event = Event("a", self.key)
        self.hook: Callable[[Any], object] = partial(len, ())  # fails, and is logged
        self.before = self.counts()

    def counts(self) -> dict[str, int]:
        """Return the counts, once the routes that are cached are gone."""
        forget_routes(self.bus)
        gc.collect()
        return {
            name: sys.getrefcount(getattr(self, name))
            for name in ("handler", "subscription", "event", "hook")
        }

    def settle(self) -> None:
        """Check that all counts are what they were; keys that are idle may be remembered."""
        assert_at_rest(self.bus)
        assert self.counts() == self.before
        assert not self.tickets()

    def tickets(self) -> list[Ticket]:
        """Return the tickets of the event."""
        tickets = [one for one in gc.get_objects() if type(one) is Ticket]
        return [one for one in tickets if any(r is self.event for r in gc.get_referents(one))]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be logged: the records would be kept."""
    monkeypatch.setattr(logging.getLogger("brummerbus"), "disabled", True)


@of_each_kind
@pytest.mark.parametrize("fails", [0, 2, 99], ids=["returns", "fails_at_first", "fails"])
def test_an_event_with_options_is_kept_by_nobody(
    factory: BusFactory, options: dict[str, Any], fails: int
) -> None:
    """Published with each option and many at once."""
    scene = Scene(factory, options, queue_size=100)
    for _ in range(TIMES):
        scene.handler.fails = fails
        assert scene.bus.publish(scene.event, on_done=scene.hook)
        assert scene.bus.publish(scene.event, expires=HANG)
        assert scene.bus.publish(scene.event, priority=3)
        assert scene.bus.publish_many([scene.event] * 3, on_done=scene.hook, expires=HANG) == 3
        assert scene.bus.flush(HANG)
    scene.settle()


@of_each_kind
@pytest.mark.parametrize("policy", ["drop_oldest", "reject", "drop_lowest", "caller_runs"])
def test_an_event_with_options_that_is_dropped_is_kept_by_nobody(
    factory: BusFactory, options: dict[str, Any], policy: str
) -> None:
    """Evicted, refused, run in the caller, expired, or dropped by the stop."""
    scene = Scene(factory, options, policy=policy, on_drop=lambda *_: None)
    gate = factory.hold(scene.bus)
    for n in range(6 * TIMES):
        expires = 1e-9 if n % 3 == 0 else None
        with suppress(QueueFull):
            scene.bus.publish(
                scene.event, on_done=scene.hook, expires=expires, priority=1 + n % 3, timeout=0
            )
    scene.bus.stop(timeout=0)
    gate.open()
    scene.settle()


def test_a_key_that_raises_keeps_nothing(factory: BusFactory) -> None:
    """Neither the event nor a lane."""
    scene = Scene(factory, {"key": lambda event: [event]})
    for _ in range(TIMES):
        with pytest.raises(TypeError):
            scene.bus.publish(scene.event, on_done=scene.hook)
    scene.settle()


def test_a_subscription_for_one_event_goes_with_it(factory: BusFactory) -> None:
    """Nothing is left of it, claimed or not."""
    scene = Scene(factory, {})
    for _ in range(TIMES):
        scene.bus.subscribe("a", scene.handler, once=True)
        assert scene.bus.publish(scene.event)
        scene.bus.subscribe("b", scene.handler, once=True, key="data").cancel()
        assert scene.bus.flush(HANG)
    scene.settle()


def test_a_context_is_kept_by_nobody(factory: BusFactory) -> None:
    """Once its event has ended."""
    variable: contextvars.ContextVar[Any] = contextvars.ContextVar("variable")
    scene = Scene(factory, {}, propagate_context=True)
    value = Key()
    before = sys.getrefcount(value)
    for _ in range(TIMES):
        contextvars.Context().run(lambda: (variable.set(value), scene.bus.publish(scene.event)))
    scene.settle()
    assert sys.getrefcount(value) == before


def test_outcomes_hold_no_more_than_they_say(factory: BusFactory) -> None:
    """The ticket goes although its outcome is kept."""
    scene, done = Scene(factory, KINDS["keyed"]), Outcomes()
    for _ in range(TIMES):
        scene.bus.publish(scene.event, on_done=done)
        assert scene.bus.flush(HANG)
    assert [outcome.event for outcome in done] == [scene.event] * TIMES
    assert not scene.tickets()
    done.clear()
    scene.settle()
