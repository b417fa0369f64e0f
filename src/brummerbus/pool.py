"""The worker threads, and the table of the deliveries they take.

The ring knows numbers, the table says what they stand for: `table[handle]` is the event and the
subscription. A publisher enters a delivery before it offers the handle to the ring, and whoever
gets the handle from the ring, by taking, evicting or discarding, removes it. So an entry belongs
to exactly one thread at any time, and needs no lock.

A pool lives in one process. Its workers hold it, so it outlives its bus until its queue is empty.
"""

import logging
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Thread, get_ident
from time import monotonic

from brummerbus import ring as c
from brummerbus.backpressure import DropReason
from brummerbus.config import EventBusConfig
from brummerbus.reporting import Delivery, Reporter, log, raised_by_signal

SLICE = 0.05
"""Seconds that a call waits in C before it comes back to let Python run signal handlers."""

JOIN_GRACE = 1.0
"""Seconds that idle workers may take to end; they need microseconds, and a loaded machine."""

live_pools: "weakref.WeakSet[Pool]" = weakref.WeakSet()
"""What has to be drained at exit."""


class Pool:
    """A ring and its workers, from start to stop."""

    def __init__(self, name: str, config: EventBusConfig, reporter: Reporter) -> None:
        self.name = name
        self.reporter = reporter
        self.workers = config.workers
        self.shutdown_timeout = config.shutdown_timeout
        self.ring = c.Ring(
            config.queue_size,
            config.priority_levels,
            monitoring=config.monitoring,
            starvation_after=config.starvation_after,
        )
        self.table: dict[int, Delivery] = {}
        self._threads: list[Thread] = []
        self._worker_of: dict[int, int] = {}  # by thread, the worker's handle
        self._nesting: dict[int, tuple[int, ...]] = {}  # by thread, what it runs outside the loop
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
            for number in range(1, self.workers + 1):
                self._start_worker(number)
        except BaseException:
            self.ring.close(drain=False, deadline=0)
            for thread in self._threads:
                thread.join(JOIN_GRACE)
            live_pools.discard(self)
            raise
        self.started = True

    def _start_worker(self, number: int) -> None:
        worker = self.ring.add_worker()
        name = f"{self.name}-worker-{number}"
        thread = Thread(target=self._work, args=(worker,), name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    # ---- loop -----------------------------------------------------------------------------

    def _work(self, worker: int) -> None:
        me = get_ident()
        self._worker_of[me] = worker
        # Taking a handle and claiming what it stands for happens in C altogether: the loop is
        # what every event goes through, and each bytecode of it counts.
        deliveries = map(self.table.pop, iter(partial(c.take, worker), 0))
        try:
            for event, subscription in deliveries:
                try:
                    subscription.handler(event)
                except BaseException as error:
                    c.failed(worker)
                    self.reporter.failed((event, subscription), error)
                # Let go of the event now, not when the next one comes; its finalizer still
                # runs inside the delivery.
                del event, subscription
        finally:
            self._worker_of.pop(me, None)
            self.discard()

    def worker_here(self) -> int:
        """Return the handle of the worker whose thread this is, or 0."""
        return self._worker_of.get(get_ident(), 0)

    def nesting_here(self) -> int:
        """Return how many handlers this thread has open outside a worker's loop."""
        return len(self._nesting.get(get_ident(), ()))

    def inside(self) -> bool:
        """Return whether the caller is a handler (or a hook of one) of this pool."""
        me = get_ident()
        return me in self._worker_of or me in self._nesting

    @contextmanager
    def _nested(self, handle: int) -> Iterator[None]:
        me = get_ident()
        self._nesting[me] = (*self._nesting.get(me, ()), handle)
        try:
            yield
        finally:
            self.leave(handle)

    def leave(self, handle: int) -> None:
        """Note that this thread does not run the handle's deliveries, nor any inside, any more."""
        me = get_ident()
        running = self._nesting.get(me, ())
        if handle in running:
            outer = running[: running.index(handle)]
            if outer:
                self._nesting[me] = outer
            else:
                self._nesting.pop(me, None)

    def help(self, worker: int, handle: int, deadline: float) -> int:
        """Run queued deliveries in a worker that publishes, until its event found room.

        FULL: the deadline passed, or the nesting is as deep as it may get.
        """
        out = c.buffer(1)
        while True:
            status = self.ring.help(worker, handle, out)
            taken: int = out[0]
            if taken:
                self._run_nested(worker, taken)
            if status != c.FULL or not taken or monotonic() >= deadline:
                return status

    def _run_nested(self, worker: int, handle: int) -> None:
        with self._nested(handle):
            event, subscription = self.table.pop(handle)
            try:
                subscription.handler(event)
            except BaseException as error:
                c.failed(worker)
                self.reporter.failed((event, subscription), error)
            del event, subscription
            c.done(worker)

    def run_here(self, handle: int, count: int) -> None:
        """Run the deliveries of an event in the publishing thread, after the ring said RUN.

        A handler's exception is reported as in a worker, except a KeyboardInterrupt that a
        signal raised: that one is meant for this thread, not for the handler.
        """
        with self._nested(handle):
            for number in range(handle, handle + count):
                event, subscription = self.table.pop(number)
                try:
                    subscription.handler(event)
                except BaseException as error:
                    c.caller_done(handle, 1)
                    if raised_by_signal(error):
                        raise
                    self.reporter.failed((event, subscription), error)
                else:
                    c.caller_done(handle, 0)

    # ---- stop -----------------------------------------------------------------------------

    def stop(self, *, drain: bool, timeout: float) -> bool:
        """Stop, and say whether nothing was left and no handler still runs."""
        self.ring.close(drain=drain, deadline=timeout)
        if not drain:
            self.discard()
        if self.inside():
            return False
        deadline = monotonic() + timeout
        if not self.wait_idle(deadline):
            self.ring.close(drain=False, deadline=0)
            self.discard()
        left, running = self._left_over()
        if not running:
            self._join()
        if left or running:
            log(
                logging.WARNING,
                "%s: stopped with %d deliveries dropped and %d handlers still running",
                self.name,
                left,
                running,
            )
        return not left and not running

    def _left_over(self) -> tuple[int, int]:
        snapshot = self.ring.snapshot(0, 0)
        return sum(snapshot.dropped_by[-1]), snapshot.total.running

    def _join(self) -> None:
        self.ring.close(drain=False, deadline=0)  # nobody is left to drain, but workers may sleep
        deadline = monotonic() + JOIN_GRACE
        for thread in self._threads:
            thread.join(max(0.0, deadline - monotonic()))
        live_pools.discard(self)

    def wait_idle(self, deadline: float) -> bool:
        """Wait until nothing is queued or running; in slices, for the sake of Ctrl-C."""
        while not self.ring.wait_idle(min(SLICE, max(0.0, deadline - monotonic()))):
            if monotonic() >= deadline:
                return False
        return True

    def published(self) -> int:
        """Return how many deliveries have been published so far."""
        return self.ring.snapshot(0, 0).total.published

    def discard(self) -> None:
        """Drop what a shut ring still holds."""
        out = c.buffer(64)
        left: list[Delivery] = []
        try:
            while self.ring.discard(out):
                self.claim(out, left)
                self.reporter.dropped(left, DropReason.SHUTDOWN, first=False)
                left.clear()
        except BaseException:  # handles that were claimed before are no longer in the table
            self.claim(out, left)
            raise

    def claim(self, handles: Iterable[int], claimed: list[Delivery]) -> None:
        """Move the deliveries of the handles, up to a 0, from the table to a list.

        It can be called again with the same handles, for what an interrupt has left.
        """
        for handle in handles:
            if not handle:
                break
            delivery = self.table.pop(handle, None)
            if delivery is not None:
                claimed.append(delivery)

    def retire(self) -> None:
        """Let the workers finish what is queued and end; nobody waits for them."""
        self.ring.close(drain=True, deadline=float("inf"))
