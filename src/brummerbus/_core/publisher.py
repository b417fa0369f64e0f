"""Publishing in Python: the engine of this process, and the slow path.

`publish` itself is C (`csrc/python/publish.c`). Everything other than a cached route into a queue
with free slots comes here: a new event type, keywords, a full or closed queue, a hook that
publishes, the child of a fork.
"""

import weakref
from collections.abc import Iterable
from contextvars import copy_context
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from brummerbus import _typing
from brummerbus._arguments import check_seconds, check_timeout, shown
from brummerbus._core import lifecycle
from brummerbus._core import queue as c
from brummerbus._core._ext import Publisher, Route, call_inside
from brummerbus._core.admission import Gone, NoRoom
from brummerbus._core.callables import check_on_done
from brummerbus._core.engine import Engine
from brummerbus._core.handling import handling, is_handling
from brummerbus._core.hooks import Hooks, OnDone, Trace
from brummerbus._core.planned import Withdraw, never, publish_planned
from brummerbus._core.routes import class_and_type
from brummerbus._core.scheduled import Scheduled
from brummerbus._core.stream_counts import StreamCounts
from brummerbus._core.subscriptions import Subscriptions
from brummerbus._core.table import Table
from brummerbus._core.taps import Taps
from brummerbus._errors import BusClosed, BusError, QueueFull
from brummerbus._policies import DropReason

BATCH = 256
"""Events that `publish_many` takes from an iterable at a time."""


class ProcessPublisher(Publisher):
    """The part of a bus that publishes; `EventBus` adds the rest."""

    _config: "_typing.EventBusConfig"
    _name: str

    if TYPE_CHECKING:  # in C: csrc/python/publish.c

        def publish(
            self,
            event: Any,
            *,
            priority: int | None = None,
            timeout: float | None = None,
            on_done: OnDone | None = None,
            expires: float | None = None,
        ) -> bool: ...
        def publish_many(
            self,
            events: Iterable[Any],
            *,
            priority: int | None = None,
            timeout: float | None = None,
            on_done: OnDone | None = None,
            expires: float | None = None,
        ) -> int: ...

    def _begin(self, name: str, config: "_typing.EventBusConfig", hooks: Hooks) -> None:
        if hasattr(self, "_engine"):  # as when a `__new__` returns the one object that there is
            raise BusError(f"{self._name}: the bus is initialised already; __init__ is called once")
        lifecycle.register()
        self._name = name
        self._config = config
        self._hooks = hooks
        lost = partial(hooks.dropped, reason=DropReason.SHUTDOWN, first=False)
        self._subscriptions = Subscriptions(weakref.ref(self), lost)
        self._taps: Taps = Table(weakref.ref(self))
        self._stream_counts = StreamCounts()
        self._closed = False
        self._engines: dict[int, Engine] = {}  # by fork count; only the last is in use
        self._engine = self._new_engine()
        self._engine.start()

    # ---- the engine of this process ----------------------------------------------------------

    def _new_engine(self) -> Engine:
        """Create the engine of this process, or use the one that another thread has created."""
        forks = c.fork_count()
        if self._engines:
            lifecycle.note_fork()
        engine = self._make_engine()
        if self._closed:
            engine.queue.close(drain=False)
        engine = self._engines.setdefault(forks, engine)
        self._engine = engine
        self._forget_routes(None)  # they lead to the queue of the parent process
        return engine

    def _make_engine(self) -> Engine:
        return Engine(self._name, self._config, self._hooks, self._subscriptions, self._taps)

    def _here(self) -> Engine:
        """Return the engine of this process; after a fork, a new one without threads."""
        engine = self._engine
        return self._new_engine() if engine.queue.is_gone() else engine

    def _started(self) -> Engine:
        """Return the same, started: the first publish in the child of a fork starts its workers."""
        engine = self._here()
        if not engine.started and not self._closed:
            try:
                engine.start()
            except BaseException:
                self._engines.pop(c.fork_count(), None)  # the next publish tries again
                self._new_engine()
                raise
        return engine

    # ---- the slow path -----------------------------------------------------------------------

    def _publish(
        self,
        event: Any,
        *,
        priority: int | None = None,
        timeout: float | None = None,
        on_done: OnDone | None = None,
        expires: float | None = None,
    ) -> bool:
        if handling.get() is not None and is_handling(address := self._engine.queue.address):
            options = {"priority": priority, "timeout": timeout, "expires": expires}
            accepted: bool = call_inside(address, self._publish, event, on_done=on_done, **options)
            return accepted
        priority = self._check_priority(priority)
        timeout = None if timeout is None else check_timeout("timeout", timeout)
        check_on_done(on_done)
        expires = check_expires(expires)
        has_options = on_done is not None or expires is not None
        while True:
            engine = self._started()
            route = self._route(engine, event, priority)
            if has_options or route.plan is not None:
                try:
                    return publish_planned(engine, route, event, timeout, expires, on_done)
                except Gone:
                    continue
            result = route.push(event)
            if result == c.FULL and engine.tickets.purge():
                result = route.push(event)
            if result == c.ACCEPTED:
                return True
            try:
                return engine.admission.admit(route, event, timeout)
            except Gone:  # a signal handler forked
                continue

    def publish_after(self, delay: float, event: Any, *, priority: int | None = None) -> Scheduled:
        """Publish an event later, from the timer thread, of which a process has one.

        Its priority, its subscriptions and their keys count as of then. If there are too few free
        slots then, a policy that drops or rejects is applied immediately; with `BLOCK` and
        `CALLER_RUNS` the event takes its turn among the publishers that wait, without a thread, and
        can be cancelled until then. If it is a listener that is full and whose policy is to wait,
        the event is tried again every few ms. No handler runs in the timer thread. An event that
        cannot be published, since a key raises, is logged and counted as published and dropped
        (`REFUSED`). Keys, `on_drop` and `on_unrouted` are called in the timer thread and must not
        take long there.

        What is scheduled when the bus stops, or the interpreter exits, is counted as published and
        dropped (`DropReason.SHUTDOWN`); in a forked child nothing is scheduled. A scheduled event
        keeps the bus alive until it is published or cancelled.

        From any thread, handler, hook, finalizer or signal handler. The first call of a process, or
        its first retry, starts the timer thread, for which Python takes locks; that one must not
        come from a finalizer or a signal handler. Costs some 3 us of CPU, another 6 us when it is
        due, and 0.9 KB until then.

        Args:
            delay: Seconds, at least 0; it takes up to a few ms longer.
            event: As for `publish`.
            priority: As for `publish`.

        Returns:
            What can be cancelled. `stats().scheduled` says how many there are.

        Raises:
            QueueFull: `config.max_scheduled` are scheduled. Nothing is counted.
            BusClosed: The bus is stopped or stopping, also for handlers.
            TypeError, ValueError: An argument is of the wrong type or out of range.
            RuntimeError: The timer thread could not be started.
        """
        priority = self._check_priority(priority)
        seconds = check_seconds("delay", delay)
        class_and_type(event)
        while True:
            if self._closed:
                raise BusClosed(f"{self._name}: the bus is stopped, or stopping")
            engine = self._started()
            publish = partial(self._publish_due, engine)
            context = copy_context() if self._config.propagate_context else None
            due = engine.queue.monotonic() + seconds
            one = Scheduled(event, priority, due, engine.schedule, publish, context)
            engine.schedule.add(one, seconds)
            if not engine.queue.is_gone():  # else a signal handler forked
                return one

    def _publish_for_task(
        self,
        event: Any,
        priority: int | None,
        expires: float | None,
        on_done: OnDone | None,
        timeout: float | None,
        withdraw: Withdraw,
        *,
        is_handler: bool,
    ) -> bool:
        """Publish an event for a task: at once, in its thread, or in the one that waits for tasks.

        Coroutine handlers, `is_handler`, publish as other handlers do, before other tasks.

        Raises:
            NoRoom: There are too few free slots, or others wait, and `withdraw` is `never`; or it
                was withdrawn. Nothing has changed.
            QueueFull, BusClosed, Exception: As `_publish`.
        """
        while True:
            engine = self._started()
            route = self._route(engine, event, priority)
            if withdraw is never:
                held = route.plan is not None and any(tap.is_full for tap in route.plan.taps)
                if held or (not is_handler and engine.waiting_tasks.has_before(route.level)):
                    raise NoRoom
            publish = partial(publish_planned, engine, route, event, timeout, expires, on_done)
            if is_handler:
                publish = partial(call_inside, engine.queue.address, publish)
            try:
                return publish(withdraw=withdraw)
            except Gone:
                continue

    def _publish_due(self, engine: Engine, event: Any, priority: int | None) -> None:
        """Publish a scheduled event, in the timer thread, which must not wait.

        Raises:
            NoRoom: There are too few free slots, or a listener is full, and the policy is to wait.
            QueueFull, BusClosed, Exception: As `_publish`.
        """
        route = self._route(engine, event, priority)
        if route.plan is not None:
            if any(tap.is_full for tap in route.plan.taps):
                raise NoRoom
            publish_planned(engine, route, event, 0.0, None, None, may_wait=False)
            return
        if route.push(event) != c.ACCEPTED:
            engine.admission.admit_without_wait(route, event)

    def _route(self, engine: Engine, event: Any, priority: int | None) -> Route:
        level = priority or 0
        route = self._cached_route(event, level)
        if route is None:
            version = self._version  # before the subscriptions are read
            route, cls, name = engine.routes.make(event, priority)
            self._store_route(version, level, cls, name, route)
        return route

    def _publish_rest(
        self,
        events: Iterable[Any],
        priority: int | None = None,
        timeout: float | None = None,
        accepted: int = 0,
        *,
        on_done: OnDone | None = None,
        expires: float | None = None,
    ) -> int:
        """Publish many; `accepted` is the number of those that C has published already."""
        priority = self._check_priority(priority)
        timeout = None if timeout is None else check_timeout("timeout", timeout)
        check_on_done(on_done)
        options: dict[str, Any] = {}
        if on_done is not None or expires is not None:
            options = {"on_done": on_done, "expires": check_expires(expires)}
        if isinstance(events, str):
            raise TypeError(f"events must be an iterable of events, got {shown(events)}")
        try:
            source = iter(events)
        except TypeError as error:
            raise TypeError(f"events must be an iterable, got {shown(events)}") from error
        while True:
            # A new list releases the previous batch before the source is advanced.
            some: list[Any] = []
            failure: Exception | None = None
            try:
                some.extend(islice(source, BATCH))
            except Exception as error:  # publish the events before it first, as a loop would
                failure = error
            accepted = self._publish_list(some, priority, timeout, accepted, options)
            if failure is not None:
                raise failure
            if not some:
                return accepted

    def _publish_list(
        self,
        events: list[Any],
        priority: int | None,
        timeout: float | None,
        accepted: int,
        options: dict[str, Any],
    ) -> int:
        done = 0
        try:
            while True:
                pushed = 0 if options else self._push_events(events, done, priority or 0)
                done += pushed
                accepted += pushed
                if done >= len(events):
                    return accepted
                accepted += self._publish(
                    events[done], priority=priority, timeout=timeout, **options
                )
                done += 1
        except QueueFull as full:
            full.accepted += accepted
            raise

    def _set_trace(self, trace: Trace | None) -> None:
        """Call something around every publish that makes deliveries, from now on, or nothing."""
        self._hooks.trace = trace
        self._forget_routes(None)

    def _check_priority(self, priority: Any) -> int | None:
        if priority is None:
            return None
        top = self._config.priority_levels
        if isinstance(priority, bool) or not isinstance(priority, int):
            raise TypeError(f"priority must be an int from 1 to {top}, got {shown(priority)}")
        number = int.__int__(priority)  # a subclass may override comparison
        if not 1 <= number <= top:
            raise ValueError(f"priority must be from 1 to {top}, got {shown(priority)}")
        return number

    # Python's messages about wrong arguments must name the public method.
    _publish.__qualname__ = "EventBus.publish"
    _publish_rest.__qualname__ = "EventBus.publish_many"


def check_expires(expires: Any) -> float | None:
    """Return the seconds in which a delivery has to begin; None: no limit.

    Raises:
        TypeError, ValueError: It is no number, or not above 0.
    """
    if expires is None:
        return None
    seconds = check_timeout("expires", expires)
    if not seconds:
        raise ValueError("expires must be more than 0 seconds: what may not begin is not published")
    return None if seconds == float("inf") else seconds
