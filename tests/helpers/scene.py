"""A full queue with a blocked worker, for the tests of eviction."""

from typing import Any

from brummerbus import BackpressurePolicy, Event, EventBus
from helpers.buses import BusFactory
from helpers.checks import assert_balance
from helpers.handlers import Drops, Gate, Recorder
from helpers.waiting import HANG

OLDEST = BackpressurePolicy.DROP_OLDEST
NEWEST = BackpressurePolicy.DROP_NEWEST
LOWEST = BackpressurePolicy.DROP_LOWEST
REJECT = BackpressurePolicy.REJECT
BLOCK = BackpressurePolicy.BLOCK
CALLER_RUNS = BackpressurePolicy.CALLER_RUNS


class Scene:
    """A bus whose worker is blocked, a recorder of `a`, and the drops."""

    def __init__(
        self, factory: BusFactory, policy: BackpressurePolicy, size: int, **more: Any
    ) -> None:
        self.drops = Drops()
        self.recorder = Recorder()
        self.bus: EventBus = factory.bus(policy=policy, queue_size=size, on_drop=self.drops, **more)
        self.gate: Gate = factory.hold(self.bus)
        self.subscription = self.bus.subscribe("a", self.recorder)

    def publish(self, *data: Any) -> list[bool]:
        """Publish payloads such as `"2x"`, whose first character is the priority."""
        return [self.bus.publish(Event("a", d), priority=int(d[0])) for d in data]

    def finish(self) -> list[Any]:
        """Release the worker, and return what it handled, in order."""
        assert_balance(self.bus.stats())
        self.gate.open()
        assert self.bus.flush(HANG)
        stats = self.bus.stats()
        assert_balance(stats)
        assert stats.dropped == len(self.drops)
        return self.recorder.data
