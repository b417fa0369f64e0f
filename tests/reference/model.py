"""The queue of a bus, in plain Python and one step at a time: what the ring must agree with."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from brummerbus import BackpressurePolicy

ACCEPTED, REFUSED, RUN = "accepted", "refused", "run by the caller"


class Queued(NamedTuple):
    """A delivery in the queue."""

    level: int
    item: Any


@dataclass(frozen=True)
class Queue:
    """A bounded queue with levels; `queued` is in the order of acceptance."""

    capacity: int
    queued: tuple[Queued, ...] = field(default=())

    def offer(
        self, policy: BackpressurePolicy, level: int, items: Iterable[Any]
    ) -> tuple["Queue", str, list[Any]]:
        """Offer one event's deliveries, all or none: the queue then, how it ended, who gave way."""
        new = tuple(Queued(level, item) for item in items)
        missing = len(self.queued) + len(new) - self.capacity
        if missing > 0:
            if policy is BackpressurePolicy.CALLER_RUNS:
                return self, RUN, []
            yielding = self._yielding(policy, level)
            if len(yielding) < missing:
                return self, REFUSED, []
            evicted = yielding[:missing]
        else:
            evicted = []
        kept = tuple(one for one in self.queued if one not in evicted)
        return replace(self, queued=kept + new), ACCEPTED, [one.item for one in evicted]

    def _yielding(self, policy: BackpressurePolicy, level: int) -> list[Queued]:
        """Return who may give way to an event of a level, in the order in which they do."""
        if policy is BackpressurePolicy.DROP_OLDEST:
            return [one for one in self.queued if one.level <= level]
        if policy is BackpressurePolicy.DROP_LOWEST:
            less_urgent = [one for one in self.queued if one.level < level]
            return sorted(less_urgent, key=lambda one: one.level)  # stable: oldest first
        return []

    def take(self) -> tuple["Queue", Any]:
        """Take the most urgent level's oldest delivery; there must be one."""
        level = max(one.level for one in self.queued)
        taken = next(one for one in self.queued if one.level == level)
        kept = tuple(one for one in self.queued if one is not taken)
        return replace(self, queued=kept), taken.item
