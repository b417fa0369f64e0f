"""Waiting for events in the calling thread: `EventBus.wait_for` and `EventBus.listen`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, overload

from brummerbus._arguments import MAX_QUEUE_SIZE, check_int, check_timeout
from brummerbus._core.callables import check_hook
from brummerbus._core.handlers import check_event_type, check_event_types
from brummerbus._core.publisher import ProcessPublisher
from brummerbus._core.queue import ns
from brummerbus._core.taps import AnyTap, Ended, Listener, Registration, Tap
from brummerbus._errors import BusClosed, BusError
from brummerbus._events import Event
from brummerbus._policies import BackpressurePolicy, check_policy

if TYPE_CHECKING:
    from brummerbus._typing import T2, T3, T4, T5, NoClass, T

MAX_UNCHECKED = 100_000
"""Events that `wait_for` holds until its predicate has seen them."""

_POLICIES = (
    BackpressurePolicy.DROP_OLDEST,
    BackpressurePolicy.DROP_NEWEST,
    BackpressurePolicy.BLOCK,
)
_WANTED = "one of 'drop_oldest', 'drop_newest', 'block'"


class ListeningBus(ProcessPublisher):
    """A bus whose events threads can wait for; `EventBus` is the rest."""

    if TYPE_CHECKING:

        @overload
        def wait_for(
            self,
            event_type: type[T] | NoClass,
            where: Callable[[T], object] | None = None,
            timeout: float | None = None,
        ) -> T: ...
        @overload
        def wait_for(
            self,
            event_type: str,
            where: Callable[[Event], object] | None = None,
            timeout: float | None = None,
        ) -> Event: ...

    def wait_for(
        self,
        event_type: str | type,
        where: Callable[[Any], object] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Wait for an event, and return it: the first one published after the call began.

        No worker is needed: the publisher's thread hands the event over, once it was accepted. So
        it works in a handler, too, and the event is not `unrouted`, even if there is no
        subscription. From any thread; in a signal handler it may wait for the very thread that it
        interrupts. Ctrl-C is answered within 0.1 s. While it waits, each publish of such an event
        costs some microseconds more; when it begins and ends, as much as `subscribe`.

        Args:
            event_type: As for `subscribe`.
            where: Which event: called with each in turn, in this thread, until it returns something
                true. What it raises is raised here.
            timeout: Seconds, at most; None: no limit.

        Raises:
            TimeoutError: The time was over.
            BusClosed: The bus is stopped, or is being stopped; what handlers publish while it
                drains is not waited for. Or a fork left the wait behind in the child.
            BusError: More than 100,000 events came while `where` looked at others, and none of
                those that were held is the one.
            TypeError, ValueError: An argument is of the wrong type or out of range.
        """
        event_type = check_event_type(event_type)
        check_hook("where", where, ("event",))
        limit = float("inf") if timeout is None else check_timeout("timeout", timeout)
        until = None if limit == float("inf") else self._engine.queue.clock() + ns(limit)
        tap = self._make_tap(1 if where is None else MAX_UNCHECKED, None)
        registration = Registration(self._taps, (event_type,), tap)
        try:
            return self._wait(registration, tap, where, until, event_type, limit)
        except BaseException:
            registration.close()  # again: an interrupt may have struck there
            raise

    def _wait(
        self,
        registration: Registration,
        tap: Tap,
        where: Callable[[Any], object] | None,
        until: int | None,
        event_type: str | type,
        limit: float,
    ) -> Any:
        try:
            self._check_open()
            registration.open()
            self._check_open()  # `stop` may not have seen it
            while True:
                event = self._taken(tap, until, event_type, limit)
                if where is None or where(event):
                    return event
        finally:
            registration.close()

    def _taken(self, tap: Tap, until: int | None, event_type: str | type, limit: float) -> Any:
        """Return the next event of a tap that `wait_for` has made."""
        try:
            return tap.take(until)
        except TimeoutError:
            message = f"{self._name}: no {event_type!r} within {limit:g} s"
            raise TimeoutError(message) from None
        except Ended:
            if tap.dropped:
                message = f"{MAX_UNCHECKED:,} events came while where() looked at others"
                raise BusError(f"{self._name}: wait_for: {message}") from None
            raise BusClosed(f"{self._name}: stopped while waiting for {event_type!r}") from None

    if TYPE_CHECKING:  # of more than five classes, the events are not checked

        @overload
        def listen(
            self, *event_types: str, maxsize: int = 1000, policy: BackpressurePolicy | str = ...
        ) -> Listener[Event]: ...
        @overload
        def listen(
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
        ) -> Listener[T | T2 | T3 | T4 | T5]: ...
        @overload
        def listen(
            self,
            *event_types: type[Any] | str,
            maxsize: int = 1000,
            policy: BackpressurePolicy | str = ...,
        ) -> Listener[Any]: ...

    def listen(
        self,
        *event_types: str | type,
        maxsize: int = 1000,
        policy: BackpressurePolicy | str = BackpressurePolicy.DROP_OLDEST,
    ) -> Listener[Any]:
        """Iterate over events as they are published: `for event in bus.listen("log.*"): ...`.

        It gets every event of these types whose `publish` began after this returned, once it was
        accepted; no worker is needed. It has a bound of its own, apart from `queue_size`. It ends
        when the bus stops, after what it holds was iterated over; what handlers publish while the
        bus drains it does not get. Otherwise, with `close`, at the end of a `with` block, or when
        nothing refers to it. In a forked child it has ended. A thread that is no daemon and
        iterates keeps the interpreter from ending until then.

        From any thread, handler or signal handler. While it exists, each publish of such an event
        costs some microseconds more; when it begins and ends, as much as `subscribe`.

        Args:
            event_types: As for `subscribe`, one or more. An event that several match comes once.
            maxsize: Events that it holds for the thread that iterates, 1 to 16,777,216.
            policy: What is dropped when it is full: "drop_oldest", "drop_newest" or "block".
                With "block" the publisher waits until there is room or the listener ends, whichever
                thread it is: a handler holds up its worker. A `timeout` of `publish` limits this
                wait too. After that the event is dropped, and also where the publisher is the
                thread that iterates (or, before that, made the listener), which cannot wait for
                itself, or runs an event loop, whose tasks would wait with it. Two threads that
                publish to each other's listeners can wait for each other.

        Returns:
            The listener. `dropped` counts what it has dropped; the bus's own counts know nothing of
            it, but that its events are not `unrouted`.

        Raises:
            TypeError: No event type is given, or an argument is of the wrong type.
            ValueError: An event type is empty, `maxsize` is out of range, or `policy` is another.
            BusClosed: The bus is stopped.
        """
        types = check_event_types("listen", event_types)
        maxsize = check_int("maxsize", maxsize, 1, MAX_QUEUE_SIZE)
        tap = self._make_tap(maxsize, check_policy(policy, _POLICIES, _WANTED))
        listener: Listener[Any] = self._opened(Listener, types, tap)
        return listener

    def _opened(
        self, kind: Callable[[Registration, Any], Any], types: list[str | type], tap: AnyTap
    ) -> Any:
        """Return a new listener or stream, unless the bus is stopped, or is in the meantime."""
        self._check_open()
        one = kind(Registration(self._taps, types, tap), tap)
        try:
            self._check_open()  # `stop` may not have seen it
        except BusClosed:
            one.close()
            raise
        return one

    def _make_tap(self, maxsize: int, policy: BackpressurePolicy | None) -> Tap:
        return Tap(maxsize, policy)

    def _check_open(self) -> None:
        if self._closed:
            raise BusClosed(f"{self._name}: the bus is stopped, it delivers nothing any more")
