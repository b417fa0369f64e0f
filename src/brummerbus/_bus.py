"""The event bus: subscribe, publish, flush, stop, look."""

import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, overload

from brummerbus import _typing
from brummerbus._arguments import MAX_WORKERS, check_hook, check_int, check_timeout, shown
from brummerbus._config import ConfigOverrides, EventBusConfig, configured
from brummerbus._core.handlers import check_event_type
from brummerbus._core.hooks import Hooks, OnDrop, OnError
from brummerbus._core.publisher import ProcessPublisher
from brummerbus._core.subscriptions import Handler, Subscription
from brummerbus._errors import BusClosed, BusError
from brummerbus._events import Event
from brummerbus._text import counted
from brummerbus._typing import Unpack

if TYPE_CHECKING:
    from brummerbus._typing import (
        T2,
        T3,
        T4,
        T5,
        Decorator,
        EventHandler,
        NoClass,
        T,
    )


class EventBus(ProcessPublisher):
    """An in-process event bus: any thread publishes, a static pool of OS threads handles.

    Workers run from construction on, each in an empty `contextvars.Context`. As a context manager
    the bus is stopped at the end of the block, and finishes what is queued first, however long that
    takes; if the block raised, as long as handlers come to an end (`shutdown_timeout`). One that is
    never stopped is drained at interpreter exit.

    Each method says from where it may be called; no lock is held while Python code runs.
    In the child of a fork the bus has its subscriptions, an empty queue, counts that start from
    0, and workers of its own from its first publish on.

    Args:
        config: The settings; default `EventBusConfig.default()`.
        name: Names the worker threads and the bus in log messages.
        on_error: Called as `on_error(event, subscription, exception)` in the worker when a
            handler raised. Default: the logger `brummerbus`, with the traceback.
        on_drop: Called as `on_drop(event, subscription, reason)` for each delivery that is not
            made, in the thread that found out. Default: nothing; the first of a streak is
            logged in any case. What hooks raise is logged.
        **overrides: Fields of `EventBusConfig`, in place of those of `config`.

    Raises:
        TypeError: An argument is of the wrong type, or an override is no field.
        ValueError: A setting is out of range; the message names field, value and range.
        RuntimeError: A thread could not be started; none is left.
        BusError: `threading` is monkey-patched (gevent, eventlet), so that there are no threads.
    """

    def __init__(
        self,
        config: EventBusConfig | None = None,
        /,
        *,
        name: str = "bus",
        on_error: OnError | None = None,
        on_drop: OnDrop | None = None,
        **overrides: Unpack[ConfigOverrides],
    ) -> None:
        if not isinstance(name, str):
            raise TypeError(f"name must be a string, got {shown(name)}")
        check_hook("on_error", on_error)
        check_hook("on_drop", on_drop)
        config = configured(config, overrides)
        self._begin(name, config, Hooks(name, on_error, on_drop))

    # ---- subscribing ----------------------------------------------------------------------

    if TYPE_CHECKING:

        @overload
        def subscribe(
            self, event_type: type[T] | NoClass, handler: Callable[[T], object]
        ) -> Subscription: ...
        @overload
        def subscribe(
            self, event_type: str, handler: Callable[[Event], object]
        ) -> Subscription: ...

    def subscribe(self, event_type: str | type, handler: Handler) -> Subscription:
        """Call the handler with each event of a type. From any thread, handler or signal handler.

        The handler receives every event whose `publish` began after this returned. Handlers run
        in worker threads, several at a time; of one event each handler is called once.

        Args:
            event_type: A string, matched exactly; a glob with `*`, `?` or `[...]`, such as
                `"process.*"`; or a class, which receives its subclasses too, also those that an
                abstract base class adopts later. Strings match events only, not other objects.
            handler: Called as `handler(event)`. What it returns is ignored, unless it is an
                awaitable or a generator: then the delivery has failed, since nobody awaits it.

        Returns:
            The subscription; `cancel()` ends it.

        Raises:
            TypeError: `event_type` is neither string nor class, or `handler` is not callable with
                one argument, or is a coroutine or generator function, also inside a partial, a
                decorator or a bound method.
            ValueError: `event_type` is empty.
            BusClosed: The bus is stopped.

        A forked child has the subscriptions made before. Costs the next publish of that type a new
        route, some microseconds; a glob or a class costs each type one.
        """
        if self._closed:
            raise BusClosed(f"{self._name}: the bus is stopped, it delivers nothing any more")
        return self._subscriptions.add(event_type, handler)

    if TYPE_CHECKING:  # of more than five types, the handler is not checked

        @overload
        def on(self, *event_types: str) -> Callable[[EventHandler], EventHandler]: ...
        @overload
        def on(
            self,
            type1: type[T] | NoClass,
            type2: type[T2] | NoClass = ...,
            type3: type[T3] | NoClass = ...,
            type4: type[T4] | NoClass = ...,
            type5: type[T5] | NoClass = ...,
            /,
        ) -> Decorator[T | T2 | T3 | T4 | T5]: ...
        @overload
        def on(
            self,
            type1: type[T] | str,
            type2: type[T2] | str,
            type3: type[T3] | str = ...,
            type4: type[T4] | str = ...,
            type5: type[T5] | str = ...,
            /,
        ) -> Decorator[Event | T | T2 | T3 | T4 | T5]: ...
        @overload
        def on(self, *event_types: type[Any] | str) -> Decorator[Any]: ...

    def on(self, *event_types: str | type) -> Callable[[Any], Any]:
        """Subscribe the decorated function to each of the types; it is returned unchanged.

        As safe as `subscribe`. Type checkers see that the function takes what it will be given:
        of strings and globs an `Event`, of a class its instances, of several types any of them.

        Raises:
            TypeError, ValueError, BusClosed: As `subscribe`, and `TypeError` if no type is given.
        """
        if not event_types:
            raise TypeError("on() needs at least one event type")
        types = [check_event_type(event_type) for event_type in event_types]

        def decorate(handler: Handler) -> Handler:
            for event_type in types:
                self.subscribe(event_type, handler)
            return handler

        return decorate

    # ---- publishing -----------------------------------------------------------------------

    # `publish` and `publish_many` are methods in C (`csrc/python/publish.c`); what is not a known
    # route with room comes back to Python in `_core/publisher.py`.

    # ---- stopping and looking -------------------------------------------------------------

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until nothing is queued or running in this process, for `timeout` seconds at most.

        From any thread that is not in a handler. In a signal handler it may wait for the very
        thread that it interrupts: give it a time-out there. Ctrl-C is answered within 0.1 s.

        Returns:
            True: at one moment nothing was queued or running. False: the time was over.

        Raises:
            BusError: Called from a handler of this bus, it would wait for itself.
            TypeError, ValueError: `timeout` is no number or negative.
        """
        limit = float("inf") if timeout is None else check_timeout("timeout", timeout)
        engine = self._here()
        if engine.queue.is_inside():
            raise BusError(f"{self._name}: flush() in a handler would wait for the handler itself")
        return engine.wait_idle(limit)

    def stop(self, *, drain: bool = True, timeout: float | None = None) -> bool:
        """Refuse new events, finish what is queued, end the workers. Idempotent.

        While draining, handlers of this bus may still publish. From a handler, the stop begins
        and this returns False without waiting, since that handler still runs. From any thread;
        in a signal handler as `flush`. It stops the bus of this process only: a forked child or
        parent goes on. What is left at the end is logged: which handlers run, what was dropped.

        Args:
            drain: Finish what is queued; False drops it at once.
            timeout: Seconds to wait for the queue and for running handlers, at most; what is queued
                then is dropped (`DropReason.SHUTDOWN`). None: no limit; handlers that stand still
                are named in the log. Ctrl-C ends the wait, and drops what is left.

        Returns:
            True: nothing was left and no handler still runs.

        Raises:
            TypeError, ValueError: `drain` is no bool; `timeout` is no number, or negative.
        """
        if not isinstance(drain, bool):
            raise TypeError(f"drain must be True or False, got {shown(drain)}")
        limit = float("inf") if timeout is None else check_timeout("timeout", timeout)
        self._closed = True
        return self._here().stop(drain=drain, timeout=limit, standstill=float("inf"))

    def resize(self, workers: int) -> None:
        """Set the number of workers, overriding the configuration.

        No handler is interrupted and no delivery lost: surplus workers end after their present
        delivery. An elastic pool goes on from there by itself. `stats().sizing` has the step.
        From any thread, several at once too, and from handlers, but not from a signal handler: it
        starts threads, for which Python takes locks. In a forked child it begins with the
        configured number.

        Raises:
            TypeError, ValueError: `workers` is no int, or not from 1 to 1024.
            BusClosed: The bus is stopped.
            RuntimeError: A thread could not be started; then nothing has changed.
        """
        workers = check_int("workers", workers, 1, MAX_WORKERS)
        self._started().resize(workers, "resize() was called")

    def stats(self) -> "_typing.BusStats":
        """Return all figures of one moment, of this process.

        From anywhere. Costs some 50 us, and holds up nobody for longer.
        """
        return self._here().stats()

    def advise(self, target_wait: float = 0.01) -> "_typing.Advice":
        """Say how many workers this bus should have, by what it has measured so far, and why.

        Printed, it is a report: what each handler costs, what other numbers of workers would
        make of the load, and what that assumes. Needs `monitoring`. From anywhere; takes some ms.

        `target_wait` is in seconds: 99 of 100 deliveries are to wait in the queue no longer.

        Raises:
            TypeError, ValueError: `target_wait` is no number, or negative.
        """
        # The adviser and its model are imported only when asked for: few programs ask.
        from brummerbus.sizing._adviser import advise  # noqa: PLC0415

        target_wait = check_timeout("target_wait", target_wait)
        engine, wait = self._here(), self.stats().queue_wait
        load, labels = engine.load()
        return advise(load, labels, engine.workers, (wait.p50, wait.p99), target_wait)

    @property
    def closed(self) -> bool:
        """Whether `stop` was called."""
        return self._closed

    @property
    def name(self) -> str:
        """The name given at construction."""
        return self._name

    @property
    def config(self) -> EventBusConfig:
        """The settings."""
        return self._config

    @property
    def on_error(self) -> OnError | None:
        """The hook given at construction; it cannot be replaced later."""
        return self._hooks.on_error

    @on_error.setter
    def on_error(self, _hook: NoReturn) -> NoReturn:
        raise AttributeError("on_error cannot be set later: EventBus(on_error=...)")

    @property
    def on_drop(self) -> OnDrop | None:
        """The hook given at construction; it cannot be replaced later."""
        return self._hooks.on_drop

    @on_drop.setter
    def on_drop(self, _hook: NoReturn) -> NoReturn:
        raise AttributeError("on_drop cannot be set later: EventBus(on_drop=...)")

    @property
    def depth(self) -> int:
        """How many deliveries are queued; a hint, others are at work."""
        return self._here().queue.depth()

    @property
    def workers(self) -> int:
        """How many worker threads the bus has now."""
        return self._here().workers

    def __enter__(self) -> "EventBus":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop without a limit; after an exception, as long as handlers come to an end."""
        self._closed = True
        limit = self._config.shutdown_timeout
        standstill = float("inf") if kind is None or limit is None else limit
        self._here().stop(drain=True, timeout=float("inf"), standstill=standstill)

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        engine = getattr(self, "_engine", None)
        if engine is not None and not is_finalizing():  # after the end there is nothing to retire
            engine.retire()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self.depth} queued"
        return f"<EventBus {self._name!r}, {counted(self.workers, 'worker')}, {state}>"
