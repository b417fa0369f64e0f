"""The bus of the pytest fixture `bus`: it notes what went wrong, and says so at its end."""

import threading
import traceback
from typing import Any

from brummerbus import BusStats, DropReason, EventBus, Subscription
from brummerbus._arguments import check_bool, check_timeout
from brummerbus._core.in_flight import running, stack_of
from brummerbus._core.log import shown_event
from brummerbus._core.threads import PoolThread
from brummerbus._text import counted

STOP_TIMEOUT = 5.0
"""Seconds that handlers have for what is queued when a test has ended."""

SHOWN = 10
"""Failures and drops that are shown in full."""


class CheckedBus(EventBus):
    """An `EventBus` for one test.

    Attributes:
        allow_drops: Whether deliveries may be dropped; can be set at any time.
        allow_failures: Whether handlers may raise; can be set at any time.
        failures: What handlers raised: event, subscription and exception of each.
        drops: The deliveries that were dropped: event, subscription and reason of each.

    Args:
        allow_drops: As the attribute.
        allow_failures: As the attribute.
        stop_timeout: Max seconds to drain and stop at the end.
        **settings: What `EventBus` takes, except for `on_error` and `on_drop`.
    """

    def __init__(
        self,
        *,
        allow_drops: bool = False,
        allow_failures: bool = False,
        stop_timeout: float = STOP_TIMEOUT,
        **settings: Any,
    ) -> None:
        for name, instead in (("on_error", "bus.failures"), ("on_drop", "bus.drops")):
            if name in settings:
                raise TypeError(f"{name} is the fixture's own: see {instead}")
        self.allow_drops = check_bool("allow_drops", allow_drops)
        self.allow_failures = check_bool("allow_failures", allow_failures)
        self._stop_timeout = check_timeout("stop_timeout", stop_timeout)
        failures: list[tuple[Any, Subscription, BaseException]] = []
        drops: list[tuple[Any, Subscription, DropReason]] = []
        self.failures, self.drops = failures, drops
        self._threads_before = set(threading.enumerate())
        super().__init__(  # the hooks hold the lists, not the bus
            on_error=lambda *failure: failures.append(failure),
            on_drop=lambda *drop: drops.append(drop),
            **settings,
        )

    def end(self) -> list[str]:
        """Stop, and return what a test must not leave, as lines."""
        self.stop(timeout=self._stop_timeout)
        stats = self.stats()
        problems = [*self._failed(), *self._dropped(stats), *self._left(stats), *_unequal(stats)]
        return [f"{self.name}, at the end of the test:", *problems] if problems else []

    def _failed(self) -> list[str]:
        if self.allow_failures or not self.failures:
            return []
        number = counted(len(self.failures), "handler")
        allow = "see bus.failures; bus.allow_failures = True permits it"
        lines = [f"- {number} raised ({allow}):"]
        for event, subscription, error in self.failures[:SHOWN]:
            lines.append(f"{subscription!r} with {shown_event(event)}")
            lines += "".join(traceback.format_exception(error)).splitlines()
        return lines

    def _dropped(self, stats: BusStats) -> list[str]:
        if self.allow_drops or not stats.dropped:
            return []
        by_reason = {reason.value: sum(n.values()) for reason, n in stats.dropped_by.items()}
        reasons = ", ".join(f"{n} {reason}" for reason, n in by_reason.items() if n)
        allow = "see bus.drops; bus.allow_drops = True permits it"
        lines = [f"- {counted(stats.dropped, 'delivery')} dropped: {reasons} ({allow})"]
        for event, subscription, reason in self.drops[:SHOWN]:
            lines.append(f"{shown_event(event)} for {subscription!r}: {reason.value}")
        return lines

    def _left(self, stats: BusStats) -> list[str]:
        if stats.running:
            limit = f"after {self._stop_timeout:g} s"
            lines = [f"- {counted(stats.running, 'delivery')} still in a handler {limit}:"]
            for one in running(self._here().queue):
                lines += [str(one), *stack_of(one.thread).splitlines()]
            return lines
        left = [
            thread.name
            for thread in threading.enumerate()
            if isinstance(thread, PoolThread)
            and thread not in self._threads_before
            and thread.name.startswith(f"{self.name}-")
        ]
        return [f"- {counted(len(left), 'thread')} left: {', '.join(left)}"] if left else []


def _unequal(stats: BusStats) -> list[str]:
    ended = stats.processed + stats.dropped
    if stats.published == ended + stats.queued + stats.running and not stats.queued:
        return []
    names = ("published", "processed", "dropped", "queued", "running")
    counts = ", ".join(f"{getattr(stats, name)} {name}" for name in names)
    return [f"- the counts do not agree: {counts}"]
