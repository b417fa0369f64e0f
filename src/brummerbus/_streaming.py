"""What tasks of an event loop do: `stream` and `publish_async`."""

from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, overload

from brummerbus._arguments import MAX_QUEUE_SIZE, check_int, check_timeout
from brummerbus._core.admission import NoRoom
from brummerbus._core.callables import check_on_done
from brummerbus._core.handlers import check_event_types
from brummerbus._core.hooks import OnDone
from brummerbus._core.loops import running_loop
from brummerbus._core.planned import never
from brummerbus._core.publisher import check_expires
from brummerbus._core.streams import Stream, StreamTap
from brummerbus._core.waiting_tasks import PendingPublish
from brummerbus._errors import BusError
from brummerbus._events import Event
from brummerbus._listening import ListeningBus
from brummerbus._policies import BackpressurePolicy, check_policy

if TYPE_CHECKING:
    from brummerbus._typing import T2, T3, T4, T5, NoClass, T

_POLICIES = (BackpressurePolicy.DROP_OLDEST, BackpressurePolicy.DROP_NEWEST)
_WANTED = "'drop_oldest' or 'drop_newest', as no publisher waits for tasks"


class StreamingBus(ListeningBus):
    """A bus for tasks, which take and publish events; `EventBus` is the rest."""

    _has_threads: bool = True
    """False: the thread that made it does everything, and so what waits for it."""

    if TYPE_CHECKING:  # of more than five classes, the events are not checked

        @overload
        def stream(
            self, *event_types: str, maxsize: int = 1000, policy: BackpressurePolicy | str = ...
        ) -> Stream[Event]: ...
        @overload
        def stream(
            self,
            type1: type[T] | NoClass,
            type2: type[T2] | NoClass = ...,
            type3: type[T3] | NoClass = ...,
            type4: type[T4] | NoClass = ...,
            type5: type[T5] | NoClass = ...,
            /,
            *,
            maxsize: int = 1000,
            policy: BackpressurePolicy | str = ...,
        ) -> Stream[T | T2 | T3 | T4 | T5]: ...
        @overload
        def stream(
            self,
            *event_types: type[Any] | str,
            maxsize: int = 1000,
            policy: BackpressurePolicy | str = ...,
        ) -> Stream[Any]: ...

    def stream(
        self,
        *event_types: str | type,
        maxsize: int = 1000,
        policy: BackpressurePolicy | str = BackpressurePolicy.DROP_OLDEST,
    ) -> Stream[Any]:
        """Iterate over events in a task of asyncio, uvloop or trio.

            async with bus.stream("log.*") as events:
                async for event in events:
                    ...

        `await events.batch(max=500)` returns what has come, in a list. It gets every event of these
        types whose `publish` began after this returned, once it was accepted; no worker is needed.
        It has a bound of its own, apart from `queue_size`, and no publisher waits for it. It ends
        when the bus stops, after what it holds was iterated over; what handlers publish while the
        bus drains it does not get. Otherwise at the end of the `async with` block, with `aclose`,
        when nothing refers to it, or when its event loop is closed: what it held then is dropped
        (`DropReason.SHUTDOWN`). In a forked child it has ended.

        From any thread or task. It belongs to the event loop of the task that first waits for it.
        While it exists, each publish of such an event costs some 30 ns more, and that of the first
        one which a task waits for some microseconds; when it begins and ends, as much as
        `subscribe`.

        Args:
            event_types: As for `subscribe`, one or more. An event that several match comes once.
            maxsize: Events that it holds for its tasks, 1 to 16,777,216.
            policy: What is dropped when it is full: "drop_oldest" or "drop_newest".

        Returns:
            The stream. `dropped` counts what it has dropped, `stats().streams` what all streams
            of the bus were given, and what became of it. To the counts of deliveries a stream adds
            nothing; its events are not `unrouted`.

        Raises:
            TypeError: No event type is given, or an argument is of the wrong type.
            ValueError: An event type is empty, `maxsize` is out of range, or `policy` is another.
            BusClosed: The bus is stopped.
        """
        types = check_event_types("stream", event_types)
        maxsize = check_int("maxsize", maxsize, 1, MAX_QUEUE_SIZE)
        tap = StreamTap(maxsize, check_policy(policy, _POLICIES, _WANTED), self._stream_counts)
        stream: Stream[Any] = self._opened(Stream, types, tap)
        return stream

    async def publish_async(
        self,
        event: Any,
        *,
        priority: int | None = None,
        timeout: float | None = None,
        on_done: OnDone | None = None,
        expires: float | None = None,
    ) -> bool:
        """Publish an event from a task, which waits for free slots without holding up its loop.

        As `publish`, in all else. Tasks that wait are admitted by level, first come first served
        within it, and beside threads that wait. One thread of the bus waits for all of them; it
        is started for the first, and ends when none waits. In that thread the policy is applied
        (with `CALLER_RUNS` it runs the handlers), and keys are computed, a second time.

        If it is cancelled, the event was accepted as a whole or not at all; which of both can be
        decided some ms later. From tasks of asyncio, uvloop and trio. As long as nothing has to be
        waited for, it costs some microseconds more than `publish`, otherwise some 100.

        Args:
            event: The event.
            priority: As for `publish`.
            timeout: As for `publish`: seconds, at most, until the policy is applied; None: the
                standstill rule; 0: do not wait.
            on_done: As for `publish`.
            expires: As for `publish`: seconds, from its acceptance.

        Returns:
            As `publish`: whether it was accepted.

        Raises:
            QueueFull, BusClosed, TypeError, ValueError: As `publish`.
            BusError: The caller is no task.
            RuntimeError: The thread could not be started.
        """
        priority = self._check_priority(priority)
        limit = None if timeout is None else check_timeout("timeout", timeout)
        check_on_done(on_done)
        seconds = check_expires(expires)
        engine = self._here()
        is_handler = engine.queue.is_inside()
        publish = partial(
            self._publish_for_task, event, priority, seconds, on_done, is_handler=is_handler
        )
        try:
            return publish(0.0, never)
        except NoRoom:
            if limit == 0 or not self._has_threads:
                return self.publish(
                    event, priority=priority, timeout=limit, on_done=on_done, expires=expires
                )
        loop = running_loop()
        if loop is None:
            raise BusError(f"{self._name}: publish_async() is for tasks of asyncio or trio")
        engine = self._here()
        level = engine.routes.level(event, priority)
        context = copy_context() if self._config.propagate_context else None
        pending = PendingPublish(loop, level, limit, context, publish, is_handler=is_handler)
        return await engine.waiting_tasks.publish(pending)
