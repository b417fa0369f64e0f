"""Taps: events that a thread takes itself, without a worker in between.

`EventBus.wait_for` and `EventBus.listen` put a tap into a table like that of the subscriptions. The
thread that publishes an event which a tap matches hands it over once it was accepted.

Guarantees
- A tap holds at most as many events as it may, also where threads, signal handlers and finalizers
  hand over together (`append_below`).
- No lock is held that is waited for while Python code can run. A thread that waits sleeps on a lock
  of its own, which others release.
- A thread that takes events never waits for room in its own tap, which only it would make; nor does
  one that runs an event loop.
- A tap belongs to the process that made it. In a forked child it has ended: no thread of the parent
  comes to take anything there.
"""

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from operator import attrgetter
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from brummerbus._core._ext import append_below, swap_item
from brummerbus._core.loops import is_running
from brummerbus._core.queue import fork_count
from brummerbus._core.sleepers import Sleepers
from brummerbus._core.table import Matcher, Table, next_number
from brummerbus._policies import BackpressurePolicy

E = TypeVar("E")


class AnyTap(Protocol):
    """What the threads that publish know of a tap: that of a listener, or of a stream."""

    @property
    def ended(self) -> bool:
        """Whether it takes no more."""

    @property
    def blocks(self) -> bool:
        """Whether publishers wait for room."""

    @property
    def is_full(self) -> bool:
        """Whether publishers would have to wait now."""

    def give(self, event: Any, until: int | None, *, may_wait: bool) -> None:
        """Hand over an event that was accepted."""

    def end(self) -> None:
        """Take no more, and let all that wait go on."""

    def clear(self) -> object:
        """Let go of what it holds."""


class _Thread(threading.local):
    """The calling thread: an identity that, unlike `get_ident`, is not used again."""

    def __init__(self) -> None:
        self.identity = object()


_here = _Thread()


class Ended(Exception):
    """The tap has ended, and holds nothing any more."""


class Tap:
    """Holds the events that publishers hand over until a thread takes them.

    Without a policy it ends when it is full: what came before that is held.
    """

    __slots__ = (
        "_counts",
        "_ended",
        "_events",
        "_forks",
        "_givers",
        "_maxsize",
        "_policy",
        "_takers",
        "_thread",
    )

    def __init__(
        self,
        maxsize: int,
        policy: BackpressurePolicy | None,
        sleepers: Callable[[], Sleepers] = Sleepers,
    ) -> None:
        self._maxsize = maxsize
        self._policy = policy
        self._forks = fork_count()
        self._events: deque[Any] = deque()
        self._counts: dict[str, tuple[int, ...]] = {}
        self._takers = sleepers()
        self._givers = sleepers()
        self._ended = False
        self._thread: object = _here.identity

    @property
    def ended(self) -> bool:
        """Whether it takes no more."""
        return self._ended or self._forks != fork_count()

    @property
    def blocks(self) -> bool:
        """Whether publishers wait for room."""
        return self._policy is BackpressurePolicy.BLOCK

    @property
    def is_full(self) -> bool:
        """Whether publishers would have to wait now."""
        return self.blocks and not self._has_room()

    @property
    def dropped(self) -> int:
        """How many events it has dropped."""
        return self._counts.get("dropped", (0,))[0]

    def __len__(self) -> int:
        return len(self._events)

    # ---- the publisher's side ----------------------------------------------------------------

    def give(self, event: Any, until: int | None, *, may_wait: bool) -> None:
        """Hand over an event that was accepted.

        Args:
            event: The event.
            until: How long to wait for room, if that is the policy; None: without a limit.
            may_wait: The timer thread must not: then there is always room.
        """
        if self.ended:
            return
        if not self._append(event) and not self._make_room(event, until, may_wait=may_wait):
            return
        self._takers.wake_one()

    def _append(self, event: Any) -> bool:
        return append_below(self._events, event, self._maxsize)

    def _make_room(self, event: Any, until: int | None, *, may_wait: bool) -> bool:
        """Hand over an event for which there is no room; whether it was taken."""
        if self._policy is BackpressurePolicy.DROP_OLDEST:
            while not self._append(event):
                try:
                    self._events.popleft()
                except IndexError:
                    continue
                self._count_drop()
            return True
        if self.blocks and not may_wait:
            self._events.append(event)
            return True
        if self.blocks and _here.identity is not self._thread and not is_running():
            while self._givers.wait_until(self._has_room, until):
                if self.ended:
                    return False
                if self._append(event):
                    return True
        self._count_drop()
        if self._policy is None:
            self.end()
        return False

    def _has_room(self) -> bool:
        return self.ended or len(self._events) < self._maxsize

    def _count_drop(self) -> None:
        while True:
            old = self._counts.get("dropped", ())
            if swap_item(self._counts, "dropped", old, (old[0] + 1 if old else 1,)):
                return

    # ---- the other side ----------------------------------------------------------------------

    def take(self, until: int | None) -> Any:
        """Return the oldest event, after waiting for it.

        Raises:
            Ended: There will be none.
            TimeoutError: There was none by that time of `clock`.
        """
        self._thread = _here.identity
        while True:
            ended = self.ended  # before it is looked into
            try:
                event = self._events.popleft()
            except IndexError:
                if ended:
                    raise Ended from None
                if not self._takers.wait_until(self._has_something, until):
                    raise TimeoutError from None
            else:
                self._givers.wake_one()
                return event

    def _has_something(self) -> bool:
        return self.ended or bool(self._events)

    def end(self) -> None:
        """Take no more, and let all that wait go on; what it holds can still be taken."""
        self._ended = True
        self._takers.wake_all()
        self._givers.wake_all()

    def clear(self) -> None:
        """Let go of what it holds."""
        self._events.clear()


class Wanted(Matcher):
    """An event type whose events a tap gets."""

    __slots__ = ("event_type", "number", "pattern", "tap", "warned")

    def __init__(self, event_type: str | type, tap: AnyTap) -> None:
        self.event_type: str | type[Any] = event_type
        self.tap: AnyTap = tap
        self.number: int = next_number()
        self.pattern: Callable[[str], object] | None = None
        self.warned: bool = False

    def __repr__(self) -> str:
        return f"<listener to {self.event_type!r}>"


Taps = Table[Wanted]


def taps_for(table: Taps, cls: type, name: str | None) -> tuple[AnyTap, ...]:
    """Return the taps that get objects of a class, or events; those that may wait come last."""
    found = dict.fromkeys([one.tap for one in table.matching(cls, name) if not one.tap.ended])
    return tuple(sorted(found, key=attrgetter("blocks")))  # no lambda, see table.py


def hand_over(
    taps: Iterable[AnyTap], event: Any, until: int | None = None, *, may_wait: bool = True
) -> None:
    """Hand an event that was accepted to taps."""
    for tap in taps:
        tap.give(event, until, may_wait=may_wait)


class Registration:
    """A tap's place in the table."""

    __slots__ = ("_table", "_wanted", "tap")

    def __init__(self, table: Taps, event_types: Iterable[str | type], tap: AnyTap) -> None:
        self._table = table
        self._wanted = [Wanted(event_type, tap) for event_type in event_types]
        self.tap: AnyTap = tap

    def open(self) -> None:
        """Begin. If that is interrupted, close it."""
        for one in self._wanted:
            self._table.insert(one)

    def close(self) -> None:
        """End, and let go of what the tap holds. Idempotent; if it is interrupted, do it again."""
        self.tap.end()
        for one in self._wanted:
            self._table.remove(one)
        self.tap.clear()

    def __str__(self) -> str:
        return ", ".join(repr(one.event_type) for one in self._wanted)


class Listener(Generic[E]):
    """Iterates over events as they are published; created by `EventBus.listen`.

    It ends when the bus stops, after what it holds was iterated over, or with `close`, or when it
    is not referred to any more. As a context manager it is closed at the end of the block. Several
    threads can share one; each event goes to one of them.
    """

    __slots__ = ("__weakref__", "_is_open", "_registration", "_tap")

    def __init__(self, registration: Registration, tap: Tap) -> None:
        self._registration = registration
        self._tap = tap
        self._is_open = True
        registration.open()  # if this is interrupted, `__del__` closes it

    @property
    def dropped(self) -> int:
        """The number of events that it has dropped because it was full."""
        return self._tap.dropped

    @property
    def closed(self) -> bool:
        """Whether it gets no more events; it may still hold some."""
        return self._tap.ended

    @property
    def depth(self) -> int:
        """How many events it holds."""
        return len(self._tap)

    def __iter__(self) -> "Listener[E]":
        return self

    def __next__(self) -> E:
        """Wait for an event. Ctrl-C is answered within 0.1 s."""
        try:
            event: E = self._tap.take(None)
        except Ended:
            raise StopIteration from None
        return event

    def close(self) -> None:
        """Get no more events, and let go of those it holds. Idempotent.

        Publishers that wait for room go on, and threads that iterate over it end. From anywhere.
        """
        self._registration.close()
        self._is_open = False

    def __enter__(self) -> "Listener[E]":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if getattr(self, "_is_open", False) and not is_finalizing():
            self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self.depth} held"
        return f"<Listener to {self._registration}, {state}>"


Listener.__module__ = "brummerbus"  # the public module, as for all public names
