"""Subscribing: the part of `EventBus` by which handlers come and go."""

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, overload

from brummerbus._arguments import shown
from brummerbus._core.handlers import check_event_types
from brummerbus._core.options import Key, Options, checked
from brummerbus._core.subscriptions import Handler, Subscription
from brummerbus._errors import BusClosed, BusError
from brummerbus._events import Event
from brummerbus._streaming import StreamingBus

if TYPE_CHECKING:
    from brummerbus._typing import (
        T2,
        T3,
        T4,
        T5,
        BatchOptions,
        Decorator,
        EventHandler,
        EventOptions,
        NoClass,
        SubscribeOptions,
        T,
        Unpack,
    )


class SubscribingBus(StreamingBus):
    """A bus to which handlers are subscribed; `ObservingBus` adds its figures."""

    if TYPE_CHECKING:

        @overload
        def subscribe(
            self,
            event_type: type[T] | NoClass,
            handler: Callable[[T], object],
            *,
            key: Callable[[T], Hashable] | str | None = None,
            batch: None = None,
            **options: Unpack[SubscribeOptions],
        ) -> Subscription: ...
        @overload
        def subscribe(
            self,
            event_type: str,
            handler: Callable[[Event], object],
            *,
            key: Callable[[Event], Hashable] | str | None = None,
            batch: None = None,
            **options: Unpack[SubscribeOptions],
        ) -> Subscription: ...
        @overload
        def subscribe(
            self,
            event_type: type[T] | NoClass,
            handler: Callable[[list[T]], object],
            *,
            batch: int,
            batch_wait: float = 0.0,
            key: Callable[[T], Hashable] | str | None = None,
            **options: Unpack[SubscribeOptions],
        ) -> Subscription: ...
        @overload
        def subscribe(
            self,
            event_type: str,
            handler: Callable[[list[Event]], object],
            *,
            batch: int,
            batch_wait: float = 0.0,
            key: Callable[[Event], Hashable] | str | None = None,
            **options: Unpack[SubscribeOptions],
        ) -> Subscription: ...

    def subscribe(
        self,
        event_type: str | type,
        handler: Handler,
        *,
        once: bool = False,
        key: Key | None = None,
        max_concurrency: int | None = None,
        batch: int | None = None,
        batch_wait: float = 0.0,
        retries: int = 0,
        backoff: float = 0.1,
        weak: bool = False,
        loop: Any = None,
        concurrency: int | None = None,
    ) -> Subscription:
        """Call the handler with each event of a type. From any thread, handler or signal handler.

        The handler receives every event whose `publish` began after this returned. Handlers run
        in worker threads, several concurrently; each handler is called once per event.

        Args:
            event_type: A string, matched exactly; a glob with `*`, `?` or `[...]`, such as
                `"process.*"`; or a class, which receives its subclasses too, also those that an
                abstract base class adopts later. Strings match events only, not other objects.
            handler: Called as `handler(event)`. Its result is ignored, unless it is an awaitable
                or a generator: then the delivery has failed, since nothing awaits it.
            once: Call it for exactly one event, then end the subscription.
            key: A callable of the event, or the name of one of its attributes or of an item of a
                mapping in its `data`. Events with equal keys are handled one at a time, in the
                order in which they were accepted, whatever their priorities; no other event and
                no worker waits for that. It is computed, hashed and compared by the publisher; if
                that raises, `publish` raises it and nothing is published.
            max_concurrency: How many calls of the handler run at once, 1 to 4,096. Workers are not
                held up: they take other deliveries.
            batch: Call the handler with a list of up to that many events that are queued, 1 to
                65,536, in order and of one key, if there are keys. If it raises, all have failed.
            batch_wait: Seconds that a worker waits for the batch to fill, at most.
            retries: How often a delivery that has failed is tried again, 0 to 1,000. It keeps its
                level and the turn of its key; only the last failure is reported. The handler can
                say when by raising `Retry`. `stop` waits for retries; at interpreter exit, one
                that comes after more than `shutdown_timeout` is dropped.
            backoff: Seconds until the first retry; doubled for each further one up to a day, and
                up to a quarter longer at random.
            weak: For a bound method: do not keep its object alive, and end the subscription when
                the object is gone. What is queued for it then counts as processed.
            loop: For a coroutine function: the event loop of asyncio (or uvloop) that runs its
                coroutines. No worker waits for them, but the delivery is running until its
                coroutine has ended: `flush`, `stop`, counts, `key`, `retries` and `on_done` are
                as ever. `on_error` is called in the loop's thread. A coroutine that is cancelled
                has failed. If the loop is closed, the subscription ends, and what it has not come
                to is dropped (`DropReason.SHUTDOWN`). Not with `batch` or `weak`.
            concurrency: How many coroutines of it run at once, 1 to 4,096; default 16. In place of
                `max_concurrency`, with `loop`.

        Returns:
            The subscription; `cancel()` ends it.

        Raises:
            TypeError: `event_type` is neither string nor class, or `handler` is not callable with
                one argument, or is a coroutine function (without `loop`; with it, if it is none) or
                a generator function, also inside a partial, a decorator or a bound method. With
                `weak`: it is no bound method, or its object cannot be referred to weakly.
            ValueError: `event_type` is empty, or an option is out of range.
            BusClosed: The bus is stopped.

        With `key`, `max_concurrency`, `batch` or `retries` each publish to it costs some
        microseconds more.

        A forked child has the subscriptions made before the fork. The next publish of that type
        computes a new route, which takes some microseconds; after a glob or a class, the next
        publish of every type.
        """
        if self._closed:
            raise BusClosed(f"{self._name}: the bus is stopped and delivers nothing any more")
        options = Options(
            once, key, max_concurrency, batch, batch_wait, retries, backoff, weak, loop, concurrency
        )
        if loop is not None and not self._has_threads:
            raise BusError(f"{self._name}: coroutine handlers need a bus with threads, an EventBus")
        return self._subscriptions.add(event_type, handler, checked(options))

    # Of more than five types, or batches of more than one class, the handler is not checked: it
    # gets a list of the one class or a list of the other, for which checkers have no good type.
    if TYPE_CHECKING:

        @overload
        def on(
            self, *event_types: str, **options: Unpack[EventOptions]
        ) -> Callable[[EventHandler], EventHandler]: ...
        @overload
        def on(
            self,
            type1: type[T] | NoClass,
            type2: type[T2] | NoClass = ...,
            type3: type[T3] | NoClass = ...,
            type4: type[T4] | NoClass = ...,
            type5: type[T5] | NoClass = ...,
            /,
            **options: Unpack[EventOptions],
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
            **options: Unpack[EventOptions],
        ) -> Decorator[Event | T | T2 | T3 | T4 | T5]: ...
        @overload
        def on(
            self, *event_types: str, batch: int, **options: Unpack[BatchOptions]
        ) -> Decorator[list[Event]]: ...
        @overload
        def on(
            self, type1: type[T] | NoClass, /, *, batch: int, **options: Unpack[BatchOptions]
        ) -> Decorator[list[T]]: ...
        @overload
        def on(
            self,
            *event_types: type[Any] | str,
            batch: int | None = None,
            **options: Unpack[BatchOptions],
        ) -> Decorator[Any]: ...

    def on(self, *event_types: str | type, **options: Any) -> Callable[[Any], Any]:
        """Subscribe the decorated function to each of the types; it is returned unchanged.

        The options are those of `subscribe`, and it can be called from where that can. For type
        checkers, the function must accept an `Event` for strings and globs, instances of a class,
        and any of them for several types.

        Raises:
            TypeError, ValueError, BusClosed: As `subscribe`, and `TypeError` if no type is given.
        """
        types = check_event_types("on", event_types)
        checked(_options(options))

        def decorate(handler: Handler) -> Handler:
            for event_type in types:
                self.subscribe(event_type, handler, **options)
            return handler

        return decorate

    def unsubscribe(self, handler: Callable[..., object]) -> int:
        """End all subscriptions of a handler, as `Subscription.cancel` would. As safe as that.

        A method is the same if its object is, as in `bus.unsubscribe(worker.on_event)`; two other
        callables are the same only if they are one object. Linear in the subscriptions.

        Returns:
            How many have ended; 0 if there was none.

        Raises:
            TypeError: `handler` is not callable.
        """
        if not callable(handler):
            raise TypeError(f"handler must be callable, got {shown(handler)}")
        return sum([self._subscriptions.remove(one) for one in self._subscriptions.of(handler)])

    def subscriptions(self) -> tuple[Subscription, ...]:
        """Return the subscriptions that have not ended, in the order in which they were made.

        From anywhere. Linear in their number.
        """
        return tuple(sorted(self._subscriptions, key=lambda one: one.number))


def _options(given: dict[str, Any]) -> Options:
    for name in given:
        if name not in Options._fields:
            known = ", ".join(Options._fields)
            raise TypeError(f"a subscription has no option {name!r}, only {known}")
    return Options(**given)
