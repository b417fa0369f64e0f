"""The part of a bus that belongs to one process: the queue and its threads, their start and end.

Guarantees
- A bus has one engine per process. In the child of a fork it creates a new one, and never touches
  the parent's, including its locks.
- The queue is the only place that knows the number of workers, so concurrent resizes agree.
- A start or a resize that fails leaves no thread and no worker behind.
- An engine outlives its bus until its queue is drained: workers hold what they need of it.

What does not work, or was tried
- A time limit for leaving `with EventBus()`, as in the first core: it dropped accepted deliveries
  after 5 s, although handlers were running. Only a standstill ends a drain.
- A `threading.Lock` around `start`: a finalizer or signal handler that publishes may interrupt it
  in the same thread, and would deadlock. `dict.setdefault` lets one caller pass.
"""

import threading
import weakref
from collections.abc import Callable
from time import monotonic, time
from typing import TYPE_CHECKING

from brummerbus._core.admission import Admission
from brummerbus._core.census import Counted, announce
from brummerbus._core.figures import Figures
from brummerbus._core.hooks import Hooks
from brummerbus._core.in_flight import running
from brummerbus._core.later import Schedule
from brummerbus._core.log import INFO, WARNING, log
from brummerbus._core.monitor import Monitor
from brummerbus._core.plan import Tickets
from brummerbus._core.queue import SHUT, WHY_SHUTDOWN, Queue, clock, ns
from brummerbus._core.routes import Routes
from brummerbus._core.scheduler import CallAt, call_at
from brummerbus._core.subscriptions import Subscriptions
from brummerbus._core.taps import Taps
from brummerbus._core.threads import JOIN_GRACE, PoolThread, Threads, WorkerHooks
from brummerbus._core.waiting_tasks import WaitingTasks
from brummerbus._core.worker_hooks import discard_all, worker_hooks
from brummerbus._errors import BusClosed
from brummerbus._measurements import SizingStep
from brummerbus._policies import BackpressurePolicy
from brummerbus._text import counted

if TYPE_CHECKING:
    from brummerbus._config import EventBusConfig

KEPT_STEPS = 256
"""The number of newest changes of the number of workers that are kept."""

BLOCK_STANDSTILL = 0.1
"""Seconds without a take after which a handler that waits under BLOCK gives up, if
`publish_timeout` is shorter: that field does not apply to BLOCK."""

STILL_AFTER = 10.0
"""Seconds without the end of a delivery after which a drain without a limit logs the handlers."""

_live: "weakref.WeakValueDictionary[int, Engine]" = weakref.WeakValueDictionary()
"""By address. Not a WeakSet, which must not change while it is iterated over."""


def live_engines() -> "list[Engine]":
    """Return the engines of this process, to drain at exit. From any thread, at any time."""
    found = [engine for ref in _live.valuerefs() if (engine := ref()) is not None]
    return [engine for engine in found if not engine.queue.is_gone()]  # those of a parent are


_retired: "dict[int, Engine]" = {}
"""Engines whose bus was collected and whose workers still run, so that exit waits for them; by the
address of the queue. The last worker removes it."""


class Engine:
    """Queue, routes, admission, threads and monitor of a bus in one process."""

    def __init__(
        self,
        name: str,
        config: "EventBusConfig",
        hooks: Hooks,
        subscriptions: Subscriptions,
        taps: Taps,
    ) -> None:
        self.name = name
        self.config = config
        standstill = config.publish_timeout
        if config.policy is BackpressurePolicy.BLOCK:
            standstill = max(standstill, BLOCK_STANDSTILL)
        self.standstill = ns(standstill)
        self.queue = Queue(
            config.queue_size,
            config.priority_levels,
            reserve=config.handler_reserve,
            reserved=config.reserved_workers,
            notes=config.flight_recorder,
            monitoring=config.monitoring,
            starvation_after=config.starvation_after,
            standstill_after=standstill,
            now=self._begins_at,
        )
        self.sizing: tuple[SizingStep, ...] = ()
        self.started = False
        self._starter: dict[str, object] = {}
        self.hooks = hooks
        self.tickets = Tickets(self.queue, hooks)
        self._subscriptions = subscriptions
        self._taps = taps
        self.routes = Routes(self.queue, config, hooks, subscriptions, taps)
        self.admission = Admission(name, self.queue, hooks, config, self.tickets, self._pause)
        self.schedule = Schedule(
            name,
            self.queue,
            hooks,
            self.routes,
            config.max_scheduled,
            self._call_at,
            self.tickets.purge,
        )
        self.threads = self._threads_of(worker_hooks(self.queue, hooks, _retired, self._call_at))
        self._monitor = Monitor(name, config, self.queue, self.resize)
        self.waiting_tasks = WaitingTasks(name)
        self.figures = Figures(name, self.queue, self.routes, subscriptions)
        self.counted = Counted(
            self, name, self.queue, self.routes.types, is_timed=config.monitoring
        )

    # ---- what _core/stepped.py does without threads -------------------------------------------

    _begins_at = 0
    """The time that the queue's clock is set to; 0: it is not set, but goes."""

    _pause: Callable[[int, bool, bool], object] | None = None
    """See `Admission`."""

    _call_at: CallAt = staticmethod(call_at)

    def _threads_of(self, hooks: WorkerHooks) -> Threads:
        return Threads(self.name, self.queue, self.config.thread_stack_size, hooks)

    # ---- begin -------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the workers, once; a second caller returns immediately.

        Raises:
            RuntimeError: A thread could not be started. Those that were started end again.
        """
        # setdefault lets one caller pass, also if it is interrupted by another in its thread.
        me = object()
        if self._starter.setdefault("start", me) is not me:
            return
        _live[id(self)] = self
        try:
            announce(self.counted)
            self._set_workers(self.config.min_workers)
            if self._monitor.checks:
                self.threads.start(PoolThread(f"{self.name}-monitor", self._monitor.run))
        except BaseException:
            self.queue.close(drain=False)
            self.threads.join()
            self.discard()  # what other threads have published already
            _live.pop(id(self), None)
            raise
        self.started = True

    @property
    def workers(self) -> int:
        """The number of workers set last, as the queue has it."""
        return self.queue.wanted() if self.started else self.config.min_workers

    def resize(self, workers: int, reason: str) -> SizingStep | None:
        """Set the number of workers. Returns None if it is unchanged. Safe from several threads.

        Raises:
            BusClosed: The queue is shut.
            RuntimeError: A thread could not be started; those that were started end again.
        """
        before = self.workers
        try:
            self._set_workers(workers)
        except BaseException:
            self.queue.resize(before)  # the new workers leave again
            raise
        if workers == before:
            return None
        step = SizingStep(monotonic(), time(), before, workers, reason)
        self.sizing = (*self.sizing, step)[-KEPT_STEPS:]
        now = counted(workers, "worker")
        log(INFO, "%s: %s instead of %d: %s", self.name, now, before, reason)
        return step

    def _set_workers(self, workers: int) -> None:
        missing = self.queue.resize(workers)
        if missing < 0:
            raise BusClosed(f"{self.name}: the bus is stopped and has no workers any more")
        try:
            while missing:
                self.threads.start_worker()
                missing -= 1
        finally:
            while missing > 0:  # their threads could not be started
                self.queue.worker_failed()
                missing -= 1

    # ---- end ---------------------------------------------------------------------------------

    def stop(self, *, drain: bool, timeout: float, standstill: float) -> bool:
        """Stop; return whether nothing was left and no handler still runs.

        Args:
            drain: Finish what is queued.
            timeout: Max seconds.
            standstill: Seconds without the end of any delivery after which the drain is given up.
        """
        self.queue.close(drain=drain, deadline=timeout)
        try:
            self._end_taps()
            self.schedule.close()
            if self.queue.state() == SHUT:  # also if an earlier attempt has run out of memory
                self.discard()
            if self.queue.is_inside():
                return False
            idle = self.wait_idle(timeout, standstill)
        except BaseException:  # a Ctrl-C: count and log the rest
            self._give_up()
            raise
        return self._end(timeout) if idle else self._give_up()

    def _end_taps(self) -> None:
        for one in self._taps:
            one.tap.end()
        self.waiting_tasks.close()

    def _give_up(self) -> bool:
        self.queue.close(drain=False)
        self.schedule.close()
        self.discard()
        return self._end(0.0)

    def _end(self, limit: float) -> bool:
        """Finish a stop. Workers in `on_worker_stop` are waited for `limit` seconds at most."""
        snapshot = self.queue.snapshot()
        dropped, still = sum(snapshot.dropped_by[WHY_SHUTDOWN]), snapshot.total.running
        if not still:
            self.queue.close(drain=False)  # nothing is left to drain, but workers may sleep
            self._join(limit)
            _live.pop(id(self), None)
        if (dropped, still) != self._reported:
            self._reported = (dropped, still)
            self._log_what_is_left(dropped, still)
        return not dropped and not still

    def _join(self, limit: float) -> None:
        if self.hooks.on_worker_stop is None:
            self.threads.join()
            return
        grace = self.config.shutdown_timeout
        grace = float("inf") if grace is None else max(grace, JOIN_GRACE)
        alive = self.threads.join(grace, max(limit, JOIN_GRACE))
        if alive:
            message = "%s: stopped while on_worker_stop still runs in %s"
            log(WARNING, message, self.name, counted(alive, "thread"))

    _reported = (0, 0)

    def _log_what_is_left(self, dropped: int, still: int) -> None:
        which = ", ".join(map(str, running(self.queue))) if still else ""
        log(
            WARNING,
            "%s: stopped with %s dropped and %s still running%s",
            self.name,
            counted(dropped, "delivery"),
            counted(still, "handler"),
            which and f": {which}",
        )

    def discard(self) -> None:
        """Drop what a shut queue still holds."""
        discard_all(self.queue, self.hooks)

    def wait_barrier(self, timeout: float) -> bool:
        """Wait until all that was accepted before the call has ended; in slices for Ctrl-C."""
        queue, barrier = self.queue, self.queue.barrier()
        end = clock() + ns(timeout)
        while not queue.wait_barrier(barrier, min(50_000_000, max(0, end - clock()))):
            if clock() >= end:
                return False
            self._subscriptions.end_closed_loops()
        return True

    def wait_idle(
        self,
        timeout: float,
        standstill: float = float("inf"),
        is_enough: Callable[[], bool] | None = None,
    ) -> bool:
        """Wait until nothing is queued or running, or `is_enough`.

        In slices: in the main thread to respond to Ctrl-C, in other threads to detect a standstill.
        A slice counts as two at most, however long it took: the process may have been paused.
        """
        queue = self.queue
        is_main = threading.get_ident() == threading.main_thread().ident
        piece = 50_000_000 if is_main else 1_000_000_000
        if standstill < float("inf"):
            piece = max(1_000_000, min(piece, ns(standstill) // 4))
        now = clock()
        end = now + ns(timeout)
        quiet, ended, named = 0, queue.ended(), False
        while not queue.wait_idle(min(piece, max(0, end - now))):
            before, now = now, clock()
            if now >= end:
                return False
            if is_enough is not None and is_enough():
                return True
            self._subscriptions.end_closed_loops()
            if (progress := queue.ended()) != ended:
                ended, quiet = progress, 0
            else:
                quiet += min(now - before, 2 * piece)
            if quiet >= ns(standstill):
                return False
            if quiet >= ns(STILL_AFTER) and not named and timeout == float("inf"):
                named = True
                self._name_the_still()
        return True

    def _name_the_still(self) -> None:
        which = ", ".join(map(str, running(self.queue)))
        if which:
            message = "%s: waits for handlers, none of which has ended for %g s: %s"
            log(WARNING, message, self.name, STILL_AFTER, which)
        elif depth := self.queue.depth():
            message = "%s: waits for retries, none of which has come for %g s: %s queued"
            log(WARNING, message, self.name, STILL_AFTER, counted(depth, "delivery"))

    def retire(self) -> None:
        """Have the workers drain the queue and end, without waiting for it."""
        key = self.queue.address
        if not self.queue.wait_idle(0):
            _retired[key] = self
        self.queue.close(drain=True, deadline=float("inf"))
        self._end_taps()
        if self.queue.wait_idle(0):  # if it was closed before, the last worker may have ended
            _retired.pop(key, None)
