"""What happens to failures and losses: hooks, or the log.

A hook may do anything: raise, publish, take long. What it raises is logged and goes no further.
What it publishes carries a generation, one higher than the delivery that the hook was told of,
and deliveries of the last generation are counted but not reported: a hook whose own events fail
or are dropped cannot loop without an end.
"""

import logging
import opcode
import signal
from collections.abc import Callable, Iterable
from functools import partial
from threading import get_ident, main_thread
from typing import Any

from brummerbus.backpressure import DropReason
from brummerbus.routing import Echo, Subscription

logger = logging.getLogger("brummerbus")

_RAISE = opcode.opmap["RAISE_VARARGS"]

OnError = Callable[[Any, Subscription, BaseException], object]
OnDrop = Callable[[Any, Subscription, DropReason], object]
Delivery = tuple[Any, "Subscription | Echo"]

MAX_GENERATION = 3
"""Hooks that may be called in a chain. One is enough for a bus that reports its errors on itself;
the rest is for reports about the reporting."""


class Reporter:
    """Tells the hooks, or the log, of what went wrong; raises nothing but a Ctrl-C."""

    def __init__(self, name: str, on_error: OnError | None, on_drop: OnDrop | None) -> None:
        self._name = name
        self._on_error = on_error
        self._on_drop = on_drop
        self.reporting: dict[int, int] = {}
        """Threads in which a hook or the log runs now: their generation."""

    def failed(self, delivery: Delivery, error: BaseException) -> None:
        """Report that a handler raised."""
        hook = self._log_error if self._on_error is None else self._on_error  # it may be falsy
        self._call(hook, delivery, error)

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
        try:
            try:
                self.reporting[me] = generation + 1
                hook(event, subscription, why)
            except BaseException as error:
                if raised_by_signal(error):
                    raise
                log(logging.ERROR, "%s: a hook raised", self._name, exc_info=error)
            finally:
                self._leave(me, outer)
        finally:  # once more, for an interrupt may have struck the first
            self._leave(me, outer)

    def _leave(self, thread: int, outer: int) -> None:
        if outer:
            self.reporting[thread] = outer
        else:
            self.reporting.pop(thread, None)

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


def log(level: int, message: str, *arguments: object, **options: Any) -> None:
    """Log where nothing may be raised: a handler of the root logger may raise what it likes."""
    try:
        logger.log(level, message, *arguments, **options)
    except BaseException as error:
        if raised_by_signal(error):
            raise


def raised_by_signal(error: BaseException) -> bool:
    """Tell a Ctrl-C from somebody's own `raise KeyboardInterrupt`.

    Python raises the former in the main thread only, and between two instructions, so the one
    that the innermost frame was at is not a `raise`; or the program's own handler of the signal
    raised it.
    """
    if not isinstance(error, KeyboardInterrupt) or get_ident() != main_thread().ident:
        return False
    handler: Any = signal.getsignal(signal.SIGINT)
    while isinstance(handler, partial):
        handler = handler.func
    own = getattr(getattr(handler, "__func__", handler), "__code__", None)
    was_raise = False
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code is own:
            return True
        was_raise = code.co_code[traceback.tb_lasti] == _RAISE
        traceback = traceback.tb_next
    return not was_raise
