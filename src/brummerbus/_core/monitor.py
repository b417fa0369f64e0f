"""The pool's monitor thread: resizes an elastic pool and reports slow handlers.

It exists only where the configuration asks for one of the two. It sleeps in the queue, so that
the end of the queue ends it, without a Python lock that a finalizer could run into; and once a
second at most while nothing is queued or running.
"""

import logging
import sys
from collections.abc import Callable
from time import process_time
from typing import NamedTuple, Protocol

from brummerbus._core.in_flight import Running, running, stack_of
from brummerbus._core.log import log
from brummerbus._core.queue import Queue, clock
from brummerbus.config import EventBusConfig
from brummerbus.elastic import Reading, Sizer
from brummerbus.errors import BusClosed
from brummerbus.machine import available_cores, compute_servers, idle_and_total

IDLE = 1.0
"""Seconds between two samples while nothing is queued or running."""

SAMPLES = 4
"""How often a handler is sampled in the time after which it counts as slow."""

SHORTEST = 0.02
"""Seconds between two samples, at least."""


class Resizable(Protocol):
    """What an elastic pool is resized through."""

    @property
    def workers(self) -> int:
        """The number of workers asked for."""

    def resize(self, workers: int, reason: str) -> object:
        """Set the number of workers."""


class Monitor:
    """Runs the periodic checks of one pool."""

    def __init__(self, name: str, config: EventBusConfig, queue: Queue, pool: Resizable) -> None:
        self._name = name
        self._queue = queue
        self._checks: list[Callable[[], float]] = []
        if config.slow_handler_after is not None:
            self._checks.append(SlowHandlers(name, queue, config.slow_handler_after))
        if config.min_workers < config.max_workers:
            self._checks.append(Growth(config, queue, pool))

    @property
    def needed(self) -> bool:
        """Whether there is anything to check."""
        return bool(self._checks)

    def run(self) -> None:
        """Check until the queue is shut."""
        pause = 0.0
        while not self._queue.wait_shut(pause):
            pause = max(SHORTEST, min(map(self._pause_after, self._checks)))

    def _pause_after(self, check: Callable[[], float]) -> float:
        try:
            return check()
        except BusClosed:  # it shut meanwhile
            return 0.0
        except Exception as error:  # no memory, or no thread to be had: check again later
            # While the interpreter ends no thread can be started; the pool drains as it is.
            if not (isinstance(error, RuntimeError) and "shutdown" in str(error)):
                log(logging.ERROR, "%s: the monitor failed", self._name, exc_info=error)
            return IDLE


class Seen(NamedTuple):
    """A delivery that ran when it was last sampled."""

    number: int
    since: float
    reported: bool


class SlowHandlers:
    """One line in the log for each handler that takes longer than `slow_handler_after`."""

    def __init__(self, name: str, queue: Queue, limit: float) -> None:
        self._name = name
        self._queue = queue
        self._limit = limit
        self._seen: dict[int, Seen] = {}

    def __call__(self) -> float:
        """Sample; returns the seconds until the next sample."""
        now = clock() * 1e-9
        found = running(self._queue)
        self._seen = {one.thread: self._seen_of(one, now) for one in found}
        for one in found:
            seen = self._seen[one.thread]
            if not seen.reported and now - seen.since >= self._limit:
                self._seen[one.thread] = seen._replace(reported=True)
                self._report(one, now - seen.since)
        return self._limit / SAMPLES if found else IDLE

    def _seen_of(self, one: Running, now: float) -> Seen:
        seen = self._seen.get(one.thread)
        if seen is None or seen.number != one.number:
            return Seen(one.number, now - one.seconds, reported=False)
        return seen

    def _report(self, one: Running, seconds: float) -> None:
        stack = stack_of(one.thread).rstrip()
        if any(r.number == one.number and r.thread == one.thread for r in running(self._queue)):
            message = "%s: a handler is slow: %s, for %.1f s by now; it is at\n%s"
            log(logging.WARNING, message, self._name, one.what, seconds, stack)


class Growth:
    """Feeds the `Sizer` with what the queue and the machine say, and does as it decides."""

    def __init__(self, config: EventBusConfig, queue: Queue, pool: Resizable) -> None:
        self._queue = queue
        self._pool = pool
        self._sizer = Sizer(config.min_workers, config.max_workers)
        self._cores = available_cores()
        self._handling = self._compute = 0
        self._sampled = clock()
        self._process_time = process_time()
        self._idle_and_total = idle_and_total()

    def __call__(self) -> float:
        """Sample; returns the seconds until the next sample."""
        if sys.is_finalizing():
            return IDLE
        reading = self._read()
        decision = self._sizer.decide(reading)
        if decision is not None:
            self._pool.resize(*decision)
        return self._sizer.interval(reading)

    def _read(self) -> Reading:
        snapshot = self._queue.snapshot()
        now, used = clock(), process_time()
        seconds, computed = (now - self._sampled) * 1e-9, used - self._process_time
        self._sampled, self._process_time = now, used
        return Reading(
            time=now * 1e-9,
            queued=snapshot.total.queued,
            capacity=self._queue.capacity,
            running=snapshot.total.running,
            workers=self._pool.workers,
            processing_time=snapshot.processing_average * 1e-9,
            cpu_free=self._cores * self._idle_share(),
            cpu_used=computed / seconds if seconds > 0 else 0.0,
            compute_servers=compute_servers(),
            wait_share=self._wait_share(snapshot.timer.wall, snapshot.timer.cpu),
            oldest_wait=snapshot.oldest * 1e-9,
        )

    def _idle_share(self) -> float:
        """Return how much of the machine was idle since the last sample."""
        idle, total = idle_and_total()
        idle_before, total_before = self._idle_and_total
        self._idle_and_total = idle, total
        passed = total - total_before
        return min(1.0, max(0.0, (idle - idle_before) / passed)) if passed > 0 else 1.0

    def _wait_share(self, handling: int, compute: int) -> float:
        """Return how much of the handling time since the last sample was not CPU time."""
        spent, computed = handling - self._handling, compute - self._compute
        self._handling, self._compute = handling, compute
        return 1 - computed / spent if spent > 0 else 1.0  # no handler came to an end
