"""What an executor publishes on its bus, and what a worker does with it.

Guarantees
- The future of a task that was accepted ends: with a result, with an exception, or cancelled and
  its waiters notified. A task belongs to what takes it out of `Pool.waiting`: the worker that runs
  it, the report of its drop, or `shutdown(cancel_futures=True)`; so it ends once.
- No lock is held, so `submit` may be called from where `publish` may: a handler, a finalizer, a
  signal handler.
- A pool refers to neither its executor nor its bus. Worker threads refer to the pool, and an
  executor that was forgotten has to be collected while they run.
"""

import logging
import os
import weakref
from _thread import allocate_lock
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from concurrent.futures.thread import BrokenThreadPool
from contextvars import Context
from itertools import count
from threading import Semaphore, Thread, current_thread
from typing import Any

from brummerbus import DropReason, Outcome, Subscription

logger = logging.getLogger("concurrent.futures")
"""Where `ThreadPoolExecutor` logs that an initializer has failed."""

BROKEN = "A thread initializer failed, the thread pool is not usable anymore"


class Task:
    """One call, and the future that gets its result."""

    __slots__ = ("args", "context", "fn", "future", "kwargs")

    def __init__(
        self,
        future: "Future[Any]",
        context: Context,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        self.future = future
        self.context = context
        self.fn = fn
        self.args = args
        self.kwargs = kwargs

    def run(self) -> None:
        """Call it, unless its future was cancelled."""
        future = self.future
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = self.context.run(self.fn, *self.args, **self.kwargs)
        except BaseException as error:
            future.set_exception(error)
            del self, future  # the traceback refers to this frame
        else:
            future.set_result(result)

    def fail(self, error: Exception) -> None:
        """End it with an exception, unless its future was cancelled."""
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)

    def cancel(self) -> None:
        """Cancel its future, and notify those who wait for it."""
        self.future.cancel()
        self.future.set_running_or_notify_cancel()


class Pool:
    """The tasks of an executor and its views, and the workers of its own bus."""

    def __init__(
        self, name: str, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]
    ) -> None:
        self.waiting: set[Task] = set()
        self.threads: frozenset[Thread] = frozenset()
        self.is_shut = False
        self.broken = ""
        self.begun = Semaphore(0)
        """Released by each worker once it is in `threads`."""
        self._name = name
        self._initializer = initializer
        self._initargs = initargs
        self._next_number = count().__next__
        self._lock = allocate_lock()
        _pools.add(self)

    # ---- tasks -------------------------------------------------------------------------------

    def run(self, task: Task) -> None:
        """Run a task, in a worker."""
        try:
            self.waiting.remove(task)
        except KeyError:  # it was cancelled, or is that of the parent of a fork
            return
        if self.broken:
            task.fail(BrokenThreadPool(self.broken))
        else:
            task.run()
        del task  # the traceback of what it raised refers to this frame, too

    def drop(self, task: Task) -> None:
        """Cancel a task that will not be run; without effect if it was."""
        try:
            self.waiting.remove(task)
        except KeyError:
            return
        task.cancel()

    def cancel_waiting(self) -> None:
        """Cancel all that wait."""
        for task in list(self.waiting):
            self.drop(task)

    def on_drop(self, task: Task, subscription: Subscription, _reason: DropReason) -> None:
        """Cancel a dropped task: the hook of an executor's own bus."""
        if subscription.handler == self.run:
            self.drop(task)

    def on_done(self, outcome: Outcome) -> None:
        """Cancel a task whose delivery has ended without its being run."""
        self.drop(outcome.event)

    # ---- workers -----------------------------------------------------------------------------

    def on_worker_start(self) -> None:
        """Name a worker's thread as `ThreadPoolExecutor` would, and initialise it."""
        thread = current_thread()
        with self._lock:
            thread.name = f"{self._name}_{self._next_number()}"
            self.threads = frozenset([thread, *(t for t in self.threads if t.is_alive())])
        self.begun.release()
        if self._initializer is None:
            return
        try:
            self._initializer(*self._initargs)
        except BaseException:
            logger.critical("Exception in initializer:", exc_info=True)
            self.broken = BROKEN  # and the workers fail what waits

    def forget(self) -> None:
        """In the child of a fork: the tasks and the threads are the parent's."""
        self.waiting = set()
        self.threads = frozenset()
        self.begun = Semaphore(0)
        self._lock = allocate_lock()
        self._next_number = count().__next__


class SharedPool(Pool):
    """The tasks of an executor on a bus that others use too, and stops."""

    def __init__(self) -> None:
        super().__init__("", None, ())
        self.running: set[Future[Any]] = set()

    def run(self, task: Task) -> None:
        """Run a task, in a worker."""
        future = task.future
        self.running.add(future)  # before it waits no longer: `join` looks at both
        try:
            super().run(task)
        finally:
            self.running.discard(future)
            del task, future

    def join(self) -> None:
        """Wait until all tasks have ended."""
        while futures := [*(task.future for task in list(self.waiting)), *self.running]:
            wait(futures)

    def forget(self) -> None:
        """In the child of a fork."""
        super().forget()
        self.running = set()


_pools: "weakref.WeakSet[Pool]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for pool in list(_pools):
        pool.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
