"""An engine without threads, for `brummerbus.testing.TestBus`: one thread does it all.

It has the queue, the routes, the admission and the workers' own code of the other engine. What
threads do is cut into steps: a worker takes a delivery, or runs the one that it has taken; the
timer publishes or brings back what is due. Random numbers draw which comes next, and time passes
only when nothing can be done at the present one.

Guarantees
- The same numbers lead to the same steps: nothing here depends on the clock, on addresses or on
  the hash of a string.
- No handler runs inside another. While one waits, for free slots or for an event, others take what
  they can, and the timer goes on.
- Whatever a real bus would wait for, for ever, is a `BusError` here.
"""

import heapq
import itertools
import weakref
from collections.abc import Callable
from contextvars import Context
from threading import get_ident
from typing import Any

from brummerbus._config import EventBusConfig
from brummerbus._core._ext import Worker
from brummerbus._core.engine import Engine
from brummerbus._core.hooks import Hooks
from brummerbus._core.log import ERROR, log
from brummerbus._core.queue import FOREVER_NS, Queue, ns
from brummerbus._core.scheduler import Action, Timer
from brummerbus._core.sleepers import Sleepers
from brummerbus._core.subscriptions import Subscriptions
from brummerbus._core.taps import Taps
from brummerbus._core.threads import JOIN_GRACE, Threads, WorkerHooks
from brummerbus._errors import BusError
from brummerbus._text import counted

MAX_STEPS = 1_000_000
"""Steps after which a wait is given up: handlers that publish to each other do not end."""

Draw = Callable[[], float]
"""The next random number, from 0 to less than 1."""


class Timers:
    """Calls actions at their times, as `scheduler.Scheduler`."""

    def __init__(self) -> None:
        self._entries: list[tuple[int, int, Timer]] = []
        self._next_number = itertools.count().__next__

    def call_at(self, due: int, action: Action) -> Timer:
        """Have an action called at a time of the queue's clock."""
        timer = Timer(action)
        heapq.heappush(self._entries, (due, self._next_number(), timer))
        return timer

    def next_due(self) -> int | None:
        """Return the time of the next action."""
        while self._entries and self._entries[0][2].action is None:
            heapq.heappop(self._entries)
        return self._entries[0][0] if self._entries else None

    def step(self, now: int) -> bool:
        """Call the next action if its time has come; whether it has."""
        due = self.next_due()
        if due is None or due > now:
            return False
        timer = self._entries[0][2]
        try:
            if timer.action is not None:
                Worker.outside(timer.action)
        except Exception as error:
            log(ERROR, "a scheduled action raised", exc_info=error)
        timer.cancel()  # not earlier: what a Ctrl-C interrupts is done again
        return True


class SteppedWorkers(Threads):
    """The workers of one queue, each with at most one delivery, or batch, that it has taken."""

    def __init__(self, queue: Queue, hooks: WorkerHooks) -> None:
        self._queue = queue
        self._hooks = hooks
        self._all: list[tuple[Worker, Context]] = []
        self.calls = 0
        """Calls of handlers so far."""

    def start_worker(self) -> None:
        """Add a worker."""
        worker = Worker(self._queue, self._queue.address, None, *self._hooks)
        if worker.enter():
            self._all.append((worker, Context()))

    def __len__(self) -> int:
        return len(self._all)

    def step(self, number: int, *, runs: bool) -> bool:
        """Let a worker take a delivery, or run what it has; whether it could."""
        worker, context = self._all[number]
        until = worker.fill()
        if until == -1:
            if not context.run(worker.take):
                return False
            if worker.has_left():
                self._all = [one for one in self._all if one[0] is not worker]
            return True
        if until != 0 or not runs:
            return False
        self.calls += 1
        context.run(worker.run)
        return True

    def next_due(self) -> int | None:
        """Return the time at which the next batch is not waited for any more."""
        return min((due for worker, _ in self._all if (due := worker.fill()) > 0), default=None)

    def join(self, grace: float = JOIN_GRACE, limit: float = float("inf")) -> int:  # noqa: ARG002
        """Let all that have nothing leave a queue that is shut; none has not, however long."""
        for worker, context in self._all:
            if worker.fill() == -1:
                context.run(worker.take)
        self._all = [one for one in self._all if not one[0].has_left()]
        return 0


class SteppedEngine(Engine):
    """The engine of a bus that one thread runs, step by step."""

    threads: SteppedWorkers

    def __init__(
        self,
        name: str,
        config: EventBusConfig,
        hooks: Hooks,
        subscriptions: Subscriptions,
        taps: Taps,
        draw: Draw,
        now: int,
    ) -> None:
        self._draw = draw
        self._begins_at = now
        self._thread = get_ident()
        self._timers = Timers()
        self._call_at = self._timers.call_at
        pause: Any = weakref.WeakMethod(self.pause)  # or each bus would be garbage
        self._pause = lambda *wait: pause()(*wait)  # noqa: PLW0108 - the method itself keeps it
        super().__init__(name, config, hooks, subscriptions, taps)

    def _threads_of(self, hooks: WorkerHooks) -> SteppedWorkers:
        return SteppedWorkers(self.queue, hooks)

    def start(self) -> None:
        """Add the workers. Nothing drains such an engine at exit."""
        if not self.started:
            self.started = True
            self._set_workers(self.config.min_workers)

    def retire(self) -> None:
        """Drop what is left: nothing would run it."""
        self.queue.close(drain=False)
        self._end_taps()
        self.schedule.close()
        self.discard()

    # ---- steps -------------------------------------------------------------------------------

    def step(self, *, runs: bool = True) -> bool:
        """Do what one of the workers, or the timer, does next; False: there is nothing to do now.

        Args:
            runs: Handlers may be called.
        """
        if get_ident() != self._thread:
            raise BusError(f"{self.name}: a TestBus is run by the thread that made it, no other")
        now = self.queue.clock()
        actors = list(range(len(self.threads) + 1))
        while actors:
            drawn = int(self._draw() * len(actors))
            actor, actors[drawn] = actors[drawn], actors[-1]
            actors.pop()
            if actor == len(self.threads):
                done = self._timers.step(now)
            else:
                done = self.threads.step(actor, runs=runs)
            if done:
                return True
        return False

    def _next_due(self) -> int | None:
        dues = (self._timers.next_due(), self.threads.next_due())
        return min((due for due in dues if due is not None), default=None)

    def _set_clock(self, now: int) -> None:
        if now > self.queue.clock():
            self.queue.set_clock(now)

    def run_until(
        self,
        holds: Callable[[], bool],
        until: int | None,
        standstill: float = float("inf"),
    ) -> bool:
        """Do everything, and let time pass, until something holds; return whether it does.

        Args:
            holds: What is to hold.
            until: The time of the queue's clock at which to give up; None: there is none.
            standstill: Seconds without the end of a delivery after which to give up.

        Raises:
            BusError: It will never hold, or `MAX_STEPS` were not enough.
        """
        queue, runs = self.queue, not self.queue.is_inside()
        ended, since = queue.ended(), queue.clock()
        for _ in range(MAX_STEPS):
            if holds() or queue.is_gone():
                return True
            if until is not None and queue.clock() >= until:
                return False
            if self.step(runs=runs):
                continue
            if ended != queue.ended():
                ended, since = queue.ended(), queue.clock()
            quiet = since + ns(standstill)
            ends = [end for end in (self._next_due(), until) if end is not None]
            if standstill < float("inf"):
                if queue.clock() >= quiet:
                    return False
                ends.append(quiet)
            if not ends:
                raise self._error("nothing is left to do, and what is waited for has not come")
            self._set_clock(min(ends))
        raise self._endless()

    def run_all(self, *, runs: bool = True) -> None:
        """Do everything that can be done at the present time.

        Raises:
            BusError: `MAX_STEPS` were not enough.
        """
        for _ in range(MAX_STEPS):
            if self.queue.is_gone() or not self.step(runs=runs):
                return
        raise self._endless()

    def advance(self, seconds: float) -> None:
        """Let time pass, and do at each moment what is due then; in a handler, without running any.

        Raises:
            BusError: As `run_all`.
        """
        queue, runs = self.queue, not self.queue.is_inside()
        end = queue.clock() + ns(seconds)
        self.run_all(runs=runs)
        while (due := self._next_due()) is not None and due <= end and not queue.is_gone():
            self._set_clock(due)
            self.run_all(runs=runs)
        self._set_clock(end)
        self.run_all(runs=runs)

    def _error(self, why: str) -> BusError:
        waits = f"{counted(self.queue.depth(), 'delivery')} queued, at {self.queue.monotonic():g} s"
        return BusError(f"{self.name}: {why} ({waits})")

    def _endless(self) -> BusError:
        return self._error(f"{MAX_STEPS:,} steps, and there is always more to do")

    # ---- what others wait for ------------------------------------------------------------------

    def wait_barrier(self, timeout: float) -> bool:
        """Do everything until all that was accepted before the call has ended."""
        barrier = self.queue.barrier()
        return self.run_until(lambda: self.queue.wait_barrier(barrier, 0), self._end_of(timeout))

    def wait_idle(
        self,
        timeout: float,
        standstill: float = float("inf"),
        is_enough: Callable[[], bool] | None = None,  # noqa: ARG002
    ) -> bool:
        """Do everything until nothing is queued or running."""
        return self.run_until(lambda: self.queue.wait_idle(0), self._end_of(timeout), standstill)

    def _end_of(self, timeout: float) -> int | None:
        return None if timeout == float("inf") else self.queue.clock() + ns(timeout)

    def pause(self, until: int, limited: bool, outside: bool) -> None:  # noqa: FBT001
        """Do a step instead of the sleep of a publisher that waits for free slots; called in C.

        Args:
            until: When its wait ends.
            limited: Otherwise, the standstill rule ends it.
            outside: It is in no handler.
        """
        if self.step(runs=outside):
            return
        ends = [due for due in (self._next_due(),) if due is not None]
        if until < FOREVER_NS:
            ends.append(until)
        if not limited:  # the rule is applied after each of four parts of that time
            ends.append(self.queue.clock() + self.standstill // 4 + 1)
        if not ends:
            raise self._error("a publisher waits for free slots, and nothing is left to do")
        self._set_clock(min(ends))


class SteppedSleepers(Sleepers):
    """What a listener's thread, or its publishers, do instead of sleeping."""

    __slots__ = ("_engine",)

    def __init__(self, engine: Callable[[], Any]) -> None:
        super().__init__()
        self._engine = engine  # returns that of this process; None: the bus is gone

    def wait_until(self, holds: Callable[[], bool], until: int | None) -> bool:
        """Do everything until something holds, at most until a time; return whether it does."""
        engine = self._engine()
        return holds() if engine is None else bool(engine.run_until(holds, until))
