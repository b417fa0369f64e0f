"""The subscriptions of a bus."""

import weakref
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any

from brummerbus._core._ext import Publisher, Recipient
from brummerbus._core.callables import attribute
from brummerbus._core.coroutines import CoroutineHandler, Lost
from brummerbus._core.handlers import check_event_type, check_handler, is_python_function
from brummerbus._core.lanes import LaneTable
from brummerbus._core.options import Options
from brummerbus._core.queue import ns
from brummerbus._core.table import Matcher, Table, next_number
from brummerbus._core.weak import WeakHandler, check_weak, is_same
from brummerbus._errors import Retry

Handler = Callable[[Any], object]

MAX_BACKOFF = 86_400.0
"""Seconds, a day, up to which the pause before a retry doubles."""


class Subscription(Recipient, Matcher):
    """A handler registered for an event type; created by `EventBus.subscribe`.

    As a context manager it is cancelled at the end of the block.

    Attributes:
        event_type: The string, glob or class.
        handler: Called with each event; of a weak subscription, a substitute for its method, and
            with `loop` one for the coroutine function.
        label: Event type and handler, for logs and statistics.
    """

    __slots__ = (
        "_cancel",
        "_uniform",
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
        lost: Lost,
        uniform: Callable[[float, float], float] | None,
    ) -> None:
        called = handler
        if options.loop is not None:
            called = CoroutineHandler(handler, options.loop, lost, self)
        if options.weak:
            called = WeakHandler(check_weak(handler), partial(_cancel, weakref.ref(self)))
        super().__init__(called, is_python_function(handler))
        if options.are_grouped:
            self.set_group(options.max_concurrency or 0, options.batch or 0, ns(options.batch_wait))
        if options.loop is not None:
            self.detach()
        if options.retries and uniform is None:
            # Not at the top: it would take a twentieth of the time of `import brummerbus`.
            from random import uniform  # noqa: PLC0415
        self._uniform: Any = uniform  # None: there are no retries
        self.options: Options = options
        self.lane_tables: dict[int, LaneTable] = {}
        """The lanes of its keys, by the number of forks."""
        self.event_type: str | type[Any] = event_type
        self.label: str = f"{_type_name(event_type)} -> {_handler_name(handler)}"
        self.number: int = next_number()
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

    # ---- keys ----------------------------------------------------------------------------

    def lanes(self, forks: int) -> LaneTable:
        """Return the lanes of a subscription with a key, in the process after that many forks."""
        table = self.lane_tables.get(forks)
        if table is None:
            key: Any = self.options.key  # a function: it was checked
            table = self.lane_tables.setdefault(forks, LaneTable(key))
        return table

    # ---- retries --------------------------------------------------------------------------

    def _retry_delay(self, attempt: int, error: BaseException) -> int:
        """Return how many ns after a failure the delivery is run again; -1: it is not.

        Up to a quarter longer than `backoff` says, at random: what failed together does not come
        back together. It doubles up to `MAX_BACKOFF`, and stays as it is if it is longer from the
        first on.
        """
        options = self.options
        if attempt >= options.retries or not isinstance(error, Exception):
            return -1
        if isinstance(error, Retry) and error.after is not None:
            return ns(error.after)
        longest = max(options.backoff, MAX_BACKOFF)
        pause = min(options.backoff * 2.0 ** min(attempt, 64), longest)
        return ns(pause * self._uniform(1.0, 1.25))


Subscription.__module__ = "brummerbus"  # the public module, as for all public names


def _cancel(reference: "weakref.ref[Subscription]") -> None:
    """Cancel a subscription whose handler's object is gone."""
    subscription = reference()
    if subscription is not None:
        subscription.cancel()


class Subscriptions(Table[Subscription]):
    """The subscriptions of a bus; `lost` is called with what closed event loops have dropped."""

    def __init__(self, bus: Callable[[], Publisher | None], lost: Lost) -> None:
        super().__init__(bus)
        self._lost = lost
        # By address. Not a WeakSet, which must not change while it is iterated over, if only to be
        # copied: another thread may subscribe then.
        self._in_loops: weakref.WeakValueDictionary[int, CoroutineHandler]
        self._in_loops = weakref.WeakValueDictionary()

    uniform: Callable[[float, float], float] | None = None
    """Where the random part of the pauses before retries comes from; None: `random`."""

    def add(self, event_type: str | type, handler: Handler, options: Options) -> Subscription:
        """Add one; `event_type` and `handler` are checked first, `options` were."""
        event_type = check_event_type(event_type)
        check_handler(handler, in_loop=options.loop is not None)
        subscription = Subscription(
            event_type, handler, options, self.remove, self._lost, self.uniform
        )
        if isinstance(subscription.handler, CoroutineHandler):
            self._in_loops[id(subscription.handler)] = subscription.handler
        self.insert(subscription)
        return subscription

    def of(self, handler: object) -> list[Subscription]:
        """Return those of a handler, or of the same method of the same object."""
        return [one for one in self if is_same(_function(one.handler), handler)]

    def run_in(self, loop: object) -> bool:
        """Return whether coroutine handlers run in a loop, or did."""
        return any(one.loop is loop for one in self._coroutine_handlers())

    def end_closed_loops(self) -> None:
        """End those whose event loop was closed, which notifies nobody, and drop what they had."""
        for one in self._coroutine_handlers():
            if one.loop.is_closed():
                one.end()

    def _coroutine_handlers(self) -> list[CoroutineHandler]:
        references = self._in_loops.valuerefs()
        return [one for reference in references if (one := reference()) is not None]


def _function(handler: Any) -> Any:
    return handler.function if isinstance(handler, CoroutineHandler) else handler


def _type_name(event_type: str | type) -> str:
    return event_type if isinstance(event_type, str) else event_type.__qualname__


def _handler_name(handler: Any) -> str:
    while isinstance(handler, partial):
        handler = handler.func
    name = attribute(handler, "__qualname__")
    return name if isinstance(name, str) else f"{type(handler).__qualname__} object"
