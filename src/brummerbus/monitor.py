"""The one thread of a pool that looks on: it adds and removes workers, and sees stuck handlers.

It exists only where the configuration asks for one of the two. It sleeps in the ring, so that
the end of the ring ends it, without a Python lock that a finalizer could run into; and once a
second at most while nothing is queued or running.
"""

import logging
from collections.abc import Callable
from time import monotonic, process_time
from typing import TYPE_CHECKING, NamedTuple

from brummerbus.elastic import Reading, Sizer
from brummerbus.errors import BusClosed
from brummerbus.machine import available_cores, compute_servers, idle_and_total
from brummerbus.reporting import log
from brummerbus.running import Running, running

if TYPE_CHECKING:  # the pool starts its monitor
    from brummerbus.pool import Pool

IDLE = 1.0
"""Seconds between two looks while nothing is queued or running."""

LOOKS = 4
"""How often a handler is looked at in the time after which it counts as slow."""

SHORTEST = 0.02
"""Seconds between two looks, at least."""


class Monitor:
    """What one pool has looked at from time to time."""

    def __init__(self, pool: "Pool") -> None:
        config = pool.config
        self._pool = pool
        self._looks: list[Callable[[], float]] = []
        if config.slow_handler_after is not None:
            self._looks.append(SlowHandlers(pool, config.slow_handler_after))
        if config.fewest_workers < config.most_workers:
            self._looks.append(Growth(pool))

    @property
    def needed(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self._looks)

    def run(self) -> None:
        """Look until the ring is shut."""
        pause = 0.0
        while not self._pool.ring.wait_shut(pause):
            pause = max(SHORTEST, min(map(self._pause_after, self._looks)))

    def _pause_after(self, look: Callable[[], float]) -> float:
        try:
            return look()
        except BusClosed:  # it shut meanwhile
            return 0.0
        except Exception as error:  # no memory, or no thread to be had: look again later
            log(logging.ERROR, "%s: the monitor failed", self._pool.name, exc_info=error)
            return IDLE


class Seen(NamedTuple):
    """A delivery that ran when it was last looked at."""

    handle: int
    since: float
    told: bool


class SlowHandlers:
    """One line in the log for each handler that takes longer than `slow_handler_after`."""

    def __init__(self, pool: "Pool", limit: float) -> None:
        self._pool = pool
        self._limit = limit
        self._seen: dict[int, Seen] = {}

    def __call__(self) -> float:
        """Look; returns the seconds until the next look."""
        now = monotonic()
        opened = self._pool.deliveries.open()
        self._seen = {thread: self._look(thread, now, *opened[thread]) for thread in opened}
        late = {
            thread: seen.handle
            for thread, seen in self._seen.items()
            if not seen.told and now - seen.since >= self._limit
        }
        if late:
            for one in running(self._pool.deliveries):
                if late.get(one.thread) == one.handle:
                    self._tell(one, now)
        return self._limit / LOOKS if opened else IDLE

    def _look(self, thread: int, now: float, handle: int, seconds: float) -> Seen:
        seen = self._seen.get(thread)
        if seen is None or seen.handle != handle:
            return Seen(handle, now - seconds, told=False)
        return seen

    def _tell(self, one: Running, now: float) -> None:
        seen = self._seen[one.thread]
        self._seen[one.thread] = seen._replace(told=True)
        log(
            logging.WARNING,
            "%s: a handler is slow: %s, for %.1f s by now; it is at\n%s",
            self._pool.name,
            one.what,
            now - seen.since,
            one.stack.rstrip(),
        )


class Growth:
    """Feeds the `Sizer` with what the ring and the machine say, and does as it decides."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._sizer = Sizer(pool.config.fewest_workers, pool.config.most_workers)
        self._cores = available_cores()
        self._handling = self._compute = 0
        self._looked = monotonic()
        self._process_time = process_time()
        self._idle_and_total = idle_and_total()

    def __call__(self) -> float:
        """Look; returns the seconds until the next look."""
        reading = self._read()
        decision = self._sizer.decide(reading)
        if decision is not None:
            self._pool.resize(*decision)
        return self._sizer.interval(reading)

    def _read(self) -> Reading:
        pool = self._pool
        snapshot = pool.ring.snapshot(0, 0)
        now, used = monotonic(), process_time()
        seconds, computed = now - self._looked, used - self._process_time
        self._looked, self._process_time = now, used
        return Reading(
            time=now,
            queued=snapshot.total.queued,
            capacity=pool.ring.capacity,
            running=snapshot.total.running,
            workers=pool.workers,
            processing_time=snapshot.processing_average * 1e-9,
            cpu_free=self._cores * self._idle_share(),
            cpu_used=computed / seconds if seconds > 0 else 0.0,
            compute_servers=compute_servers(),
            wait_share=self._wait_share(),
        )

    def _idle_share(self) -> float:
        """Return how much of the machine was idle since the last look."""
        idle, total = idle_and_total()
        idle_before, total_before = self._idle_and_total
        self._idle_and_total = idle, total
        passed = total - total_before
        return min(1.0, max(0.0, (idle - idle_before) / passed)) if passed > 0 else 1.0

    def _wait_share(self) -> float:
        """Return how much of the handling time since the last look was not CPU time."""
        meters = self._pool.ring.load().meters.values()
        handling, compute = sum(m.wall for m in meters), sum(m.cpu for m in meters)
        spent, computed = handling - self._handling, compute - self._compute
        self._handling, self._compute = handling, compute
        return 1 - computed / spent if spent > 0 else 1.0  # no handler came to an end
