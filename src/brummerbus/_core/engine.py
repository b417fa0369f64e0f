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

import logging
import threading
import weakref
from collections.abc import Callable
from functools import partial
from time import monotonic, time
from typing import TYPE_CHECKING

from brummerbus._config import EventBusConfig
from brummerbus._core._ext import discard
from brummerbus._core.admission import Admission
from brummerbus._core.hooks import Hooks
from brummerbus._core.in_flight import running
from brummerbus._core.log import log
from brummerbus._core.monitor import Monitor
from brummerbus._core.queue import MAX_PRESENT_WORKERS, SHUT, Queue, clock, ns
from brummerbus._core.routes import OTHER, Routes
from brummerbus._core.subscriptions import Subscription, Subscriptions
from brummerbus._core.threads import PoolThread, Threads
from brummerbus._errors import BusClosed
from brummerbus._measurements import MeasuredLoad, SizingStep, Timer
from brummerbus._policies import BackpressurePolicy, DropReason
from brummerbus._text import counted

if TYPE_CHECKING:
    from brummerbus._stats import BusStats

KEPT_STEPS = 256
"""The number of newest changes of the number of workers that are kept."""

BLOCK_STANDSTILL = 0.1
"""Seconds without a take after which a handler that waits under BLOCK gives up, if
`publish_timeout` is shorter: that field does not apply to BLOCK."""

STILL_AFTER = 10.0
"""Seconds without the end of a delivery after which a drain without a limit logs the handlers."""

_live: "dict[int, weakref.ref[Engine]]" = {}


def live_engines() -> "list[Engine]":
    """Return the engines to drain at exit. From any thread, while others start and end."""
    return [engine for ref in list(_live.values()) if (engine := ref()) is not None]


_retired: "dict[int, Engine]" = {}
"""Engines whose bus was collected and whose workers still run, so that exit waits for them; by the
address of the queue. The last worker removes it."""


class Engine:
    """Queue, routes, admission, threads and monitor of a bus in one process."""

    def __init__(
        self, name: str, config: EventBusConfig, hooks: Hooks, subscriptions: Subscriptions
    ) -> None:
        self.name = name
        self.config = config
        standstill = config.publish_timeout
        if config.policy is BackpressurePolicy.BLOCK:
            standstill = max(standstill, BLOCK_STANDSTILL)
        self.queue = Queue(
            config.queue_size,
            config.priority_levels,
            reserve=config.handler_reserve,
            monitoring=config.monitoring,
            starvation_after=config.starvation_after,
            standstill_after=standstill,
        )
        self.sizing: tuple[SizingStep, ...] = ()
        self.started = False
        self._starter: dict[str, object] = {}
        self._hooks = hooks
        self._subscriptions = subscriptions
        self.routes = Routes(self.queue, config, subscriptions)
        self.admission = Admission(name, self.queue, hooks, config)
        self.threads = Threads(
            name,
            self.queue,
            config.thread_stack_size,
            hooks.failed_in_worker,
            _discarder(self.queue, hooks),
        )
        self._monitor = Monitor(name, config, self.queue, self)

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
        _live[id(self)] = weakref.ref(self, partial(_forget, id(self)))
        try:
            self._set_workers(self.config.min_workers)
            if self._monitor.needed:
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
        log(logging.INFO, "%s: %s instead of %d: %s", self.name, now, before, reason)
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
        if self.queue.state() == SHUT:  # again, as an earlier attempt may have run out of memory
            self.discard()
        if self.queue.is_inside():
            return False
        try:
            idle = self.wait_idle(timeout, standstill)
        except BaseException:  # a Ctrl-C: count and log the rest
            self._give_up()
            raise
        return self._end() if idle else self._give_up()

    def _give_up(self) -> bool:
        self.queue.close(drain=False)
        self.discard()
        return self._end()

    def _end(self) -> bool:
        snapshot = self.queue.snapshot()
        dropped, still = sum(snapshot.dropped_by[-1]), snapshot.total.running
        if not still:
            self.queue.close(drain=False)  # nothing is left to drain, but workers may sleep
            self.threads.join()
            _live.pop(id(self), None)
        if (dropped, still) != self._reported:
            self._reported = (dropped, still)
            self._log_what_is_left(dropped, still)
        return not dropped and not still

    _reported = (0, 0)

    def _log_what_is_left(self, dropped: int, still: int) -> None:
        which = ", ".join(map(str, running(self.queue))) if still else ""
        log(
            logging.WARNING,
            "%s: stopped with %s dropped and %s still running%s",
            self.name,
            counted(dropped, "delivery"),
            counted(still, "handler"),
            which and f": {which}",
        )

    def discard(self) -> None:
        """Drop what a shut queue still holds."""
        _discard(self.queue, self._hooks)

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
        message = "%s: waits for handlers, none of which has ended for %g s: %s"
        log(logging.WARNING, message, self.name, STILL_AFTER, which)

    def retire(self) -> None:
        """Have the workers drain the queue and end, without waiting for it."""
        key = self.queue.address
        if not self.queue.wait_idle(0):
            _retired[key] = self
        self.queue.close(drain=True, deadline=float("inf"))
        if self.queue.wait_idle(0):  # if it was closed before, the last worker may have ended
            _retired.pop(key, None)

    # ---- figures -----------------------------------------------------------------------------

    def stats(self) -> "BusStats":
        """Return a snapshot of all figures."""
        from brummerbus._stats import bus_stats  # noqa: PLC0415 - imported with the first bus

        while True:  # until no new type was added between the two reads
            known = max(self.routes.types.copy().values()) + 1
            recipients = self.recipients()
            snapshot = self.queue.snapshot(known, MAX_PRESENT_WORKERS, recipients, durations=True)
            types = self.routes.types.copy()
            if max(types.values()) < known:
                labels = [one.label for one in recipients]
                return bus_stats(snapshot, types, labels, self.sizing, OTHER)

    def load(self) -> tuple[MeasuredLoad, dict[int, str]]:
        """Return arrivals and handling times by subscription, and the subscriptions' labels.

        Ended subscriptions are under `OTHER`.
        """
        recipients = self.recipients()
        known = max(self.routes.types.copy().values()) + 1
        snapshot = self.queue.snapshot(known, durations=True)
        arrivals, timers = self.queue.load(recipients)
        sums = zip(snapshot.timer, *timers, strict=True)
        other = Timer(*(all_ - sum(parts) for all_, *parts in sums))
        labels = {0: OTHER} | dict(enumerate((one.label for one in recipients), start=1))
        places = {one.number: place for place, one in enumerate(recipients, start=1)}
        assert snapshot.durations is not None
        load = MeasuredLoad(
            *arrivals,
            meters={n: t for n, t in enumerate((other, *timers)) if t.deliveries > 0},
            processing=snapshot.durations[1].buckets,
            routes={
                key: tuple(places.get(number, 0) for number in numbers)
                for key, numbers in self.routes.recipients.copy().items()
            },
            types={number: one.published for number, one in enumerate(snapshot.types)},
            levels={level: one.published for level, one in enumerate(snapshot.levels, start=1)},
        )
        return load, labels

    def recipients(self) -> list[Subscription]:
        """Return the subscriptions; their counts start from 0 in each process."""
        recipients = list(self._subscriptions)
        for one in recipients:
            one.count_from(self.queue.forks)
        return recipients


def _forget(key: int, ref: "weakref.ref[Engine]") -> None:
    if _live.get(key) is ref:
        _live.pop(key, None)


def _discard(queue: Queue, hooks: Hooks) -> None:
    """Drop what a shut queue still holds: all of it, whatever hooks raise."""
    propagated: BaseException | None = None
    while True:
        lost, n = discard(queue.address)
        if not n:
            break
        try:
            hooks.dropped(lost, DropReason.SHUTDOWN, first=False)
        except BaseException as raised:
            propagated = raised
    if propagated is not None:
        raise propagated


def _discarder(queue: Queue, hooks: Hooks) -> Callable[[], None]:
    """Return the function that a worker calls at its end; it holds only queue and hooks."""

    def ended() -> None:
        try:
            _discard(queue, hooks)
        except MemoryError:
            pass  # `stop`, or the next worker that ends, does it again
        except BaseException as error:
            hooks.log_raised(error)
        try:
            if queue.wait_idle(0):
                _retired.pop(queue.address, None)
        except MemoryError:
            pass  # it stays

    return ended
