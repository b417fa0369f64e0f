"""Events in the tasks of an event loop: `EventBus.stream`."""

from typing import TYPE_CHECKING, Any, overload

from brummerbus._arguments import check_int, shown
from brummerbus._config import MAX_QUEUE_SIZE
from brummerbus._core.handlers import check_event_type
from brummerbus._core.streams import Stream, StreamTap
from brummerbus._core.taps import Registration
from brummerbus._errors import BusClosed
from brummerbus._events import Event
from brummerbus._listening import ListeningBus
from brummerbus._policies import BackpressurePolicy

if TYPE_CHECKING:
    from brummerbus._typing import T2, T3, T4, T5, NoClass, T

_POLICIES = (BackpressurePolicy.DROP_OLDEST, BackpressurePolicy.DROP_NEWEST)


class StreamingBus(ListeningBus):
    """A bus whose events tasks can wait for; `EventBus` is the rest."""

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
            The stream. `dropped` counts what it has dropped; the bus's own counts know nothing of
            it, but that its events are not `unrouted`.

        Raises:
            TypeError: No event type is given, or an argument is of the wrong type.
            ValueError: An event type is empty, `maxsize` is out of range, or `policy` is another.
            BusClosed: The bus is stopped.
        """
        if not event_types:
            raise TypeError("stream() needs at least one event type")
        types = [check_event_type(event_type) for event_type in event_types]
        maxsize = check_int("maxsize", maxsize, 1, MAX_QUEUE_SIZE)
        tap = StreamTap(maxsize, _policy(policy))
        self._check_open()
        stream: Stream[Any] = Stream(Registration(self._taps, types, tap), tap)
        try:
            self._check_open()  # `stop` may not have seen it
        except BusClosed:
            stream.close()
            raise
        return stream


def _policy(value: object) -> BackpressurePolicy:
    """Return a policy of a stream, given as such or by its name."""
    name = value.lower() if isinstance(value, str) else value
    for policy in _POLICIES:
        if name in (policy, policy.value):
            return policy
    names = " or ".join(repr(policy.value) for policy in _POLICIES)
    raise ValueError(f"policy must be {names}, as no publisher waits for tasks, got {shown(value)}")
