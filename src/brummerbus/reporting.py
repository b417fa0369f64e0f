"""What happens to failures and losses: hooks, or the log.

A hook may do anything: raise, publish, take long. What it raises is logged and goes no further.
What it publishes carries a generation, one higher than the delivery that the hook was told of,
and deliveries of the last generation are counted but not reported: a hook whose own events fail
or are dropped cannot loop without an end.
"""

import logging
from collections.abc import Callable, Iterable
from threading import get_ident
from typing import Any

from brummerbus.backpressure import DropReason
from brummerbus.routing import Echo, Subscription

logger = logging.getLogger("brummerbus")

OnError = Callable[[Any, Subscription, BaseException], object]
OnDrop = Callable[[Any, Subscription, DropReason], object]
Delivery = tuple[Any, "Subscription | Echo"]

MAX_GENERATION = 3
"""Hooks that may be called in a chain. One is enough for a bus that reports its errors on itself;
the rest is for reports about the reporting."""


class Reporter:
    """Tells the hooks, or the log, of what went wrong; never raises an `Exception`."""

    def __init__(self, name: str, on_error: OnError | None, on_drop: OnDrop | None) -> None:
        self._name = name
        self._on_error = on_error
        self._on_drop = on_drop
        self.reporting: dict[int, int] = {}
        """Threads in which a hook or the log runs now: their generation."""

    def failed(self, delivery: Delivery, error: BaseException) -> None:
        """Report that a handler raised. Called in a worker, where nothing may escape."""
        try:
            self._call(self._on_error or self._log_error, delivery, error)
        except BaseException:  # a worker has no one to raise it to
            logger.exception("%s: on_error raised", self._name)

    def dropped(self, deliveries: Iterable[Delivery], reason: DropReason, *, first: bool) -> None:
        """Report deliveries that were not made; the log has only the first of a streak."""
        for delivery in deliveries:
            if first:
                self._call(self._log_drop, delivery, reason)
                first = False
            if self._on_drop is not None:
                self._call(self._on_drop, delivery, reason)

    def _call(
        self, hook: Callable[[Any, Subscription, Any], object], delivery: Delivery, why: object
    ) -> None:
        event, subscription = delivery
        me = get_ident()
        outer = self.reporting.get(me, 0)
        generation = outer
        if isinstance(subscription, Echo):
            generation = max(generation, subscription.generation)
            subscription = subscription.subscription
        if generation >= MAX_GENERATION:
            return
        self.reporting[me] = generation + 1
        try:
            hook(event, subscription, why)
        except Exception:
            logger.exception("%s: a hook raised", self._name)
        finally:
            if outer:
                self.reporting[me] = outer
            else:
                self.reporting.pop(me, None)

    def _log_error(self, event: Any, subscription: Subscription, error: BaseException) -> None:
        logger.error("%s: %r failed on %r", self._name, subscription, event, exc_info=error)

    def _log_drop(self, event: Any, subscription: Subscription, reason: DropReason) -> None:
        logger.warning(
            "%s: the queue is full, deliveries are dropped; the first was %r for %r (%s)",
            self._name,
            event,
            subscription,
            reason,
        )
