"""The event bus: subscribe, publish, flush, stop, look."""

import sys
import weakref
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, TypeVar

from brummerbus.advice import Advice
from brummerbus.adviser import advise
from brummerbus.arguments import check_hook, check_int, check_timeout, shown
from brummerbus.config import MAX_WORKERS, EventBusConfig, configured
from brummerbus.errors import BusError
from brummerbus.events import Event
from brummerbus.lifecycle import after_fork
from brummerbus.metrics import BusStats
from brummerbus.pool import Pool
from brummerbus.publisher import Publisher
from brummerbus.reporting import OnDrop, OnError, Reporter
from brummerbus.ring import push
from brummerbus.routing import Handler, Subscription, Subscriptions, check_event_type, of_look_up

H = TypeVar("H", bound=Handler)


class EventBus:
    """An in-process event bus: any thread publishes, a static pool of OS threads handles.

    Workers run from construction on. As a context manager the bus is stopped, with draining,
    at the end of the block; one that is never stopped is drained at interpreter exit.

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
    """

    def __init__(
        self,
        config: EventBusConfig | None = None,
        /,
        *,
        name: str = "bus",
        on_error: OnError | None = None,
        on_drop: OnDrop | None = None,
        **overrides: Any,
    ) -> None:
        if not isinstance(name, str):
            raise TypeError(f"name must be a string, got {shown(name)}")
        check_hook("on_error", on_error)
        check_hook("on_drop", on_drop)
        self._config = configured(config, overrides)
        self._name = name
        self._reporter = Reporter(name, on_error, on_drop)
        self._reporting = self._reporter.reporting
        self._subscriptions = Subscriptions()
        self._closed = False
        self._begin()
        self._pool.start()
        after_fork(self, EventBus._after_fork)

    def _begin(self) -> None:
        """Make what belongs to one process."""
        self._pool = Pool(self._name, self._config, self._reporter)
        self._table = self._pool.deliveries.table
        bus = weakref.ref(self)  # a plain reference would be a cycle
        self._publisher = Publisher(self._name, self._config, self._pool, self._subscriptions, bus)
        self._admission = self._publisher.admission

    def _after_fork(self) -> Pool:
        """Begin anew in the child; workers start at the first publish. Returns the old pool."""
        old = self._pool
        self._reporting.clear()
        self._begin()
        if self._closed:
            self._pool.ring.close(drain=False, deadline=0)
        return old

    def _started(self) -> Publisher:
        """Return the publisher; the first to ask in the child of a fork starts its workers."""
        publisher = self._publisher
        if not publisher.pool.started and not self._closed:
            try:
                publisher.pool.start()
            except BaseException:
                self._begin()  # the next publish tries again
                raise
        return publisher

    # ---- subscribing ----------------------------------------------------------------------

    def subscribe(self, event_type: str | type, handler: Handler) -> Subscription:
        """Call the handler with each event of a type. From any thread, handler or signal handler.

        The handler receives every event whose `publish` began after this returned. Handlers run
        in worker threads, several at a time; of one event each handler is called once.

        Args:
            event_type: A string, matched exactly; a glob with `*`, `?` or `[...]`, such as
                `"process.*"`; or a class, which receives its subclasses too. Strings match
                events only, not other objects.
            handler: Called as `handler(event)`; what it returns is ignored.

        Returns:
            The subscription; `cancel()` ends it.

        Raises:
            TypeError: `event_type` is neither string nor class, or `handler` is not callable or
                is a coroutine function.
            ValueError: `event_type` is empty.

        A forked child has the subscriptions made before. Costs a copy of the list of subscriptions
        for each event type published afterwards.
        """
        return self._subscriptions.add(event_type, handler)

    def on(self, *event_types: str | type) -> Callable[[H], H]:
        """Subscribe the decorated function to each of the types; it is returned unchanged.

        As safe as `subscribe`.

        Raises:
            TypeError, ValueError: As `subscribe`, and `TypeError` if no type is given.
        """
        if not event_types:
            raise TypeError("on() needs at least one event type")
        types = [check_event_type(event_type) for event_type in event_types]

        def decorate(handler: H) -> H:
            for event_type in types:
                self._subscriptions.add(event_type, handler)
            return handler

        return decorate

    # ---- publishing -----------------------------------------------------------------------

    def publish(
        self, event: Any, *, priority: int | None = None, timeout: float | None = None
    ) -> bool:
        """Queue one delivery for each matching subscription, all of them or none.

        Args:
            event: An `Event`, routed by its `type`; any other object is routed by its class.
            priority: 1 to `priority_levels`, higher is more urgent. Default: the class's
                `priority` attribute, else `config.priorities[type]`, else medium.
            timeout: Seconds to wait for room before the policy applies. Default:
                `config.publish_timeout`, and no limit with `BLOCK`. 0 does not wait. It is
                waited once a congestion: after a wait in vain the policy applies at once, until
                a worker has made room. A handler that publishes does not wait but runs queued
                deliveries meanwhile.

        Returns:
            True: accepted (or nobody subscribed). False: the event was dropped.

        Raises:
            QueueFull: There was no room and the policy is `REJECT`, or `BLOCK` with a `timeout`
                (or without one, for an event with more deliveries than the whole queue has
                room for).
            BusClosed: The bus is stopped or stopping, and the caller is not one of its handlers.
            TypeError, ValueError: `priority` or `timeout` is of the wrong type or out of range.

        From any thread, handler, hook, signal handler or finalizer: it never waits for a Python
        lock. Ctrl-C while it waits is answered within 0.1 s; an exception that strikes it leaves
        the event either accepted or unknown to the bus. In a forked child the first publish
        starts the child's own workers.
        """
        if priority is None and timeout is None and type(event) is Event and not self._reporting:
            handle = 0
            try:
                draw, subscription = self._subscriptions.plain[event.type]
                handle = draw()
                self._table[handle] = (event, subscription)
                if not push(handle):  # ACCEPTED is 0
                    return True
                route = None
                if handle:
                    decision = self._admission.admit(handle, 1, None)
                else:  # it was NO_SINGLE
                    self._table.pop(0, None)
                    route = self._subscriptions.several.get(event.type)
            except BaseException as error:
                if handle or not of_look_up(error):  # if so, events of this type are new
                    self._admission.withdraw(handle, 1)
                    raise
                route = None
            if handle:
                return self._publisher.conclude(decision, event, 1, None, None)
            if route is not None:
                return self._publisher.deliver(event, route[0], route[1], None, None)
        return self._started().publish(event, priority, timeout)

    def publish_many(
        self,
        events: Iterable[Any],
        *,
        priority: int | None = None,
        timeout: float | None = None,
    ) -> int:
        """Publish many events in order, each as `publish` would; far cheaper per event.

        The events are taken from the iterable in batches of up to 256. As safe as `publish`.

        Returns:
            How many were accepted.

        Raises:
            QueueFull: As `publish`; those before it stay accepted, `QueueFull.accepted` tells
                how many, and those after it were not tried.
            BusClosed, TypeError, ValueError: As `publish`.
        """
        return self._started().publish_many(events, priority, timeout)

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
        if self._pool.deliveries.inside():
            raise BusError(f"{self._name}: flush() in a handler would wait for the handler itself")
        return self._pool.wait_idle(monotonic() + limit)

    def stop(self, *, drain: bool = True, timeout: float | None = 5.0) -> bool:
        """Refuse new events, finish what is queued, end the workers. Idempotent.

        While draining, handlers of this bus may still publish. From a handler, the stop begins
        and this returns False without waiting, since that handler still runs. From any thread;
        in a signal handler as `flush`. It stops the bus of this process only: a forked child or
        parent goes on. What is left at the end is logged: which handlers run, what was dropped.

        Args:
            drain: Finish what is queued; False drops it at once.
            timeout: Seconds to wait for the queue and for running handlers; what is queued then
                is dropped (`DropReason.SHUTDOWN`). None waits without limit.

        Returns:
            True: nothing was left and no handler still runs.

        Raises:
            TypeError, ValueError: `drain` is no bool; `timeout` is no number, or negative.
        """
        if not isinstance(drain, bool):
            raise TypeError(f"drain must be True or False, got {shown(drain)}")
        limit = float("inf") if timeout is None else check_timeout("timeout", timeout)
        self._closed = True
        return self._pool.stop(drain=drain, timeout=limit)

    def resize(self, workers: int) -> None:
        """Have so many workers from now on, whatever the configuration says.

        No handler is interrupted and no delivery lost: surplus workers end after their present
        delivery. An elastic pool goes on from there by itself. `stats().sizing` has the step.
        From any thread and handler, but not from a signal handler: it starts threads, for which
        Python takes locks. In a forked child it begins with the configured number.

        Raises:
            TypeError, ValueError: `workers` is no int, or not from 1 to 1024.
            BusClosed: The bus is stopped.
            RuntimeError: A thread could not be started; then nothing has changed.
        """
        workers = check_int("workers", workers, 1, MAX_WORKERS)
        self._started().pool.resize(workers, "resize() was called")

    def stats(self) -> BusStats:
        """Return all figures of one moment, of this process.

        From anywhere. Costs some 50 us, and holds up nobody for longer.
        """
        return self._publisher.stats()

    def advise(self, target_wait: float = 0.01) -> Advice:
        """Say how many workers this bus should have, by what it has measured so far, and why.

        Printed, it is a report: what each handler costs, what other numbers of workers would
        make of the load, and what that assumes. Needs `monitoring`. From anywhere; takes some ms.

        `target_wait` is in seconds: 99 of 100 deliveries are to wait in the queue no longer.

        Raises:
            TypeError, ValueError: `target_wait` is no number, or negative.
        """
        target_wait = check_timeout("target_wait", target_wait)
        pool, wait = self._pool, self.stats().queue_wait
        labels = self._subscriptions.labels.copy()
        return advise(pool.ring.load(), labels, pool.workers, (wait.p50, wait.p99), target_wait)

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
    def depth(self) -> int:
        """How many deliveries are queued; a hint, others are at work."""
        return self._pool.ring.depth()

    @property
    def workers(self) -> int:
        """How many worker threads the bus has now."""
        return self._pool.workers

    def __enter__(self) -> "EventBus":
        return self

    def __exit__(self, *_of_exception: object) -> None:
        self.stop(timeout=self._config.shutdown_timeout)

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        pool = getattr(self, "_pool", None)
        if pool is not None and not is_finalizing():  # after the end there is nothing to retire
            pool.retire()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self.depth} queued"
        return f"<EventBus {self._name!r}, {self.workers} workers, {state}>"
