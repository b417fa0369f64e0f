"""Histories of real threads, and a checker that searches for a sequential explanation.

Linearizability after Herlihy and Wing (1990): every call takes effect at one moment between its
beginning and its end. The search is that of Wing and Gong (1993), with Lowe's memory of states that
were already tried: the next call may be any that began before every other remaining call had ended.
"""

from dataclasses import dataclass
from typing import NamedTuple

from model import ACCEPTED, Queue

from brummerbus import BackpressurePolicy

Item = tuple[int, int]  # the event's number, and which of its handlers


class Publish(NamedTuple):
    """A call of `publish`: between two moments, its result, and the evicted deliveries."""

    begin: int
    end: int
    level: int
    items: tuple[Item, ...]
    outcome: str
    evicted: tuple[Item, ...] = ()

    def step(self, policy: BackpressurePolicy, queue: Queue) -> Queue | None:
        """Return the queue after the call, or None if the model has a different result."""
        after, outcome, evicted = queue.offer(policy, self.level, self.items)
        return after if (outcome, tuple(evicted)) == (self.outcome, self.evicted) else None


class Take(NamedTuple):
    """A worker takes a delivery: after it left its last handler and before it enters this one."""

    begin: int
    end: int
    item: Item

    def step(self, _policy: BackpressurePolicy, queue: Queue) -> Queue | None:
        """Return the queue after the take, or None if another delivery was next."""
        if not queue.queued:
            return None
        after, item = queue.take()
        return after if item == self.item else None


Call = Publish | Take


@dataclass(frozen=True)
class History:
    """The calls of threads on a queue that was empty before and is empty afterwards."""

    policy: BackpressurePolicy
    capacity: int
    calls: tuple[Call, ...]

    def overlapping(self) -> int:
        """Return the number of pairs of calls that overlap; a history without any proves little."""
        return sum(
            one.begin < other.end and other.begin < one.end
            for index, one in enumerate(self.calls)
            for other in self.calls[:index]
        )

    def congested(self) -> int:
        """Return the number of calls of `publish` that found too few slots: evicted or refused."""
        return sum(
            call.outcome is not ACCEPTED or bool(call.evicted)
            for call in self.calls
            if isinstance(call, Publish)
        )

    def explanation(self) -> list[Call] | None:
        """Return an order of the calls with which the model agrees, or None if there is none."""
        return self._explain(frozenset(self.calls), Queue(self.capacity), set())

    def _explain(
        self, remaining: frozenset[Call], queue: Queue, tried: set[tuple[frozenset[Call], Queue]]
    ) -> list[Call] | None:
        if not remaining:
            return None if queue.queued else []
        if (remaining, queue) in tried:
            return None
        tried.add((remaining, queue))
        first_end = min(call.end for call in remaining)
        for call in remaining:
            after = call.step(self.policy, queue) if call.begin < first_end else None
            if after is not None:
                rest = self._explain(remaining - {call}, after, tried)
                if rest is not None:
                    return [call, *rest]
        return None

    def __str__(self) -> str:
        """Return one call per line, to be read if no order explains them."""
        title = f"{self.policy.name}, capacity {self.capacity}"
        in_order = sorted(self.calls, key=lambda call: call.begin)
        return "\n".join([title, *(f"  {call}" for call in in_order)])
