"""The queue of a bus, in plain Python and sequential: the reference for the one in C."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from brummerbus import BackpressurePolicy

ACCEPTED, REFUSED, RUN = "accepted", "refused", "run by the caller"


class Queued(NamedTuple):
    """A delivery in the queue."""

    level: int
    item: Any


class Waiting(NamedTuple):
    """A waiter, with the deliveries of its event."""

    level: int
    items: tuple[Any, ...]


@dataclass(frozen=True)
class Queue:
    """A bounded queue with levels.

    `queued` is in order of acceptance, `line` in order of arrival. Handlers may exceed the capacity
    by the reserve. An empty queue accepts an event whole, however many deliveries it has.
    """

    capacity: int
    queued: tuple[Queued, ...] = field(default=())
    reserve: int = 0
    line: tuple[Waiting, ...] = field(default=())

    def offer(
        self,
        policy: BackpressurePolicy,
        level: int,
        items: Iterable[Any],
        *,
        in_handler: bool = False,
    ) -> tuple["Queue", str, list[Any]]:
        """Offer one event's deliveries, all or none: new queue, result, evicted deliveries."""
        new = tuple(Queued(level, item) for item in items)
        places = self.capacity + (self.reserve if in_handler else 0)
        missing = len(self.queued) + len(new) - places
        evicted: list[Queued] = []
        if missing > 0 and self.queued:
            if policy is BackpressurePolicy.CALLER_RUNS:
                return self, RUN, []
            # What handlers published beyond the capacity stays: evict at most as many as arrive.
            needed = len(self.queued) if len(new) > places else min(missing, len(new))
            yielding = self._yielding(policy, level)
            if len(yielding) < needed:
                return self, REFUSED, []
            evicted = yielding[:needed]
        kept = tuple(one for one in self.queued if one not in evicted)
        return replace(self, queued=kept + new), ACCEPTED, [one.item for one in evicted]

    def _yielding(self, policy: BackpressurePolicy, level: int) -> list[Queued]:
        """Return the deliveries that may be evicted for an event of a level, in that order."""
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
        return replace(self, queued=kept)._let_in(), taken.item

    def wait(self, level: int, items: Iterable[Any]) -> "Queue":
        """Join the wait queue, as there are too few free slots."""
        return replace(self, line=(*self.line, Waiting(level, tuple(items))))

    def _let_in(self) -> "Queue":
        """Admit waiters: the most urgent first, first come first served; none overtakes."""
        if not self.line:
            return self
        level = max(one.level for one in self.line)
        first = next(one for one in self.line if one.level == level)
        if self.queued and len(self.queued) + len(first.items) > self.capacity:
            return self
        line = tuple(one for one in self.line if one is not first)
        new = tuple(Queued(level, item) for item in first.items)
        return replace(self, queued=self.queued + new, line=line)._let_in()
