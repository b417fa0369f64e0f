"""The event bus, and its life: made, waited for, resized, stopped."""

import sys
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TypeVar

from brummerbus import _typing
from brummerbus._arguments import MAX_WORKERS, check_bool, check_int, check_timeout, shown
from brummerbus._core import deferred
from brummerbus._core.callables import check_hook
from brummerbus._core.engine import Engine
from brummerbus._core.hooks import Hooks, OnDrop, OnError, OnUnrouted, WorkerHook
from brummerbus._core.loops import running_asyncio
from brummerbus._core.waits import in_thread
from brummerbus._errors import BusError
from brummerbus._observing import ObservingBus
from brummerbus._text import counted
from brummerbus._typing import Unpack

B = TypeVar("B", bound="EventBus")
T = TypeVar("T")


class EventBus(ObservingBus):
    """An in-process event bus: any thread publishes, a static pool of OS threads handles.

    Workers run from construction on, each in an empty `contextvars.Context`. As a context manager
    the bus is stopped at the end of the block and drained first, without a time limit; if the block
    raised, as long as deliveries end (`shutdown_timeout`). A bus that is never stopped is drained
    at interpreter exit.

    Each method says from where it may be called; no lock is held while Python code runs.
    In the child of a fork the bus has its subscriptions, an empty queue, counts that start from
    0, and its own workers from its first publish on.

    Args:
        config: The settings; default `EventBusConfig.default()`.
        name: Names the worker threads, and the bus in log messages.
        on_error: Called as `on_error(event, subscription, exception)` in the worker when a
            handler raised. Default: the logger `brummerbus`, with the traceback.
        on_drop: Called as `on_drop(event, subscription, reason)` for each dropped delivery, in the
            thread that dropped it. Default: nothing. The first drop of a streak is logged in any
            case. Exceptions raised by hooks are logged.
        on_unrouted: Called as `on_unrouted(event)` for each accepted event that no subscription and
            no listener matched, in the publisher's thread. It may publish: at most three hooks are
            called in a chain. Default: nothing, which costs nothing; set, each such event costs
            some microseconds.
        on_worker_start: Called without arguments in each worker's thread before its first delivery,
            for what belongs to a thread: a database connection, a name, COM. Until it returns, the
            worker takes nothing; the constructor and `resize` do not wait for it. If it raises,
            that is logged, and the worker works all the same. Also called in workers that are added
            later, and in those of a forked child.
        on_worker_stop: Called without arguments in each worker's thread after its last delivery,
            also if `on_worker_start` has raised, and when the pool shrinks. `stop` and interpreter
            exit wait for it as long as workers end, and `shutdown_timeout` longer; an explicit
            `timeout` of `stop` limits that. Not called in the child when a handler forks: what its
            worker has opened belongs to the parent.
        **overrides: Fields of `EventBusConfig` that replace those of `config`.

    Raises:
        TypeError: An argument is of the wrong type, or an override is not a field. A hook cannot be
            called with its arguments, or is a coroutine or generator function.
        ValueError: A setting is out of range; the message names field, value and range.
        RuntimeError: A thread could not be started; none is left running.
        BusError: `threading` is monkey-patched (gevent, eventlet), so that there are no OS threads.
            Or the object is a bus already: `__init__` was called a second time.
    """

    def __init__(
        self,
        config: "_typing.EventBusConfig | None" = None,
        /,
        *,
        name: str = "bus",
        on_error: OnError | None = None,
        on_drop: OnDrop | None = None,
        on_unrouted: OnUnrouted | None = None,
        on_worker_start: WorkerHook | None = None,
        on_worker_stop: WorkerHook | None = None,
        **overrides: "Unpack[_typing.ConfigOverrides]",
    ) -> None:
        if not isinstance(name, str):
            raise TypeError(f"name must be a string, got {shown(name)}")
        deferred.load()
        check_hook("on_error", on_error, ("event", "subscription", "exception"))
        check_hook("on_drop", on_drop, ("event", "subscription", "reason"))
        check_hook("on_unrouted", on_unrouted, ("event",))
        check_hook("on_worker_start", on_worker_start, ())
        check_hook("on_worker_stop", on_worker_stop, ())
        config = deferred.configured(config, overrides)
        hooks = Hooks(name, on_error, on_drop, on_unrouted, on_worker_start, on_worker_stop)
        self._begin(name, config, hooks)

    # ---- publishing -----------------------------------------------------------------------

    # `publish` and `publish_many` are methods in C (`csrc/python/publish.c`); everything other than
    # a cached route into a queue with free slots is handled in `_core/publisher.py`.

    # ---- waiting and stopping -------------------------------------------------------------

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until nothing is queued or running in this process, for `timeout` seconds at most.

        From any thread that is not in a handler. In a signal handler it may wait for the thread
        that it interrupts: pass a time-out there. Ctrl-C is answered within 0.1 s.

        Returns:
            True: at one moment nothing was queued or running. False: the time-out expired.

        Raises:
            BusError: Called from a handler of this bus; it would wait for that handler. Or in the
                thread of an event loop that runs coroutine handlers of it, likewise.
            TypeError, ValueError: `timeout` is not a number, or negative.
        """
        engine, limit = self._before_wait("flush", timeout)
        return engine.wait_idle(limit)

    def _before_wait(self, method: str, timeout: float | None) -> tuple[Engine, float]:
        """Return the engine of this process and the time-out, unless the caller must not wait."""
        limit = float("inf") if timeout is None else check_timeout("timeout", timeout)
        engine = self._here()
        if engine.queue.is_inside():
            message = f"{method}() in a handler would wait for the handler itself"
            raise BusError(f"{self._name}: {message}")
        self._check_not_in_loop(method, limit, f"asyncio.to_thread(bus.{method})")
        return engine, limit

    def _check_not_in_loop(self, method: str, limit: float, instead: str) -> None:
        """Raise `BusError` where waiting would stop the event loop that is waited for."""
        loop = running_asyncio() if limit else None
        if loop is not None and self._subscriptions.run_in(loop):
            raise BusError(
                f"{self._name}: {method}() in the thread of the event loop that runs coroutine "
                f"handlers of this bus would wait for itself: await {instead}"
            )

    def barrier(self, timeout: float | None = None) -> bool:
        """Wait until every delivery accepted before the call has ended, `timeout` seconds at most.

        Whatever is published concurrently: beside a steady publisher `flush` may never see an idle
        moment. Deliveries that wait for a retry have not ended. From where `flush` may be called.

        Returns:
            True: they have ended. False: the time was over.

        Raises:
            BusError: Called from a handler of this bus, it would wait for itself. Or in the thread
                of an event loop that runs coroutine handlers of it.
            TypeError, ValueError: `timeout` is no number or negative.
        """
        engine, limit = self._before_wait("barrier", timeout)
        return engine.wait_barrier(limit)

    def stop(self, *, drain: bool = True, timeout: float | None = None) -> bool:
        """Refuse new events, drain the queue, end the workers. Idempotent.

        While draining, handlers of this bus may still publish. Called from a handler, it begins
        the stop and returns False without waiting, since that handler still runs. From any thread;
        in a signal handler with the caution of `flush`. It stops the bus of this process only: a
        forked child or parent continues. Running handlers and dropped deliveries at the end are
        logged.

        Args:
            drain: Finish what is queued; False drops it immediately.
            timeout: Max seconds to wait for the queue and for running handlers; what is still
                queued then is dropped (`DropReason.SHUTDOWN`). None: no limit; handlers that do not
                end are named in the log. Ctrl-C ends the wait and drops the rest.

        Returns:
            True: nothing was left and no handler still runs.

        Raises:
            BusError: Called in the thread of an event loop that runs coroutine handlers of this
                bus, for which it would wait, but in none of them: `await bus.stop_async()`. Nothing
                has changed. With a `timeout` of 0 it may be called there.
            TypeError, ValueError: `drain` is not a bool; `timeout` is not a number, or negative.
        """
        check_bool("drain", drain)
        limit = float("inf") if timeout is None else check_timeout("timeout", timeout)
        engine = self._here()
        if not engine.queue.is_inside():
            self._check_not_in_loop("stop", limit, "bus.stop_async()")
        self._closed = True
        return engine.stop(drain=drain, timeout=limit, standstill=float("inf"))

    async def stop_async(self, *, drain: bool = True, timeout: float | None = None) -> bool:
        """Stop from a task, whose event loop runs on: as `stop`, which a thread of its own calls.

        In a coroutine handler of the bus it begins the stop and returns False without waiting.

        From tasks of asyncio, uvloop and trio. If it is cancelled, the stop goes on in that thread.

        Raises:
            TypeError, ValueError: As `stop`.
            BusError: The caller is no task.
            RuntimeError: The thread could not be started.
        """
        return await self._in_thread(partial(self.stop, drain=drain, timeout=timeout))

    async def _in_thread(self, stop: Callable[[], T]) -> T:
        """Stop in a thread of its own, if that has to wait for others."""
        if not self._has_threads or self._here().queue.is_inside():
            return stop()
        return await in_thread(f"{self._name}-stop", stop)

    def _close(self) -> None:
        """Begin a stop that drains, and do not wait for it; `stop` still can."""
        self._closed = True
        engine = self._here()
        engine.schedule.close()
        engine.retire()

    def resize(self, workers: int) -> None:
        """Set the number of workers, overriding the configuration.

        No handler is interrupted and no delivery lost: surplus workers end after their current
        delivery. An elastic pool continues to adapt from there. `stats().sizing` lists the step.
        From any thread, also concurrently, and from handlers, but not from a signal handler: it
        starts threads, for which Python takes locks. A forked child starts with the configured
        number.

        Raises:
            TypeError, ValueError: `workers` is not an int, or not from `reserved_workers` + 1 to
                1024.
            BusClosed: The bus is stopped.
            RuntimeError: A thread could not be started; nothing has changed.
        """
        workers = check_int("workers", workers, self._config.reserved_workers + 1, MAX_WORKERS)
        self._started().resize(workers, "resize() was called")

    @property
    def closed(self) -> bool:
        """Whether `stop` was called."""
        return self._closed

    def __enter__(self) -> "EventBus":
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop without a limit; after an exception, only as long as deliveries end.

        Raises:
            BusError: In the thread of an event loop that runs coroutine handlers of this bus, for
                which it would wait: use `async with`.
        """
        if not self._here().queue.is_inside():
            self._check_not_in_loop("stop", 1, "bus.stop_async(), or use `async with`")
        self._closed = True
        limit = self._config.shutdown_timeout
        standstill = limit if exc_type is not None and limit is not None else float("inf")
        self._here().stop(drain=True, timeout=float("inf"), standstill=standstill)

    async def __aenter__(self: B) -> B:  # noqa: PYI019 - `Self` came with Python 3.11
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """As `__exit__`, while the event loop of the task runs on."""
        await self._in_thread(partial(self.__exit__, exc_type, error, traceback))

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        engine = getattr(self, "_engine", None)
        if engine is not None and not is_finalizing():  # then nothing is left to retire
            engine.retire()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self.depth} queued"
        return f"<EventBus {self._name!r}, {counted(self.workers, 'worker')}, {state}>"


EventBus.__module__ = "brummerbus"  # the public module, as for all public names
