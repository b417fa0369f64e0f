"""What a bus does with the options of subscriptions and events, in plain Python, step by step.

`model` has waiting publishers and the reserve; this one has keys, limits, batches, retries,
expiry and events of which a subscription takes one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from brummerbus import BackpressurePolicy, DropReason


class Kind(NamedTuple):
    """A subscription: its options, as far as they matter for the order."""

    name: str
    keyed: bool = False
    limit: int = 0
    batch: int = 1
    retries: int = 0
    once: bool = False

    @property
    def is_grouped(self) -> bool:
        """Whether deliveries wait in lanes."""
        return self.keyed or self.limit > 0 or self.batch > 1 or self.retries > 0


@dataclass
class Delivery:
    """One that was accepted."""

    sequence: int
    level: int
    kind: Kind
    event: int
    key: Any
    has_expired: bool = False
    tries: int = 0
    is_delayed: bool = False


@dataclass
class Model:
    """A bus without waiting publishers.

    `calls` are the handlers that run, each with its deliveries.
    """

    capacity: int
    workers: int
    policy: BackpressurePolicy
    sequence: int = 0
    queued: list[Delivery] = field(default_factory=list)
    calls: list[list[Delivery]] = field(default_factory=list)
    dropped: list[tuple[Delivery, DropReason]] = field(default_factory=list)
    handled: list[Delivery] = field(default_factory=list)
    failed: list[Delivery] = field(default_factory=list)
    retried: int = 0
    taken: set[str] = field(default_factory=set)

    # ---- in --------------------------------------------------------------------------------------

    def publish(
        self, event: int, level: int, kinds: Iterable[Kind], key: Any, *, expires: bool
    ) -> bool:
        """Offer an event to its subscriptions; whether it was accepted."""
        kinds = [kind for kind in kinds if kind.name not in self.taken]
        if self._missing(len(kinds)) > 0:
            self._purge()
        evicted: list[Delivery] = []
        missing = self._missing(len(kinds))
        new = [Delivery(0, level, kind, event, key, expires) for kind in kinds]
        if missing > 0:
            needed = len(self.queued) if len(new) > self.capacity else min(missing, len(new))
            evicted = self._yielding(level)[:needed]
            if len(evicted) < needed:
                self.dropped += [(one, DropReason.REFUSED) for one in new]
                return False
        for one in evicted:
            self._drop(one, DropReason.EVICTED)
        for one in new:
            one.sequence = self.sequence
            self.sequence += 1
        self.queued += new
        self.taken |= {kind.name for kind in kinds if kind.once}
        return True

    def _missing(self, count: int) -> int:
        """Slots that are missing: none for an event without deliveries, or for an empty queue."""
        return len(self.queued) + count - self.capacity if self.queued and count else 0

    def _yielding(self, level: int) -> list[Delivery]:
        oldest_first = sorted(self.queued, key=lambda one: one.sequence)
        if self.policy is BackpressurePolicy.DROP_OLDEST:
            return [one for one in oldest_first if one.level <= level]
        if self.policy is BackpressurePolicy.DROP_LOWEST:
            less_urgent = [one for one in oldest_first if one.level < level]
            return sorted(less_urgent, key=lambda one: one.level)
        return []

    def _purge(self) -> None:
        for one in [one for one in self.queued if one.has_expired and not one.tries]:
            self._drop(one, DropReason.EXPIRED)

    def _drop(self, one: Delivery, reason: DropReason) -> None:
        self.queued.remove(one)
        self.dropped.append((one, reason))

    # ---- out -------------------------------------------------------------------------------------

    def take(self) -> None:
        """Let workers take what they can, until all are busy or nothing is left for them."""
        while len(self.calls) < self.workers and (ready := self._ready()):
            first = max(ready, key=lambda one: (one.level, -one.sequence))
            if first.has_expired and not first.tries:
                self._drop(first, DropReason.EXPIRED)
                continue
            self.queued.remove(first)
            self.calls.append([first, *self._more(first)])

    def _ready(self) -> list[Delivery]:
        return [one for one in self.queued if self._is_ready(one)]

    def _is_ready(self, one: Delivery) -> bool:
        running = [call[0] for call in self.calls if call[0].kind is one.kind]
        if one.is_delayed or (one.kind.limit and len(running) >= one.kind.limit):
            return False
        if not one.kind.keyed:
            return True
        first = min(self._of_key(one), key=lambda other: other.sequence)
        return one is first and not any(other.key == one.key for other in running)

    def _of_key(self, one: Delivery) -> list[Delivery]:
        return [other for other in self.queued if (other.kind, other.key) == (one.kind, one.key)]

    def _more(self, first: Delivery) -> list[Delivery]:
        """Take what goes into the same call."""
        more: list[Delivery] = []
        while len(more) + 1 < first.kind.batch:
            if first.kind.keyed:
                line = sorted(self._of_key(first), key=lambda one: one.sequence)
            else:
                same = [one for one in self.queued if one.kind is first.kind]
                line = sorted(same, key=lambda one: (-one.level, one.sequence))
                line = [one for one in line if not one.is_delayed]
            if not line or line[0].is_delayed or (line[0].has_expired and not line[0].tries):
                break
            more.append(line[0])
            self.queued.remove(line[0])
        return more

    def end(self, call: list[Delivery], *, fails: bool) -> list[Delivery]:
        """End a call; what is to be tried again."""
        self.calls.remove(call)
        again = [one for one in call if fails and one.tries < one.kind.retries]
        for one in call:
            if one in again:
                one.tries += 1
                one.is_delayed = True
                self.queued.append(one)
            else:
                (self.failed if fails else self.handled).append(one)
        self.retried += len(again)
        return again

    def has_ended(self, sequence: int) -> bool:
        """Return whether all has ended that was accepted before a sequence."""
        outstanding = [*self.queued, *(one for call in self.calls for one in call)]
        return all(one.sequence >= sequence for one in outstanding)
