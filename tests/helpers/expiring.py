"""Events that expire: what their tests share."""

from typing import Any

import pytest

from brummerbus import DropReason, Event, EventBus
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest, assert_balance
from helpers.handlers import Drops

EXPIRED = DropReason.EXPIRED


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "keyed": {"key": lambda event: 0},
    "limited": {"max_concurrency": 1},
    "batched": {"batch": 3},
    "retried": {"retries": 1},
}


of_each_kind = pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)


class Scene:
    """A bus whose worker is held, with a subscription of a kind to `a`."""

    def __init__(self, factory: BusFactory, options: dict[str, Any], **settings: Any) -> None:
        self.drops = Drops()
        self.bus: EventBus = factory.bus(on_drop=self.drops, **settings)
        self.gate = factory.hold(self.bus)
        self.handled: list[Any] = []
        self.subscription = self.bus.subscribe("a", self._handle, **options)

    def _handle(self, event: Any) -> None:
        events = event if isinstance(event, list) else [event]
        self.handled.extend(one.data for one in events)

    def publish(self, *data: Any, **options: Any) -> list[bool]:
        """Publish payloads."""
        return [self.bus.publish(Event("a", one), **options) for one in data]

    def finish(self) -> list[Any]:
        """Let the worker go, and return what was handled, in order."""
        assert_balance(self.bus.stats())
        self.gate.open()
        assert_at_rest(self.bus)
        assert self.bus.stats().dropped == len(self.drops)
        return self.handled

    @property
    def expired(self) -> list[Any]:
        """The payloads of what has expired."""
        return [event.data for event, _, reason in self.drops if reason is EXPIRED]
