"""The table of the deliveries of one process, and the three ways in which they are run.

The ring knows numbers, the table says what they stand for: `table[handle]` is the event and the
subscription. A publisher enters a delivery before it offers the handle to the ring, and whoever
gets the handle from the ring, by taking, evicting or discarding, removes it. So an entry belongs
to exactly one thread at any time, and needs no lock.

A delivery is run in a worker's loop, nested in a handler that publishes into a full ring, or in
the publishing thread (`CALLER_RUNS`).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import get_ident
from time import monotonic
from types import CodeType

from brummerbus import ring as c
from brummerbus.backpressure import DropReason
from brummerbus.reporting import Delivery, Reporter, raised_by_signal


class Deliveries:
    """What the ring of one process holds and runs."""

    def __init__(self, ring: c.Ring, reporter: Reporter) -> None:
        self.ring = ring
        self.reporter = reporter
        self.table: dict[int, Delivery] = {}
        self._worker_of: dict[int, int] = {}  # by thread, the worker's handle
        self._nesting: dict[int, tuple[int, ...]] = {}  # by thread, what it runs outside the loop

    # ---- in a worker ------------------------------------------------------------------------

    def work(self, worker: int) -> None:
        """Run what the ring hands out, until it has no more use for this worker."""
        me = get_ident()
        self._worker_of[me] = worker
        # Taking a handle and claiming what it stands for happens in C altogether: the loop is
        # what every event goes through, and each bytecode of it counts.
        deliveries = map(self.table.pop, iter(partial(c.take, worker), 0))
        try:
            while True:
                try:
                    for event, subscription in deliveries:
                        try:
                            subscription.handler(event)
                        except BaseException as error:
                            c.failed(worker)
                            self.reporter.failed((event, subscription), error)
                        # Let go of the event now, not when the next one comes; its finalizer
                        # still runs inside the delivery.
                        del event, subscription
                    return
                except BaseException:  # no memory, for a number that was taken or for a report
                    event = subscription = None
                    self._run_what_is_left(worker)
        finally:
            self._worker_of.pop(me, None)

    def _run_what_is_left(self, worker: int) -> bool:
        """Run the delivery that this worker took but had no memory to begin; whether it did.

        The ring knows it as open, and it is still in the table.
        """
        while True:
            try:
                delivery = self.table.pop(c.opened(worker), None)
                break
            except MemoryError:
                pass  # other threads will give some back
        if delivery is None:
            return False
        try:
            self.run(worker, delivery)
        except BaseException:
            pass  # no memory for the report
        return True

    def run(self, worker: int, delivery: Delivery) -> None:
        """Call the handler in a worker; what it raises is counted and reported."""
        event, subscription = delivery
        try:
            subscription.handler(event)
        except BaseException as error:
            c.failed(worker)
            self.reporter.failed(delivery, error)

    def help(self, worker: int, handle: int, deadline: float) -> int:
        """Run queued deliveries in a worker that publishes, until its event found room.

        FULL: the deadline passed, or the nesting is as deep as it may get.
        """
        out = c.buffer(1)
        while True:
            status = self.ring.help(worker, handle, out)
            try:
                taken: int = out[0]
                if taken:
                    self._run_nested(worker, taken)
            except BaseException:  # no memory
                if self._run_what_is_left(worker):
                    c.done(worker)
                raise
            if status != c.FULL or not taken or monotonic() >= deadline:
                return status

    def _run_nested(self, worker: int, handle: int) -> None:
        with self._nested(handle):
            delivery = self.table.pop(handle)
            try:
                self.run(worker, delivery)
                del delivery
            finally:
                c.done(worker)

    # ---- in the publishing thread -----------------------------------------------------------

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

    # ---- who runs what ----------------------------------------------------------------------

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

    def open(self) -> dict[int, tuple[int, float]]:
        """Return what runs now: by thread, the innermost handle, and for how many seconds.

        0 seconds where nothing is timed: without monitoring, and in publishing threads.
        """
        found = {thread: (running[-1], 0.0) for thread, running in self._nesting.copy().items()}
        for thread, worker in self._worker_of.copy().items():
            handle, seconds = self.ring.opened(worker)
            if handle:
                found[thread] = (handle, seconds)
        return found

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

    # ---- taking out -------------------------------------------------------------------------

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


RUNS: frozenset[CodeType] = frozenset(
    function.__code__ for function in (Deliveries.work, Deliveries.run, Deliveries.run_here)
)
"""Code that calls handlers; its frames have the delivery in `event` and `subscription`."""
