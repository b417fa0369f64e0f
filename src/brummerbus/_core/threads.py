"""The threads of a pool: started, counted, joined.

A worker's thread begins with an `Entry` and runs a `Worker`, both C objects, and no Python code of
this package, so that neither a tracer, nor an exception from another thread, nor a lack of memory
can end it between its start and its loop without its starter being notified.
"""

import itertools
import sys
import threading
from _thread import LockType, allocate_lock
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Any, NamedTuple

from brummerbus._core._ext import Entry, Ticket, Worker
from brummerbus._core.queue import Queue, clock, ns
from brummerbus._errors import BusError

JOIN_GRACE = 1.0
"""Max seconds for idle workers to end; they need microseconds, unless the machine is overloaded."""

JOIN_SLICE = 0.05
"""Seconds after which a join lets Python run signal handlers: not all systems interrupt it."""


class _Started(threading.Event):
    """What `Thread.start` waits for: that the thread has begun, or has ended.

    Args:
        ready: The lock that says so.
        itself: `set`, which the thread calls before it needs any lock, is enough. Otherwise what it
            runs releases the lock.
    """

    def __init__(self, ready: LockType, *, itself: bool) -> None:
        super().__init__()
        self._ready = ready
        self._itself = itself

    def set(self) -> None:
        super().set()
        if self._itself:
            self._ready.release()

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002
        self._ready.acquire()
        return True


class PoolThread(threading.Thread):
    """A daemon thread whose starter waits no longer than it lives.

    `Thread.start` waits for ever for a thread that runs out of memory in its first lines
    (python/cpython#140746). Here it waits for a lock that is released when the thread has begun,
    and by an `Entry`, a C object, when it has ended before. Both names that this needs are private
    to `Thread`, but have existed since Python 3.0: `_bootstrap`, with which the thread begins, and
    `_started`. Waiting until `run` is called would be too long: before it, the thread needs a lock
    of `threading`, which a starter in a signal handler or a finalizer may hold.

    Args:
        name: Its name.
        work: What it does. None: its `run` is replaced by what releases `ready` itself.
    """

    def __init__(self, name: str, work: Callable[[], object] | None) -> None:
        options: dict[str, Any] = {}
        if sys.version_info >= (3, 14):  # which may copy the starter's context, else empty
            options["context"] = Context()  # each its own: a context is entered by one thread
        super().__init__(name=name, daemon=True, **options)
        if work is not None:
            self.run = work  # type: ignore[assignment]
        self.ready = allocate_lock()
        self.ready.acquire()
        self._started = _Started(self.ready, itself=work is not None)
        # Not a property: an interrupt in it, amid `Thread.start`, would leave a thread in limbo.
        self._bootstrap = Entry(super()._bootstrap, self.ready)  # type: ignore[misc]

    def start(self) -> None:
        """Start it, and wait until it has begun.

        Raises:
            RuntimeError: It could not be started, or ended before.
        """
        super().start()
        if not self._started.is_set():
            threading._limbo.pop(self, None)  # type: ignore[attr-defined]  # noqa: SLF001
            raise RuntimeError(f"{self.name}: the thread ended before it could begin")


class WorkerHooks(NamedTuple):
    """What a worker calls: after a failure, for a retry, for what has expired, at its end.

    `start` and `stop` are the user's hooks, called before the first and after the last delivery;
    `raised` gets what they raise.
    """

    report: Callable[[Any, Any, int, BaseException], object]
    retry: Callable[[Ticket, int, int], object]
    expired: Callable[[list[Any]], object]
    ended: Callable[[], object]
    start: Callable[[], object] | None
    stop: Callable[[], object] | None
    raised: Callable[[BaseException], object]


class Threads:
    """The threads of one queue."""

    def __init__(
        self,
        name: str,
        queue: Queue,
        stack_size: int | None,
        hooks: WorkerHooks,
    ) -> None:
        check_threading()
        self._name = name
        self._queue = queue
        self._stack_size = stack_size
        self._hooks = hooks
        self._threads: tuple[threading.Thread, ...] = ()
        self._next_number = itertools.count(1).__next__

    def start_worker(self) -> None:
        """Start one, and wait until it has reached its loop.

        Raises:
            RuntimeError: The thread could not be started, or ended immediately.
        """
        thread = PoolThread(f"{self._name}-worker-{self._next_number()}", None)
        queue = self._queue
        worker = Worker(queue, queue.address, thread.ready, *self._hooks)
        # In an empty context, also where a tracer has patched `Thread.start` (sentry_sdk does) to
        # run each thread in the scope of its starter.
        thread.run = partial(Context().run, worker)  # type: ignore[method-assign]
        self.start(thread)
        if not worker.entered:
            raise RuntimeError(f"{self._name}: a worker's thread ended before it could begin")

    def start(self, thread: threading.Thread) -> None:
        """Start a thread with the configured stack, a setting of the whole process."""
        if self._stack_size is None:
            thread.start()
        else:
            before = threading.stack_size(self._stack_size)
            try:
                thread.start()
            finally:
                threading.stack_size(before)
        # A tuple, replaced as a whole, as other threads may iterate over it. If two threads replace
        # it concurrently, one daemon is lost from it and will not be joined.
        self._threads = (*(t for t in self._threads if t.is_alive()), thread)

    def join(self, grace: float = JOIN_GRACE, limit: float = float("inf")) -> int:
        """Wait for threads that are about to end, as long as they do; return how many have not.

        Args:
            grace: Seconds in which none ends after which it gives up.
            limit: Seconds that it may take altogether.
        """
        end = clock() + ns(limit)
        quiet = clock() + ns(grace)
        alive = 0
        for thread in self._threads:
            if thread.ident == threading.get_ident():
                continue
            while thread.is_alive() and (left := min(quiet, end) - clock()) > 0:
                thread.join(min(left * 1e-9, JOIN_SLICE))
            if thread.is_alive():
                alive += 1
            else:
                quiet = clock() + ns(grace)
        return alive


def check_threading() -> None:
    """Raise `BusError` where `threading` does not start threads of the operating system."""
    gevent = sys.modules.get("gevent.monkey")
    eventlet = sys.modules.get("eventlet.patcher")
    by = None
    if gevent is not None and gevent.is_module_patched("threading"):
        by = "gevent"
    elif eventlet is not None and eventlet.is_monkey_patched("thread"):
        by = "eventlet"
    if by is not None:
        raise BusError(
            "a bus needs threads of the operating system, but `threading` is monkey-patched by "
            f"{by}: create the bus in a process without the patch"
        )
