"""The subscriptions of a bus, and which of them match an event.

Guarantees
- A route in the cache has every subscription that was made before the look-up and none that had
  ended: a change is written to the table first and announced afterwards (`_forget_routes`), which
  changes the version; a thread that computes a route reads the version first and the table
  afterwards, and the route is stored only if the version is still the same (`csrc/python/cache.c`).
- No lock is held, because `publish` may be called from a signal handler or a finalizer that
  interrupts `subscribe` in the same thread. The tables are dicts of tuples, replaced by
  compare-and-swap (`swap_item`).
- After subscribing to an exact string, the next publish of that type computes a new route, and no
  other type does; after a glob or a class, each type does. Ended subscriptions leave nothing.

What does not work, or was tried
- Routes numbered for the whole process, as in the first core: those of subscriptions that come and
  go were never freed, and 131,071 of them ended every bus of the process with MemoryError.
- A lambda, or a tuple from a generator, while changing a table: CPython 3.13.0 crashes when it
  creates a function, or such a tuple, and memory runs out. Hence the list in `_change`.
"""

import fnmatch
import itertools
import logging
import random
import re
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType
from typing import Any

from brummerbus._core._ext import Publisher, Recipient, swap_item
from brummerbus._core.handlers import check_event_type, check_handler, is_python_function
from brummerbus._core.log import log
from brummerbus._core.options import Options
from brummerbus._core.queue import ns
from brummerbus._core.weak import WeakHandler, check_weak, is_same
from brummerbus._errors import Retry

Handler = Callable[[Any], object]

_WILD = frozenset("*?[")
_PLAIN = Options()
_CLASSES = "classes"
_PATTERNS = "patterns"


class Subscription(Recipient):
    """A handler registered for an event type; created by `EventBus.subscribe`.

    As a context manager it is cancelled at the end of the block.

    Attributes:
        event_type: The string, glob or class.
        handler: Called with each event; of a weak subscription, a substitute for its method.
        label: Event type and handler, for logs and statistics.
    """

    __slots__ = (
        "_cancel",
        "_claims",
        "event_type",
        "label",
        "lane_tables",
        "number",
        "options",
        "pattern",
        "warned",
    )

    def __init__(
        self,
        event_type: str | type,
        handler: Handler,
        options: Options,
        cancel: Callable[["Subscription"], object],
    ) -> None:
        called = handler
        if options.weak:
            called = WeakHandler(check_weak(handler), partial(_cancel, weakref.ref(self)))
        super().__init__(called, is_python_function(handler))
        if options.are_grouped:
            self.set_group(options.max_concurrency or 0, options.batch or 0, ns(options.batch_wait))
        self.options: Options = options
        self._claims: dict[str, object] = {}
        # By the number of forks, see plan.py. They refer to the subscription, and are not cleared
        # at its end: a publish that began before may still use them. The collector frees both.
        self.lane_tables: dict[int, Any] = {}
        self.event_type: str | type[Any] = event_type
        self.label: str = f"{_type_name(event_type)} -> {_handler_name(handler)}"
        self.number: int = _next_number()
        self.pattern: Callable[[str], object] | None = None
        self.warned: bool = False
        self._cancel = cancel

    def cancel(self) -> None:
        """End the subscription; idempotent.

        Events whose `publish` begins after this returned are not delivered to it; deliveries that
        are queued already are made. From any thread, handler or signal handler.
        """
        self._cancel(self)

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cancel()

    def __repr__(self) -> str:
        return f"<Subscription {self.label}>"

    # ---- once ----------------------------------------------------------------------------

    def claim(self, publish: object) -> bool:
        """Claim the one event of a `once` subscription for a publish; one can at a time."""
        return self._claims.setdefault("once", publish) is publish

    def release_claim(self) -> None:
        """The event was not accepted: the next publish may claim it."""
        self._claims.pop("once", None)

    # ---- retries --------------------------------------------------------------------------

    def _retry_delay(self, attempt: int, error: BaseException) -> int:
        """Return how many ns after a failure the delivery is run again; -1: it is not.

        Up to a quarter longer than `backoff` says, at random: what failed together does not come
        back together.
        """
        options = self.options
        if attempt >= options.retries or not isinstance(error, Exception):
            return -1
        if isinstance(error, Retry) and error.after is not None:
            return ns(error.after)
        return ns(options.backoff * 2.0 ** min(attempt, 64) * random.uniform(1.0, 1.25))

    def receives(self, cls: type, name: str | None) -> bool:
        """Return whether a subscription to a glob or a class matches.

        Args:
            cls: The class of the event.
            name: Its event type; None if it is not an `Event`.
        """
        if self.pattern is not None:
            return name is not None and self.pattern(name) is not None
        try:
            return issubclass(cls, self.event_type)  # type: ignore[arg-type]
        except Exception as error:  # from a __subclasscheck__; not the publisher's fault
            if not self.warned:
                self.warned = True
                message = "%r receives nothing of %s: the subclass check of its class raised"
                log(logging.ERROR, message, self, cls.__qualname__, exc_info=error)
            return False


def _cancel(reference: "weakref.ref[Subscription]") -> None:
    """Cancel a subscription whose handler's object is gone."""
    subscription = reference()
    if subscription is not None:
        subscription.cancel()


_next_number: Callable[[], int] = itertools.count(1).__next__
"""Numbers subscriptions in order of creation."""


class Subscriptions:
    """The tables of subscriptions; they survive a fork."""

    def __init__(self, bus: Callable[[], Publisher | None]) -> None:
        self._bus = bus  # a weak reference: a collected bus has no routes to forget
        self._exact: dict[str, tuple[Subscription, ...]] = {}
        self._others: dict[str, tuple[Subscription, ...]] = {}

    def __iter__(self) -> Iterator[Subscription]:
        for table in (self._exact, self._others):
            for several in list(table.values()):
                yield from several

    def add(
        self, event_type: str | type, handler: Handler, options: Options = _PLAIN
    ) -> Subscription:
        """Add one; `event_type` and `handler` are checked first, `options` were."""
        event_type = check_event_type(event_type)
        check_handler(handler)
        subscription = Subscription(event_type, handler, options, self.remove)
        if isinstance(event_type, type):
            if type(event_type).__subclasscheck__ is not type.__subclasscheck__:
                self._watch_abcs()
        elif not _WILD.isdisjoint(event_type):
            subscription.pattern = re.compile(fnmatch.translate(event_type)).match
        try:
            self._change(subscription, present=True)
        except BaseException:  # an interrupt: the caller could not cancel it
            self.remove(subscription)
            raise
        return subscription

    def remove(self, subscription: Subscription) -> bool:
        """Remove one; whether it was there."""
        return self._change(subscription, present=False)

    def of(self, handler: object) -> list[Subscription]:
        """Return those of a handler, or of the same method of the same object."""
        return [one for one in self if is_same(one.handler, handler)]

    def _change(self, subscription: Subscription, *, present: bool) -> bool:
        """Add or remove one; whether it was there before."""
        table, key, type_changed = self._others, _CLASSES, None
        if isinstance(subscription.event_type, str):
            key = _PATTERNS
            if subscription.pattern is None:
                table, key = self._exact, subscription.event_type
                type_changed = key
        while True:
            old = table.get(key, ())
            others = tuple([s for s in old if s is not subscription])
            if swap_item(table, key, old, (*others, subscription) if present else others):
                break
        bus = self._bus()
        if bus is not None:
            bus._forget_routes(type_changed)
        return len(others) < len(old)

    def _watch_abcs(self) -> None:
        bus = self._bus()
        if bus is not None:
            bus._watch_abcs()

    def matching(self, cls: type, name: str | None) -> tuple[Subscription, ...]:
        """Return the subscriptions that match a class and, for an `Event`, an event type.

        In order of creation. Linear in the number of globs and classes.
        """
        exact = self._exact.get(name, ()) if name is not None else ()
        others = [s for several in list(self._others.values()) for s in several]
        found = [*exact, *(s for s in others if s.receives(cls, name))]
        return tuple(sorted(found, key=lambda s: s.number))


def _type_name(event_type: str | type) -> str:
    return event_type if isinstance(event_type, str) else event_type.__qualname__


def _handler_name(handler: Any) -> str:
    while isinstance(handler, partial):
        handler = handler.func
    try:
        name = getattr(handler, "__qualname__", None)
    except Exception:
        name = None
    return name if isinstance(name, str) else f"{type(handler).__qualname__} object"
