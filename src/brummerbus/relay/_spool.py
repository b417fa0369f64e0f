"""What waits to be sent: bounded by number and size, in order, until the broker has stored it.

Guarantees
- `spooled = acked + queued + dropped` whenever `figures` looks: an event is counted in the step
  that decides about it.
- Events are taken in the order in which they were put. After `rewind`, those that were taken and
  not acknowledged are taken first, in that order again.
- What was taken is never dropped by a policy: the broker may have stored it.

Threads: `put` in workers of the bus, the rest in the relay's loop; `close` and `wait_empty` where
the relay is stopped. The lock is re-entrant, since with `CALLER_RUNS` a handler runs in the main
thread, where a signal handler may publish too.
"""

import heapq
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count
from time import monotonic

from brummerbus import BackpressurePolicy
from brummerbus.relay._broker import Message

_EVICTS = (BackpressurePolicy.DROP_OLDEST, BackpressurePolicy.DROP_LOWEST)
OVERHEAD = 400
"""Bytes of an event beside its body, roughly: its objects and headers."""


class Entry:
    """An event in the spool."""

    __slots__ = ("level", "message", "number", "sent_at", "size", "waits")

    def __init__(self, message: Message, level: int, number: int) -> None:
        self.message = message
        self.level = level
        self.number = number
        self.size = len(message.body) + OVERHEAD
        self.waits = True
        """It was neither taken nor dropped."""
        self.sent_at: float | None = None
        """When it was taken last; None: not since the last `rewind`."""


class Spool:
    """The spool of one relay in one process.

    Args:
        events: How many events it holds.
        size: How many bytes, where one event may be larger if it is alone.
        policy: What is dropped when it is full; not `CALLER_RUNS`.
    """

    def __init__(self, events: int, size: int, policy: BackpressurePolicy) -> None:
        self._events = events
        self._size = size
        self.policy = policy
        self.on_put: Callable[[], object] = bool
        """Called after an event was put, in that thread."""
        self._changed = threading.Condition()
        self._waiters = 0
        self._closed = False
        self._next_number = count().__next__
        self._waiting: deque[Entry] = deque()
        self._n_waiting = 0
        self._levels: dict[int, deque[Entry]] = {}  # what waits, by level, if the policy evicts
        self._taken: dict[int, Entry] = {}  # by id of the message, in order
        self._again: deque[Entry] = deque()
        self._unanswered = 0
        self._unanswered_bytes = 0
        self._bytes = 0
        self.spooled = self.sent = self.acked = self.resent = 0
        self.dropped_by: Counter[str] = Counter()

    # ---- in workers --------------------------------------------------------------------------

    def put(self, message: Message, level: int) -> str | None:
        """Add an event at the end, or apply the policy.

        With `BLOCK` it waits for room, as long as the spool is open.

        Returns:
            None: there was room. `"evicted"`: others were dropped for it. Otherwise why it was
            dropped itself: `"full"` or `"shutdown"`.
        """
        evicted = False
        entry = Entry(message, level, self._next_number())
        with self._changed:
            if not self._closed and not self._has_room(entry.size):
                if self.policy is BackpressurePolicy.BLOCK:
                    self._wait(lambda: self._closed or self._has_room(entry.size), None)
                elif self.policy in _EVICTS:
                    evicted = self._evict_for(entry)
            self.spooled += 1
            if self._closed or not self._has_room(entry.size):
                reason = "shutdown" if self._closed else "full"
                self.dropped_by[reason] += 1
                return reason
            self._waiting.append(entry)
            self._n_waiting += 1
            self._bytes += entry.size
            if self.policy in _EVICTS:
                self._levels.setdefault(level, deque()).append(entry)
        self.on_put()
        return "evicted" if evicted else None

    def refuse(self, reason: str) -> None:
        """Count an event that was to be sent and cannot be put."""
        with self._changed:
            self.spooled += 1
            self.dropped_by[reason] += 1

    def _has_room(self, size: int) -> bool:
        queued = self._n_waiting + len(self._taken)
        return queued < self._events and (not queued or self._bytes + size <= self._size)

    def _evict_for(self, new: Entry) -> bool:
        """Drop what the policy allows for a new event; nothing if that would not be enough."""
        victims: list[Entry] = []
        queued, size = self._n_waiting + len(self._taken), self._bytes
        for entry in self._candidates(new.level):
            victims.append(entry)
            queued, size = queued - 1, size - entry.size
            if queued < self._events and (not queued or size + new.size <= self._size):
                break
        else:
            return False
        for entry in victims:
            entry.waits = False
            self._n_waiting -= 1
            self._bytes -= entry.size
            self.dropped_by["full"] += 1
        return True

    def _candidates(self, level: int) -> Iterator[Entry]:
        """Yield what may be dropped for an event of a level, first things first."""
        lowest = self.policy is BackpressurePolicy.DROP_LOWEST
        queues = []
        for one in sorted(self._levels):
            if one < level or (one == level and not lowest):
                queue = self._levels[one]
                while queue and not queue[0].waits:
                    queue.popleft()
                queues.append(queue)
        entries: Iterable[Entry]
        if lowest:
            entries = chain.from_iterable(queues)
        else:
            entries = heapq.merge(*queues, key=lambda entry: entry.number)
        return (entry for entry in entries if entry.waits)

    # ---- in the loop -------------------------------------------------------------------------

    def take(self, events: int, size: int) -> tuple[list[Entry], bool]:
        """Take what is next, up to a window of unanswered events and bytes.

        Returns:
            The entries, and whether there is more, for which the window has no room.
        """
        found: list[Entry] = []
        now = monotonic()
        with self._changed:
            while (entry := self._next()) is not None:
                too_large = self._unanswered_bytes + entry.size > size
                if self._unanswered >= events or (self._unanswered and too_large):
                    return found, True
                self._taken_now(entry)
                entry.sent_at = now
                self._unanswered += 1
                self._unanswered_bytes += entry.size
                found.append(entry)
        return found, False

    def _next(self) -> Entry | None:
        """Return what is to be taken next, and leave it there."""
        while self._again:
            if id(self._again[0].message) in self._taken:
                return self._again[0]
            self._again.popleft()  # it was acknowledged after all
        while self._waiting:
            if self._waiting[0].waits:
                return self._waiting[0]
            self._waiting.popleft()
        return None

    def _taken_now(self, entry: Entry) -> None:
        if self._again:
            self._again.popleft()
            self.resent += 1
            return
        self._waiting.popleft()
        self._n_waiting -= 1
        entry.waits = False
        self._taken[id(entry.message)] = entry
        self.sent += 1
        levels = self._levels.get(entry.level)
        while levels and not levels[0].waits:
            levels.popleft()

    def answer(self, message: Message, *, dropped: str | None = None) -> None:
        """An event was stored, or is dropped for a reason; nothing if it was answered before."""
        with self._changed:
            entry = self._taken.pop(id(message), None)
            if entry is None:
                return
            self._bytes -= entry.size
            self._no_longer_unanswered(entry)
            if dropped is None:
                self.acked += 1
            else:
                self.dropped_by[dropped] += 1
            if self._waiters:
                self._changed.notify_all()

    def defer(self, message: Message) -> None:
        """An event was not stored: it is taken again after the next `rewind`."""
        with self._changed:
            entry = self._taken.get(id(message))
            if entry is not None:
                self._no_longer_unanswered(entry)

    def _no_longer_unanswered(self, entry: Entry) -> None:
        if entry.sent_at is not None:
            entry.sent_at = None
            self._unanswered -= 1
            self._unanswered_bytes -= entry.size

    def rewind(self) -> None:
        """Begin again with the first event that was not acknowledged."""
        with self._changed:
            self._again = deque(self._taken.values())
            for entry in self._again:
                self._no_longer_unanswered(entry)

    @property
    def unanswered(self) -> int:
        """How many were taken since the last `rewind` and not answered."""
        return self._unanswered

    def oldest_unanswered(self) -> float | None:
        """Return when the first unanswered event was taken, by the monotonic clock, or None."""
        with self._changed:
            return next((e.sent_at for e in self._taken.values() if e.sent_at is not None), None)

    @property
    def has_next(self) -> bool:
        """Whether there may be something to take."""
        return bool(self._n_waiting or self._again)

    # ---- where the relay is stopped ------------------------------------------------------------

    def __len__(self) -> int:
        return self._n_waiting + len(self._taken)

    def wait_change(self, timeout: float) -> None:
        """Wait until it is empty or an event was answered, for that many seconds at most."""
        with self._changed:
            before = self.acked + sum(self.dropped_by.values())
            self._wait(
                lambda: not len(self) or self.acked + sum(self.dropped_by.values()) != before,
                timeout,
            )

    def _wait(self, condition: Callable[[], bool], timeout: float | None) -> None:
        self._waiters += 1
        try:
            self._changed.wait_for(condition, timeout)
        finally:
            self._waiters -= 1

    def close(self) -> int:
        """Drop what is left, and everything that is put from now on; return how much is left."""
        with self._changed:
            self._closed = True
            left = len(self)
            if left:
                self.dropped_by["shutdown"] += left
            self._waiting.clear()
            self._levels.clear()
            self._taken.clear()
            self._again.clear()
            self._n_waiting = self._bytes = self._unanswered = self._unanswered_bytes = 0
            self._changed.notify_all()
            return left

    def figures(self) -> dict[str, object]:
        """Return its counts, in one step."""
        with self._changed:
            by = dict(self.dropped_by)
            return {
                "spooled": self.spooled,
                "queued": len(self),
                "queued_bytes": self._bytes,
                "sent": self.sent,
                "acked": self.acked,
                "resent": self.resent,
                "dropped": sum(by.values()),
                "dropped_by": by,
            }
