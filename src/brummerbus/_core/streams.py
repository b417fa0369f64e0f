"""Streams: events that tasks of an event loop take, without a worker in between.

A stream is a listener for tasks. Its tap is a `Buffer`, which publishers' threads fill in C
(`csrc/python/buffer.c`); the first event that comes while a task waits wakes the loop
(`_core/loops.py`).

Guarantees
- A task takes an event in its own step, after it was woken: if it is cancelled in between, the
  event is still there, and another task that waits is woken for it.
- No publisher waits for a stream, and none sees an exception of its loop. If that is closed, the
  stream ends itself; what it held is dropped (`SHUTDOWN`).
- A task that always finds an event lets others of its loop run after every `TURN` events.
"""

import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, TypeVar

from brummerbus._arguments import MAX_QUEUE_SIZE, check_int
from brummerbus._core._ext import Buffer
from brummerbus._core.loops import Loop, Waiter, running_loop
from brummerbus._core.stream_counts import StreamCounts
from brummerbus._core.taps import Registration
from brummerbus._errors import BusError
from brummerbus._policies import BackpressurePolicy, DropReason

E = TypeVar("E")

TURN = 100
"""Events after which a task that never waits lets others of its loop run."""


class StreamTap(Buffer):
    """Holds the events that publishers hand over until a task takes them."""

    __slots__ = ("_counts", "_loop", "discarded", "policy", "registration", "waiters")

    blocks: bool = False
    is_full: bool = False

    def __new__(
        cls,
        maxsize: int,
        policy: BackpressurePolicy,
        counts: StreamCounts,  # noqa: ARG004
    ) -> "StreamTap":
        return super().__new__(cls, maxsize, policy is BackpressurePolicy.DROP_OLDEST)

    def __init__(self, maxsize: int, policy: BackpressurePolicy, counts: StreamCounts) -> None:  # noqa: ARG002
        self._counts = counts
        self.policy: BackpressurePolicy = policy
        self._loop: Loop | None = None
        self.waiters: deque[Waiter] = deque()
        self.registration: Registration | None = None
        self.discarded: int = 0
        """Events that it held when its loop was closed."""

    def count(self) -> None:
        """Count what it is given, from now on, with the other streams of the bus."""
        self._counts.add(self)

    def clear(self) -> int:
        """Let go of what it holds; it has ended."""
        held = super().clear()
        self._counts.end(self)
        return held

    def give(self, event: Any, until: int | None, *, may_wait: bool) -> None:  # noqa: ARG002
        """Hand over an event that was accepted."""
        self.put(event)

    def _wake(self) -> None:
        """Have a task woken; called by publishers, in C, and at the end."""
        if self._loop is not None:
            self._loop.wake(self)

    def loop_closed(self) -> None:
        """End: no task will take anything any more."""
        self.end()
        self.discarded += self.clear()
        if self.registration is not None:
            self.registration.close()

    # ---- in the loop's thread ----------------------------------------------------------------

    def woken(self) -> None:
        """Let the task go on that has waited longest; at the end, all."""
        while self.waiters:
            self.waiters.popleft().set()
            if not self.ended:
                break

    def loop_here(self) -> Loop:
        """Return the loop of the calling task, to which the stream belongs from then on.

        Raises:
            BusError: It belongs to another, or there is none.
        """
        loop = running_loop()
        if loop is None:
            raise BusError("a stream is read by tasks of asyncio or trio, and this is none")
        if self._loop is None:
            self._loop = loop
        if self._loop is not loop:
            raise BusError("a stream is read by tasks of one event loop, and this is another")
        return loop

    async def wait(self) -> None:
        """Return when there is an event, or there will be none."""
        loop = self.loop_here()
        while self.arm():
            waiter = loop.new_waiter()
            self.waiters.append(waiter)
            try:
                await waiter.wait()
            except BaseException:  # cancelled; if it was woken before, that is for another
                with suppress(ValueError):
                    self.waiters.remove(waiter)
                self.wake_next()
                raise

    def wake_next(self) -> None:
        """What is left is for another task that waits."""
        if len(self) or self.ended:
            self.woken()


class Stream(Generic[E]):
    """Iterates over events as they are published, in a task; created by `EventBus.stream`.

    It ends when the bus stops, after what it holds was iterated over, or with `aclose`, or when it
    is not referred to any more, or when its event loop is closed. As an asynchronous context
    manager it is closed at the end of the block. Several tasks of one loop can share it; each event
    goes to one of them.
    """

    __slots__ = ("__weakref__", "_is_open", "_registration", "_taken", "_tap")

    def __init__(self, registration: Registration, tap: StreamTap) -> None:
        self._registration = registration
        self._tap = tap
        self._taken = 0
        tap.registration = registration
        self._is_open = True
        tap.count()
        registration.open()  # if this is interrupted, `__del__` closes it

    @property
    def dropped(self) -> int:
        """How many events it has dropped: it was full, or its event loop was closed."""
        return self._tap.dropped + self._tap.discarded

    @property
    def dropped_by(self) -> dict[DropReason, int]:
        """`dropped`, by reason: `EVICTED` or `REFUSED`, by its policy, and `SHUTDOWN`."""
        evicts = self._tap.policy is BackpressurePolicy.DROP_OLDEST
        full = DropReason.EVICTED if evicts else DropReason.REFUSED
        return {full: self._tap.dropped, DropReason.SHUTDOWN: self._tap.discarded}

    @property
    def closed(self) -> bool:
        """Whether it gets no more events; it may still hold some."""
        return self._tap.ended

    @property
    def depth(self) -> int:
        """How many events it holds."""
        return len(self._tap)

    def __aiter__(self) -> "Stream[E]":
        return self

    async def __anext__(self) -> E:
        """Wait for an event. If that is cancelled, no event is lost."""
        tap = self._tap
        if self._taken >= TURN:
            await self._let_others_run()
        while not len(tap):
            if tap.ended and not len(tap):
                raise StopAsyncIteration
            self._taken = 0
            await tap.wait()
        event: E = tap.pop()
        self._taken += 1
        if tap.waiters:
            tap.wake_next()
        return event

    async def batch(self, max: int = 500) -> list[E]:
        """Wait for an event, and return it with those that have come since, `max` at most.

        If it is cancelled, no event is lost.

        Returns:
            The events, in order. An empty list: the stream has ended.

        Raises:
            TypeError, ValueError: `max` is no int, or below 1.
            BusError: The caller is no task of the loop to which the stream belongs.
        """
        check_int("max", max, 1, MAX_QUEUE_SIZE)
        tap = self._tap
        if self._taken >= TURN:
            await self._let_others_run()
        while not (events := tap.take(max)) and not (tap.ended and not len(tap)):
            self._taken = 0
            await tap.wait()
        self._taken += len(events)
        if tap.waiters:
            tap.wake_next()
        return events

    async def _let_others_run(self) -> None:
        self._taken = 0
        await self._tap.loop_here().pause()

    async def aclose(self) -> None:
        """Get no more events, and let go of those it holds. Idempotent.

        Tasks that iterate over it end.
        """
        self.close()

    def close(self) -> None:
        """The same from any thread, without a loop."""
        self._registration.close()
        self._is_open = False

    async def __aenter__(self) -> "Stream[E]":
        self._tap.loop_here()
        return self

    async def __aexit__(
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
        return f"<Stream of {self._registration}, {state}>"


Stream.__module__ = "brummerbus"  # the public module, as for all public names
