"""The worker threads of one process: started, changed in number, drained and ended.

A pool lives in one process. Its workers hold it, so it outlives its bus until its queue is empty.
"""

import itertools
import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Thread
from time import monotonic, time

from brummerbus import ring as c
from brummerbus.config import EventBusConfig
from brummerbus.deliveries import Deliveries
from brummerbus.elastic import SizingStep
from brummerbus.errors import BusClosed
from brummerbus.monitor import Monitor
from brummerbus.reporting import Reporter, log
from brummerbus.running import running

JOIN_GRACE = 1.0
"""Seconds that idle workers may take to end; they need microseconds, and a loaded machine."""

KEPT_STEPS = 256
"""Changes of the number of workers that are remembered, the newest."""

live_pools: "weakref.WeakSet[Pool]" = weakref.WeakSet()
"""What has to be drained at exit."""


class Pool:
    """A ring and its workers, from start to stop."""

    def __init__(self, name: str, config: EventBusConfig, reporter: Reporter) -> None:
        self.name = name
        self.config = config
        self.workers = config.fewest_workers
        self.shutdown_timeout = config.shutdown_timeout
        self.ring = c.Ring(
            config.queue_size,
            config.priority_levels,
            monitoring=config.monitoring,
            starvation_after=config.starvation_after,
        )
        self.deliveries = Deliveries(self.ring, reporter)
        self.sizing: deque[SizingStep] = deque(maxlen=KEPT_STEPS)
        self._threads: set[Thread] = set()
        self._next_number = itertools.count(1).__next__
        self._starter: dict[str, object] = {}
        self.started = False

    # ---- start ----------------------------------------------------------------------------

    def start(self) -> None:
        """Start the workers, once; a second caller returns at once.

        Raises:
            RuntimeError: A thread could not be started. Those that were are ended.
        """
        # setdefault lets one caller through, also if it is interrupted by another in its thread.
        me = object()
        if self._starter.setdefault("start", me) is not me:
            return
        live_pools.add(self)
        try:
            self._set_workers(self.workers)
            monitor = Monitor(self)
            if monitor.needed:
                self._start_thread(f"{self.name}-monitor", monitor.run)
        except BaseException:
            self.ring.close(drain=False, deadline=0)
            for thread in self._threads.copy():
                thread.join(JOIN_GRACE)
            live_pools.discard(self)
            raise
        self.started = True

    def resize(self, workers: int, reason: str) -> SizingStep | None:
        """Have so many workers from now on; None: so many there are already.

        Raises:
            BusClosed: The pool is stopped.
            RuntimeError: A thread could not be started; those that were end again.
        """
        before = self.workers
        if workers == before:
            return None
        try:
            self._set_workers(workers)
        except BaseException:
            self.ring.resize(before)  # those that were started leave again
            raise
        self.workers = workers
        step = SizingStep(monotonic(), time(), before, workers, reason)
        self.sizing.append(step)
        log(logging.INFO, "%s: %d workers instead of %d: %s", self.name, workers, before, reason)
        return step

    def _set_workers(self, workers: int) -> None:
        added = self.ring.resize(workers)
        if added is None:
            raise BusClosed(f"{self.name}: the bus is stopped, it has no workers any more")
        for thread in self._threads.copy():
            if not thread.is_alive():
                self._threads.discard(thread)
        try:
            while added:
                name = f"{self.name}-worker-{self._next_number()}"
                self._start_thread(name, partial(self._work, added[-1]))
                added.pop()
        finally:
            for worker in added:  # whose threads could not be started
                c.worker_gone(worker)

    def _start_thread(self, name: str, run: Callable[[], None]) -> None:
        thread = Thread(target=run, name=name, daemon=True)
        with _stack_size(self.config.thread_stack_size):
            thread.start()
        self._threads.add(thread)

    def _work(self, worker: int) -> None:
        try:
            self.deliveries.work(worker)
        finally:
            try:
                self.deliveries.discard()
            except MemoryError:
                pass  # `stop` does it again, or the next worker to end

    # ---- stop -----------------------------------------------------------------------------

    def stop(self, *, drain: bool, timeout: float) -> bool:
        """Stop, and say whether nothing was left and no handler still runs."""
        self.ring.close(drain=drain, deadline=timeout)
        if not drain:
            self.deliveries.discard()
        if self.deliveries.inside():
            return False
        deadline = monotonic() + timeout
        if not self.wait_idle(deadline):
            self.ring.close(drain=False, deadline=0)
            self.deliveries.discard()
        snapshot = self.ring.snapshot(0, 0)
        dropped, still = sum(snapshot.dropped_by[-1]), snapshot.total.running
        if not still:
            self._join()
        if dropped or still:
            self._log_what_is_left(dropped, still)
        return not dropped and not still

    def _log_what_is_left(self, dropped: int, still: int) -> None:
        which = ", ".join(map(str, running(self.deliveries))) if still else ""
        log(
            logging.WARNING,
            "%s: stopped with %d deliveries dropped and %d handlers still running%s",
            self.name,
            dropped,
            still,
            which and f": {which}",
        )

    def _join(self) -> None:
        self.ring.close(drain=False, deadline=0)  # nobody is left to drain, but workers may sleep
        deadline = monotonic() + JOIN_GRACE
        for thread in self._threads.copy():
            thread.join(max(0.0, deadline - monotonic()))
        live_pools.discard(self)

    def wait_idle(self, deadline: float) -> bool:
        """Wait until nothing is queued or running; in slices, for the sake of Ctrl-C."""
        while not self.ring.wait_idle(min(c.SLICE, max(0.0, deadline - monotonic()))):
            if monotonic() >= deadline:
                return False
        return True

    def published(self) -> int:
        """Return how many deliveries have been published so far."""
        return self.ring.snapshot(0, 0).total.published

    def retire(self) -> None:
        """Let the workers finish what is queued and end; nobody waits for them."""
        self.ring.close(drain=True, deadline=float("inf"))


@contextmanager
def _stack_size(size: int | None) -> Iterator[None]:
    """Give threads started meanwhile a stack of so many bytes; the setting is the process's."""
    if size is None:
        yield
        return
    before = threading.stack_size(size)
    try:
        yield
    finally:
        threading.stack_size(before)
