"""When an elastic pool grows and when it shrinks: decisions, without threads or clocks.

The study's rule: grow by one when the queue is over 50 % full, shrink by one when it is under
10 % and workers are idle. Deliveries can wait for seconds before a long queue is half full, so a
delivery that has waited long while no worker is idle is a reason to grow too. The limits:

- More workers help only while computing power is left. Under a GIL computing is one server for the
  whole process: once that is busy, additional workers only queue for it.
- Growing is fast, because a full queue delays publishers immediately; shrinking is slow, because an
  idle worker costs next to nothing. If a shrink is soon reversed, the next one waits longer.
"""

from typing import NamedTuple

from brummerbus._arguments import check_int

GROW_ABOVE = 0.5
"""Fraction of the queue that is full; the study's figure."""

LONG_WAIT = 0.05
"""Seconds that the oldest delivery has waited; a person does not notice a shorter delay."""

SHRINK_BELOW = 0.1
"""Fraction of the queue that is full; the study's figure."""

GROW_PAUSE = 0.2
"""Seconds between two steps up: about the time until a new worker affects the queue."""

SHRINK_PAUSE = 2.0
"""Seconds that workers must be idle before a step down, and between two steps down."""

MAX_SHRINK_PAUSE = 60.0
"""Maximum seconds to which the pause before a step down is lengthened."""

HANDLERS = 20
"""Workers must be idle for at least this many handling times: with slow handlers, a moment without
work is no evidence."""

SATURATED = 0.9
"""Utilisation of the compute servers by this process above which more workers do not help."""

SPARE = 0.2
"""Idle cores that the machine must have for another worker to be worth adding."""

WAITING = 0.5
"""Fraction of their time that handlers must wait to justify a worker on a busy machine."""

IDLE_INTERVAL = 1.0
BUSY_INTERVAL = 0.1


class LoadSample(NamedTuple):
    """The state of a queue and the machine at one moment.

    Attributes:
        time: Seconds, of a monotonic clock.
        queued: Deliveries in the queue.
        capacity: Slots of the queue.
        running: Deliveries being handled.
        workers: Number of workers.
        processing_time: Moving average, in seconds.
        cpu_free: Cores of the machine that were idle since the last sample.
        cpu_used: Cores that this process used since the last sample.
        compute_servers: Maximum number of cores that this process can use: 1 under a GIL.
        wait_share: Fraction of the handling time that was not CPU time, 0 to 1.
        oldest_wait: Seconds that the oldest queued delivery has waited; 0 without monitoring.
    """

    time: float
    queued: int
    capacity: int
    running: int
    workers: int
    processing_time: float
    cpu_free: float
    cpu_used: float
    compute_servers: int
    wait_share: float
    oldest_wait: float = 0.0


class AutoscalePolicy:
    """Decides, sample by sample; not thread-safe: only one thread samples.

    A number of workers outside `min_workers` and `max_workers`, set by `EventBus.resize`, is kept
    until a step towards them is due.
    """

    def __init__(self, min_workers: int, max_workers: int) -> None:
        check_int("min_workers", min_workers, 1)
        check_int("max_workers", max_workers, min_workers)
        self._min_workers = min_workers
        self._max_workers = max_workers
        self._last_step = float("-inf")
        self._last_shrink = float("-inf")
        self._idle_since: float | None = None
        self._shrink_pause = SHRINK_PAUSE

    def decide(self, sample: LoadSample) -> tuple[int, str] | None:
        """Return the new number of workers and the reason; None: no change."""
        full = sample.queued / sample.capacity
        idle = full < SHRINK_BELOW and sample.running < sample.workers
        if not idle:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = sample.time
        if full > GROW_ABOVE:
            return self._grow(sample, f"the queue is {full:.0%} full")
        if sample.oldest_wait > LONG_WAIT and sample.running >= sample.workers:
            return self._grow(sample, f"a delivery has waited for {sample.oldest_wait:.2g} s")
        if idle:
            return self._shrink(sample, full)
        return None

    def interval(self, sample: LoadSample) -> float:
        """Return the seconds until the next sample: one second while the bus is idle."""
        return BUSY_INTERVAL if sample.queued or sample.running else IDLE_INTERVAL

    def _grow(self, sample: LoadSample, need: str) -> tuple[int, str] | None:
        if sample.workers >= self._max_workers or sample.time - self._last_step < GROW_PAUSE:
            return None
        if sample.cpu_used >= SATURATED * sample.compute_servers:
            return None
        waiting = sample.wait_share >= WAITING
        if sample.cpu_free < SPARE and not waiting:
            return None
        if sample.time - self._last_shrink < 2 * self._shrink_pause:
            self._shrink_pause = min(2 * self._shrink_pause, MAX_SHRINK_PAUSE)  # that was too soon
        self._last_step = sample.time
        why = (
            f"handlers wait for {sample.wait_share:.0%} of their time"
            if waiting
            else f"{sample.cpu_free:.1f} cores are free"
        )
        return sample.workers + 1, f"{need}, and {why}"

    def _shrink(self, sample: LoadSample, full: float) -> tuple[int, str] | None:
        assert self._idle_since is not None
        pause = max(self._shrink_pause, HANDLERS * sample.processing_time)
        idle_for = sample.time - max(self._idle_since, self._last_step)
        if sample.workers <= self._min_workers or idle_for < pause:
            return None
        self._last_step = self._last_shrink = sample.time
        idle = f"{sample.workers - sample.running} of {sample.workers} workers are idle"
        why = f"the queue is {full:.0%} full, {idle}, some for {idle_for:.1f} s"
        return sample.workers - 1, why
