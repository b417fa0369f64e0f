"""Reports failures and drops: to hooks, or to the log.

Guarantees
- Every failure and every drop is reported, whatever the hook does: raise, publish, block.
- What a hook raises is logged and not propagated. Exception: in a publishing thread, a
  BaseException that is no `Exception` is propagated to the publisher, after all other reports.
- A hook whose own events fail or are dropped cannot loop endlessly: events carry their hook depth,
  the number of hooks that led to them (`hooks_here`), and deliveries of depth `MAX_HOOKS` are
  counted but not reported.

What does not work, or was tried
- Setting and restoring the depth in Python: an interrupt can strike in the `finally` that restores
  it, too. C does it (`call_hook`).
- Queueing a wrapper of the subscription that has the depth, as the first core did: every reader of
  a delivery had to unwrap it. The depth is a field of the delivery.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from brummerbus._core._ext import call_hook, end_lost, hooks_here
from brummerbus._core.log import ERROR, WARNING, log, shown_event
from brummerbus._core.outcome import Outcome
from brummerbus._core.subscriptions import Subscription
from brummerbus._policies import DropReason

OnError = Callable[[Any, Subscription, BaseException], object]
OnDrop = Callable[[Any, Subscription, DropReason], object]
OnDone = Callable[[Outcome], object]
OnUnrouted = Callable[[Any], object]
WorkerHook = Callable[[], object]


class Runs(Protocol):
    """What a handler runs in: a `contextvars.Context`, or what has its two methods."""

    def copy(self) -> "Runs":
        """Return what one handler runs in."""

    def run(self, handler: Callable[[Any], Any], argument: Any, /) -> Any:
        """Call it."""


Trace = Callable[[Any, Callable[[Runs | None], bool]], bool]
"""Called with an event and what publishes it, which takes what its handlers run in."""

LOST_FIELDS = 4
"""Items per delivery in the lists that C returns."""

_EXPIRED = DropReason.EXPIRED
"""Looked up once: that takes memory."""

MAX_HOOKS = 3
"""Maximum hook depth. One is enough for a bus that publishes its own failures; deeper levels cover
hooks that fail while reporting."""


class Hooks:
    """Calls the hooks of a bus, or logs."""

    def __init__(
        self,
        name: str,
        on_error: OnError | None,
        on_drop: OnDrop | None,
        on_unrouted: OnUnrouted | None = None,
        on_worker_start: WorkerHook | None = None,
        on_worker_stop: WorkerHook | None = None,
    ) -> None:
        self._name = name
        self.on_error = on_error
        self.on_drop = on_drop
        self.on_unrouted = on_unrouted
        self.on_worker_start = on_worker_start  # both are called in C: csrc/python/worker.c
        self.on_worker_stop = on_worker_stop
        self.trace: Trace | None = None

    def failed_in_worker(
        self, event: Any, subscription: Subscription, hooks: int, error: BaseException
    ) -> None:
        """Report that a handler raised; never raises."""
        try:
            self.failed_here(event, subscription, hooks, error)
        except BaseException as raised:
            self.log_raised(raised, max(hooks, hooks_here()) + 1)

    def failed_here(
        self, event: Any, subscription: Subscription, hooks: int, error: BaseException
    ) -> None:
        """Report that a handler raised, in a publishing thread."""
        hook = self._log_error if self.on_error is None else self.on_error  # it may be falsy
        self._call(hook, hooks, event, subscription, error)

    def dropped(self, lost: list[Any], reason: DropReason, *, first: bool) -> None:
        """Report dropped deliveries; only the first of a streak is logged.

        `lost` is flat, as C returns it: event, subscription, depth and ticket of each, and None
        after the last.
        """
        try:
            self._report_drops(lost, reason, first=first)
        finally:
            end_lost(lost, reason)

    def _report_drops(self, lost: list[Any], reason: DropReason, *, first: bool) -> None:
        propagated: BaseException | None = None
        for i in range(0, len(lost), LOST_FIELDS):
            event, subscription, hooks, _ = lost[i : i + LOST_FIELDS]
            if subscription is None:
                break
            try:
                if first:
                    first = False
                    self._call(self._log_drop, hooks, event, subscription, reason)
                if self.on_drop is not None:
                    self._call(self.on_drop, hooks, event, subscription, reason)
            except BaseException as raised:
                propagated = raised
        if propagated is not None:
            try:
                raise propagated
            finally:
                del propagated  # its traceback refers to this frame

    def expired(self, lost: list[Any]) -> None:
        """Report to `on_drop` what a worker found expired; raises nothing."""
        try:
            try:
                self.dropped(lost, _EXPIRED, first=False)
            finally:
                end_lost(lost, _EXPIRED)  # if there was no memory for that
        except BaseException as raised:
            with suppress(BaseException):
                self.log_raised(raised)

    def outcome(self, event: Any, handled: int, failed: Any, dropped: Any) -> Outcome:
        """Return what a completion hook is called with."""
        return Outcome(event, handled, tuple(failed), tuple(dropped))

    def done(self, on_done: OnDone, event: Any) -> None:
        """Call the completion hook of an event without deliveries; others are called in C."""
        hooks = hooks_here() + 1
        try:
            call_hook(hooks, on_done, Outcome(event, 0, (), ()))
        except Exception as error:
            self.log_raised(error, hooks)

    def unrouted(self, event: Any) -> None:
        """Report an event that nothing matched, in its publisher's thread."""
        if self.on_unrouted is not None:
            self._call(self.on_unrouted, 0, event)

    def _call(self, hook: Callable[..., object], hooks: int, *arguments: object) -> None:
        """Call a hook for an event, to which `hooks` others have led, unless they are too many."""
        hooks = max(hooks, hooks_here())
        if hooks >= MAX_HOOKS:
            return
        try:
            call_hook(hooks + 1, hook, *arguments)
        except Exception as error:
            self.log_raised(error, hooks + 1)

    def log_raised(self, error: BaseException, hooks: int = 1) -> None:
        """Log what a hook raised; a logging handler that publishes counts as part of the hook."""
        call_hook(hooks, log, ERROR, f"{self._name}: a hook raised", exc_info=error)

    def _log_error(self, event: Any, subscription: Subscription, error: BaseException) -> None:
        log(
            ERROR,
            "%s: %r failed on %s",
            self._name,
            subscription,
            shown_event(event),
            exc_info=error,
        )

    def _log_drop(self, event: Any, subscription: Subscription, reason: DropReason) -> None:
        log(
            WARNING,
            "%s: the queue is full, deliveries are dropped; the first was %s for %r (%s)",
            self._name,
            shown_event(event),
            subscription,
            reason,
        )
