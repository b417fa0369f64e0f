"""Tasks that wait to publish: `EventBus.publish_async`.

One thread of a bus waits for all of them, as a publisher of its own: for the most urgent event, and
of those for the one that came first, those of coroutine handlers before all others. It ends when
none waits any more.

Guarantees
- An event is accepted or not, and its task gets the answer; a task that was cancelled may miss it.
- A more urgent event, or one whose time is over, does not wait for the one that is being waited
  for: that one is withdrawn from the wait queue within 5 ms, and comes back later.
- If the bus stops, each waiting task gets the `BusClosed` that `publish` raises.

The lock is for tasks and this thread, none of which a signal handler or a finalizer can be.

What does not work
- A helper that calls `publish` with a time-out for one event after the other: an urgent one would
  wait for as long as the least urgent in front of it.
"""

import heapq
import itertools
import threading
from collections.abc import Callable
from contextvars import Context

from brummerbus._core.admission import NoRoom
from brummerbus._core.loops import Loop
from brummerbus._core.queue import clock, ns
from brummerbus._core.threads import PoolThread
from brummerbus._core.waits import Answer

LINGER = 0.5
"""Seconds that the thread waits for another event before it ends."""

_next_number: Callable[[], int] = itertools.count(1).__next__

Withdraw = Callable[[], bool]
Publish = Callable[[float | None, Withdraw], bool]


class PendingPublish(Answer[bool]):
    """An event that a task waits to publish."""

    __slots__ = ("cancelled", "key", "level", "publish", "until")

    def __init__(
        self,
        loop: Loop,
        level: int,
        timeout: float | None,
        context: Context | None,
        publish: Publish,
        *,
        is_handler: bool,
    ) -> None:
        super().__init__(loop)
        self.level = level
        self.key = (not is_handler, -level, _next_number())
        self.until = None if timeout is None else clock() + ns(timeout)
        self.publish: Publish = publish
        if context is not None:
            self.publish = lambda left, withdraw: context.run(publish, left, withdraw)
        self.cancelled = False

    def __lt__(self, other: "PendingPublish") -> bool:
        return self.key < other.key

    @property
    def is_over(self) -> bool:
        """Whether its time is over."""
        return self.until is not None and clock() >= self.until

    def try_(self, withdraw: Withdraw) -> bool:
        """Publish, in the thread; whether that is decided."""
        left = None if self.until is None else max(0, self.until - clock()) * 1e-9
        try:
            self.results.append(self.publish(left, withdraw))
        except NoRoom:
            return self.cancelled
        except BaseException as error:
            self.error = error
        return True

    def report(self) -> None:
        """Wake the task, which has its answer."""
        del self.publish  # and with it the event
        super().report()


class WaitingTasks:
    """The events that tasks wait to publish to one queue."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._waiting: list[PendingPublish] = []  # a heap
        self._tried: PendingPublish | None = None
        self._runs = False
        self._closed = False
        self._attention = False

    def has_before(self, level: int) -> bool:
        """Return whether an event of that level would have to wait for one that is here."""
        tried = self._tried
        first = self._waiting[:1]
        return (tried is not None and tried.level >= level) or any(w.level >= level for w in first)

    async def publish(self, one: PendingPublish) -> bool:
        """Wait until it is accepted or not; in its task.

        Raises:
            RuntimeError: The thread could not be started.
            Exception: What publishing raises.
        """
        with self._changed:
            if not self._runs:
                PoolThread(f"{self._name}-publisher", self._run).start()
                self._runs = True
            heapq.heappush(self._waiting, one)
            self._attention = True
            self._changed.notify()
        try:
            return await one.wait()
        except BaseException:
            one.cancelled = True  # without effect if it was decided
            self._attention = True
            raise

    def close(self) -> None:
        """The queue is closed: let the thread end once all have their answer."""
        self._closed = self._attention = True
        if self._runs and self._changed.acquire(blocking=False):  # else it is about to look
            self._changed.notify_all()
            self._changed.release()

    # ---- in the thread -----------------------------------------------------------------------

    def _run(self) -> None:
        while (one := self._next()) is not None:
            if one.try_(self._check_overtaken):
                self._tried = None
                one.report()
            else:
                with self._changed:
                    heapq.heappush(self._waiting, one)
                    self._tried = None
            del one

    def _next(self) -> PendingPublish | None:
        """Return the event to be waited for now; None: the thread ends."""
        with self._changed:
            while True:
                self._attention = False
                self._forget_cancelled()
                if self._waiting:
                    late = [one for one in self._waiting if one.is_over]
                    one = min(late) if late else self._waiting[0]
                    self._waiting.remove(one)
                    heapq.heapify(self._waiting)
                    self._tried = one
                    return one
                if self._closed or not self._changed.wait(LINGER):
                    if self._waiting:
                        continue
                    self._runs = False
                    return None

    def _forget_cancelled(self) -> None:
        if any(one.cancelled for one in self._waiting):
            self._waiting = [one for one in self._waiting if not one.cancelled]
            heapq.heapify(self._waiting)

    def _check_overtaken(self) -> bool:
        """Forget cancelled events; return whether the one that is waited for is to be withdrawn.

        Called every 5 ms while it is waited for.
        """
        tried = self._tried
        if tried is None or tried.cancelled:
            return True
        with self._changed:
            if self._attention:
                self._attention = False
                self._forget_cancelled()
                if self._waiting and self._waiting[0] < tried:
                    return True
            return any(one.is_over for one in self._waiting)
