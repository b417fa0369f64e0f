"""An executor whose tasks wait in a bus: bounded, prioritised, measured.

    from brummerbus.executor import BusExecutor

    with BusExecutor(max_workers=4, queue_size=100) as executor:
        future = executor.submit(pow, 2, 8)
        urgent = executor.with_priority(3).submit(pow, 3, 3)

It is a `ThreadPoolExecutor` for those who ask (`loop.set_default_executor`, `grpc.server`), and
shares no code with it.
"""

import copy
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.thread import BrokenThreadPool
from contextvars import copy_context
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from brummerbus import BackpressurePolicy, BusClosed, BusError, EventBus, sizing
from brummerbus._arguments import MAX_WORKERS, check_int, shown
from brummerbus._core import deferred
from brummerbus._core.callables import check_hook
from brummerbus.executor._ahead import Ahead, check_buffersize, end_of
from brummerbus.executor._tasks import Pool, SharedPool, Task

if TYPE_CHECKING:
    from typing import ParamSpec, TypeVar

    from brummerbus._config import ConfigOverrides
    from brummerbus._typing import Unpack

    P = ParamSpec("P")
    T = TypeVar("T")

_next_name = count().__next__

_EVICTS = (BackpressurePolicy.DROP_OLDEST, BackpressurePolicy.DROP_LOWEST)

_CLOSED = "cannot schedule new futures after shutdown"


class BusExecutor(ThreadPoolExecutor):
    """An executor on the workers of a bus, its own or a given one.

    Tasks wait in the bus's queue, so there is a bound, and `executor.bus.stats()` has the figures:
    how many waited, how long, how long they took. `submit` does not wait: on an own bus a full
    queue raises `QueueFull` immediately, unless another policy is given. A task that the policy
    drops has its future cancelled. Each task runs in a copy of the context variables that its
    submitter had.

    All workers run from construction on. At interpreter exit the tasks of an own bus are finished
    first, however long that takes. In the child of a fork the executor is empty, with its own
    workers, and the futures of the parent's tasks do not end.

    Args:
        max_workers: Worker threads, 1 to 1024. Default: the cores that this process may use + 4,
            at most 32. On a given bus: how many of its workers this executor may occupy; default
            all.
        thread_name_prefix: The threads of an own bus, which has that name, are called `prefix_N`.
        initializer: Called in each worker of an own bus before its first task. If it raises, tasks
            and further submits fail with `BrokenThreadPool`.
        initargs: Its arguments.
        bus: The bus to share, with its policy and its other subscribers; `submit` does not wait
            there either. `shutdown` leaves it running.
        **overrides: Fields of `EventBusConfig` for an own bus, such as `queue_size`, by default 10
            tasks for each worker. Other than there, `policy` is `REJECT`, `publish_timeout` is 0
            and `shutdown_timeout` is None.

    Raises:
        TypeError: An argument is of the wrong type, or belongs to the bus that was given.
        ValueError: An argument is out of range.
        BusClosed: The given bus is stopped.
        RuntimeError: A thread could not be started.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        bus: EventBus | None = None,
        **overrides: "Unpack[ConfigOverrides]",
    ) -> None:
        # Nothing of `ThreadPoolExecutor.__init__`: it is about its own queue and threads.
        _check_workers(max_workers)
        if thread_name_prefix is not None and not isinstance(thread_name_prefix, str):
            raise TypeError(f"thread_name_prefix must be a string, got {shown(thread_name_prefix)}")
        deferred.load()
        check_hook("initializer", initializer, None)
        self._tasks: dict[int | None, type[Task]] = {}
        self._root: BusExecutor | None = None  # of a view: whose end is its own
        if bus is not None:
            given = {
                "thread_name_prefix": bool(thread_name_prefix),
                "initializer": initializer is not None,
                "initargs": initargs != (),
                **dict.fromkeys(overrides, True),
            }
            self._share(bus, max_workers, [name for name, is_given in given.items() if is_given])
        else:
            if "workers" in overrides:
                raise TypeError("an executor's workers are max_workers, not workers")
            name = thread_name_prefix or f"{type(self).__name__}-{_next_name()}"
            self._own(name, max_workers, initializer, initargs, overrides)
        self._task = self._task_type(None)

    def _own(
        self,
        name: str,
        max_workers: int | None,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
        overrides: "ConfigOverrides",
    ) -> None:
        if max_workers is None:
            max_workers = min(32, sizing.available_cores() + 4)
        settings: ConfigOverrides = {
            "policy": BackpressurePolicy.REJECT,
            "publish_timeout": 0.0,
            "shutdown_timeout": None,
            **overrides,
            "workers": max_workers,
        }
        pool = Pool(name, initializer, initargs)
        self._pool = pool
        self._is_own = True
        self._max_workers = max_workers
        self.bus: EventBus = EventBus(
            name=name, on_drop=pool.on_drop, on_worker_start=pool.on_worker_start, **settings
        )
        self._base: type[Task] = Task
        self.bus.subscribe(Task, pool.run)
        self._publish: Callable[[Task], bool] = self.bus.publish
        if self.bus.config.policy in _EVICTS:
            # The callback of an evicted task may submit, and evict, and so on: `on_drop` is called
            # some levels deep only. `on_done` always is, but takes longer.
            self._publish = partial(self.bus.publish, on_done=pool.on_done)
        for _ in range(max_workers):  # not for their initializers
            pool.begun.acquire()

    def _share(self, bus: EventBus, max_workers: int | None, others: list[str]) -> None:
        if not isinstance(bus, EventBus):
            raise TypeError(f"bus must be an EventBus or None, got {shown(bus)}")
        if others:
            raise TypeError(f"with bus, {others[0]} cannot be given: it is the bus's own")
        pool = SharedPool()
        self._pool = pool
        self._is_own = False
        self.bus = bus
        self._max_workers = bus.workers if max_workers is None else max_workers
        # A class of its own, as events are routed by class: other executors may share the bus.
        self._base = type("Task", (Task,), {"__slots__": ()})
        subscription = bus.subscribe(self._base, pool.run, max_concurrency=max_workers)
        self._publish = partial(bus.publish, timeout=0.0, on_done=pool.on_done)
        self._end = weakref.finalize(self, subscription.cancel)
        self._end.atexit = False

    def _task_type(self, priority: int | None) -> type[Task]:
        """Return the class of tasks of a priority: that of its class is as fast as none."""
        found = self._tasks.get(priority)
        if found is None:
            body = {"__slots__": (), "priority": priority}  # None is no priority
            found = self._tasks.setdefault(priority, type("Task", (self._base,), body))
        return found

    def submit(self, fn: "Callable[P, T]", /, *args: "P.args", **kwargs: "P.kwargs") -> "Future[T]":
        """Have `fn(*args, **kwargs)` called by a worker, and return the future of its result.

        From wherever `EventBus.publish` may be called. A task that submits into its own full queue
        uses the bus's `handler_reserve`. A future that is cancelled while its task waits keeps its
        place until a worker comes to it.

        Returns:
            The future. If the policy has refused the task without raising, it is cancelled.

        Raises:
            QueueFull: The queue is full and the policy raises (`REJECT`, `BLOCK`).
            BrokenThreadPool: An initializer has failed.
            BusClosed: The executor was shut down, or its bus is stopped; a `RuntimeError`.
        """
        future: Future[T] = Future()
        self._submit(self._publish, self._task(future, copy_context(), fn, args, kwargs))
        return future

    def _submit_after(self, delay: float, fn: Callable[..., Any], *args: Any) -> "Future[Any]":
        """Submit a call when `delay` seconds have passed; for `brummerbus.django`.

        A task that the policy refuses then has its future cancelled, and so has one that is not due
        when the bus stops.

        Raises:
            QueueFull: `max_scheduled` tasks are to be submitted later.
            BrokenThreadPool, BusClosed: As `submit`.
        """
        future: Future[Any] = Future()
        task = self._task(future, copy_context(), fn, args, {})
        self._submit(partial(self.bus.publish_after, delay), task)
        return future

    def _submit(self, publish: Callable[[Task], object], task: Task) -> None:
        pool = self._pool
        if pool.broken:
            raise BrokenThreadPool(pool.broken)
        if pool.is_shut:
            raise BusClosed(_CLOSED)
        pool.waiting.add(task)
        try:
            accepted = publish(task)
        except BusClosed:
            pool.waiting.discard(task)
            raise BusClosed(_CLOSED) from None
        except Exception:
            pool.waiting.discard(task)
            raise
        if not accepted:
            pool.drop(task)

    def map(
        self,
        fn: "Callable[..., T]",
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,  # noqa: ARG002, it has no meaning for threads
        buffersize: int | None = None,
    ) -> "Iterator[T]":
        """Call `fn` with the items of the iterables, in workers; return the results in order.

        Args:
            fn: Called with an item of each iterable.
            iterables: The shortest one ends it.
            timeout: Seconds from now until the last result, or None.
            chunksize: Ignored, as by `ThreadPoolExecutor`.
            buffersize: How many calls are submitted ahead of the result that is taken next; fewer
                while the queue is full. None: all, immediately, which a full queue refuses.

        Returns:
            An iterator. It raises what a call has raised, and `TimeoutError` once the time is over.
            What is not called yet when it is closed, is cancelled.

        Raises:
            QueueFull: Without `buffersize`: they are too many; those submitted are cancelled. With
                it: there is no room for a single one; the iterator may raise it, too.
            TypeError, ValueError: `buffersize` is of the wrong type or out of range, or `timeout`
                is no number.
            BrokenThreadPool, BusClosed: As `submit`.
        """
        check_buffersize(buffersize)
        end = end_of(timeout)
        ahead = Ahead(self.submit, fn, zip(*iterables), buffersize)  # noqa: B905, as `map` does
        ahead.submit_first()
        return ahead.results(end)

    def with_priority(self, priority: int) -> "BusExecutor":
        """Return a view of this executor, whose tasks have another priority.

        It has the same pool: its `shutdown`, and the end of a `with` block, shut both down.

        Raises:
            TypeError, ValueError: `priority` is not an int from 1 to the bus's `priority_levels`.
        """
        levels = self.bus.config.priority_levels
        view = copy.copy(self)
        view._root = self._root or self  # noqa: SLF001
        view._task = self._task_type(check_int("priority", priority, 1, levels))  # noqa: SLF001
        return view

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002
        """Accept no more tasks; stop an own bus, once its queue is drained. Idempotent.

        Called in a task of this executor, it does not wait.

        Args:
            wait: Return when the tasks have ended, and the workers of an own bus.
            cancel_futures: Cancel the tasks that still wait.
        """
        pool = self._pool
        pool.is_shut = True
        if cancel_futures:
            pool.cancel_waiting()
        if isinstance(pool, SharedPool):
            self._end()
            if wait:
                self._join(pool)
        elif wait:
            self.bus.stop()
        else:
            self.bus._close()  # noqa: SLF001

    def _join(self, pool: SharedPool) -> None:
        try:
            self.bus.flush(0.001)  # more than 0: a bus without threads, of a test, runs all in it
        except BusError:
            return  # in a task, or in another handler of the bus
        pool.join()

    @property
    def capacity(self) -> int:
        """How many tasks can wait: the slots of the queue.

        While fewer tasks than that have not ended, an own bus refuses none. The slots of a shared
        bus are taken by all that is published on it.
        """
        return self.bus.config.queue_size

    # ---- what others read, although it is private -----------------------------------------------

    @property
    def _threads(self) -> frozenset[threading.Thread]:  # type: ignore[override]
        if self._is_own:
            return self._pool.threads
        prefix = f"{self.bus.name}-worker-"
        return frozenset(t for t in threading.enumerate() if t.name.startswith(prefix))

    @property
    def _work_queue(self) -> "_WorkQueue":  # type: ignore[override]
        return _WorkQueue(self.bus)

    @property
    def _shutdown(self) -> bool:  # type: ignore[override]
        return self._pool.is_shut

    @property
    def _broken(self) -> str | bool:  # type: ignore[override]
        return self._pool.broken or False


class _WorkQueue:
    """Stands for the queue of a `ThreadPoolExecutor`: its length is what others read."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus

    def qsize(self) -> int:
        """Return how many deliveries are queued on the bus."""
        return self._bus.depth

    def empty(self) -> bool:
        """Return whether none is."""
        return not self._bus.depth


def _check_workers(max_workers: Any) -> None:
    if max_workers is None:
        return
    if isinstance(max_workers, int) and max_workers < 1:  # in the words of `ThreadPoolExecutor`
        raise ValueError(
            f"max_workers must be greater than 0, up to {MAX_WORKERS}, got {shown(max_workers)}"
        )
    check_int("max_workers", max_workers, 1, MAX_WORKERS)
