"""The pool's monitor thread: resizes an elastic pool and reports slow handlers.

It exists only if the configuration requires one of the two. It sleeps in the queue, so that the
end of the queue ends it, without a Python lock that a finalizer could block on; while nothing is
queued or running it wakes at most once per second.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from brummerbus._core.in_flight import CallId, Running, running, stack_of
from brummerbus._core.log import ERROR, WARNING, log
from brummerbus._core.queue import Queue, clock
from brummerbus._errors import BusClosed

if TYPE_CHECKING:
    from brummerbus._config import EventBusConfig
    from brummerbus._core.autoscaler import Resize

IDLE = 1.0
"""Seconds between two samples while nothing is queued or running."""

SAMPLES = 4
"""Samples of a handler within the time after which it counts as slow."""

MIN_PAUSE = 0.02
"""Minimum seconds between two samples."""


class Monitor:
    """Runs the periodic checks of one pool; without any, it is not needed."""

    def __init__(self, name: str, config: "EventBusConfig", queue: Queue, resize: "Resize") -> None:
        self._name = name
        self._queue = queue
        self.checks: list[Callable[[], float]] = []
        if config.slow_handler_after is not None:
            self.checks.append(SlowHandlers(name, queue, config.slow_handler_after))
        if config.min_workers < config.max_workers:
            # Import the policy and psutil only for an elastic pool.
            from brummerbus._core.autoscaler import Autoscaler  # noqa: PLC0415

            self.checks.append(Autoscaler(config, queue, resize))

    def run(self) -> None:
        """Check until the queue is shut."""
        pause = 0.0
        while not self._queue.wait_shut(pause):
            pause = max(MIN_PAUSE, min(map(self._pause_after, self.checks)))

    def _pause_after(self, check: Callable[[], float]) -> float:
        try:
            return check()
        except BusClosed:  # shut during the check
            return 0.0
        except Exception as error:  # no memory, or no thread can be started: check again later
            # During interpreter exit no thread can be started; the pool drains with what it has.
            if not (isinstance(error, RuntimeError) and "shutdown" in str(error)):
                log(ERROR, "%s: the monitor failed", self._name, exc_info=error)
            return IDLE


class SlowHandlers:
    """Logs one message for each handler that takes longer than `slow_handler_after`."""

    def __init__(self, name: str, queue: Queue, limit: float) -> None:
        self._name = name
        self._queue = queue
        self._limit = limit
        self._since: dict[CallId, float] = {}
        """When each call began that was running at the last sample."""
        self._reported: set[CallId] = set()

    def __call__(self) -> float:
        """Sample; returns the seconds until the next sample."""
        now = clock() * 1e-9
        found = {one.call: one for one in running(self._queue)}
        before = self._since
        self._since = {call: before.get(call, now - one.seconds) for call, one in found.items()}
        self._reported &= found.keys()
        for call, one in found.items():
            seconds = now - self._since[call]
            if call not in self._reported and seconds >= self._limit:
                self._reported.add(call)
                self._report(one, seconds)
        return self._limit / SAMPLES if found else IDLE

    def _report(self, one: Running, seconds: float) -> None:
        stack = stack_of(one.thread).rstrip()
        where = stack and f", at\n{stack}"  # a coroutine has none
        if any(other.call == one.call for other in running(self._queue)):
            message = "%s: a handler is slow: %s, for %.1f s so far%s"
            log(WARNING, message, self._name, one.what, seconds, where)
