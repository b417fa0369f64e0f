"""Soak test: one process, an endless stream of events, and resources that must not grow.

    python tests/chaos/soak.py --events 100000000

Publishes in batches and singly, several types at three levels, to one and to two handlers, some of
which fail, and sometimes overfills the queue so that deliveries are dropped. Resident memory,
descriptors and threads are measured at regular intervals; none of them may be higher at the end
than in the first tenth, with a small allowance for memory, and the counts must agree.
"""

import argparse
import faulthandler
import gc
import logging
import sys
import threading
from time import monotonic
from typing import Any, NamedTuple

import psutil

from brummerbus import BusStats, DropReason, Event, EventBus, Subscription

ALLOWANCE = 2**20
"""Allowed growth of resident memory in bytes; 10^8 events that leaked one byte each would be 95
times as much."""

SAMPLES = 50
WARM_UP = SAMPLES // 10
BATCH = 1000
SINGLY = 100
"""Events of each `BATCH` that are published singly."""

QUEUE = 1000
OVERFLOW = 100
"""Events per sample that do not fit into the queue."""

FAILS = 97
"""The handler of `error.detected` raises if this divides the event's number."""

WATCHDOG = 600.0
"""Max seconds of a sample; then all stacks are printed and the process ends."""

TYPES = ("log.line", "log.line", "process.started", "build.event", "error.detected")


class Sample(NamedTuple):
    """One measurement."""

    events: int
    seconds: float
    rss: int
    descriptors: int
    threads: int
    dropped: int
    failed: int


class Soak:
    """A bus, its publisher, and the counts of hooks and handlers."""

    def __init__(self, events: int) -> None:
        self._total = events
        self._events = self._deliveries = 0
        self._drops = self._errors = 0
        self._process = psutil.Process()
        self._began = monotonic()
        self._held = threading.Semaphore(0)
        self._go = threading.Semaphore(0)
        self._bus = EventBus(
            workers=4, queue_size=QUEUE, on_drop=self._on_drop, on_error=self._on_error
        )
        for event_type in ("log.line", "process.*", "build.event", "build.event"):
            self._bus.subscribe(event_type, _ignore)
        self._bus.subscribe("error.detected", _fail_sometimes)
        self._bus.subscribe("hold", self._hold)

    def run(self) -> tuple[list[Sample], BusStats]:
        """Publish everything and return the samples and the final statistics."""
        samples = []
        for number in range(1, SAMPLES + 1):
            faulthandler.dump_traceback_later(WATCHDOG, exit=True)
            while self._events < self._total * number // SAMPLES:
                self._publish_batch()
            self._overflow()
            samples.append(self._sample())
            print(_row(samples[-1]), flush=True)
        assert self._bus.stop(timeout=WATCHDOG)
        faulthandler.cancel_dump_traceback_later()
        return samples, self._bus.stats()

    def _publish_batch(self) -> None:
        first = self._events
        events = [Event(TYPES[i % len(TYPES)], i) for i in range(first, first + BATCH)]
        with self._bus.subscribe("*", _ignore):  # cancelled before it can receive anything
            pass
        for event in events[:SINGLY]:
            self._bus.publish(event)
        self._bus.publish_many(events[SINGLY:])
        self._events += BATCH
        self._deliveries += BATCH + BATCH // len(TYPES)  # `build.event` goes to two

    def _overflow(self) -> None:
        """Block the workers, and publish more than fits."""
        assert self._bus.flush(WATCHDOG)
        for _ in range(self._bus.workers):
            self._bus.publish(Event("hold"))
            assert self._held.acquire(timeout=WATCHDOG)
        for i in range(QUEUE + OVERFLOW):
            self._bus.publish(Event("log.line", i), timeout=0)
        self._go.release(self._bus.workers)
        self._events += self._bus.workers + QUEUE + OVERFLOW
        self._deliveries += self._bus.workers + QUEUE + OVERFLOW
        assert self._bus.flush(WATCHDOG)
        assert self._bus.stats().reserve_used == 0

    def _sample(self) -> Sample:
        gc.collect()
        stats = self._bus.stats()
        process = self._process
        return Sample(
            self._events,
            monotonic() - self._began,
            process.memory_info().rss,
            process.num_handles() if sys.platform == "win32" else process.num_fds(),
            process.num_threads(),
            stats.dropped,
            stats.failed,
        )

    def check(self, samples: list[Sample], stats: BusStats) -> None:
        """Check that nothing has grown and nothing is missing."""
        early, late = samples[:WARM_UP], samples[-WARM_UP:]
        grown = max(s.rss for s in late) - max(s.rss for s in early)
        assert grown <= ALLOWANCE, f"resident memory grew by {grown:,} bytes"
        for field in ("descriptors", "threads"):
            before, after = (max(getattr(s, field) for s in some) for some in (early, late))
            assert after <= before, f"{field} grew from {before} to {after}"
        for part in (stats, *stats.by_level.values(), *stats.by_type.values()):
            assert part.published == part.processed + part.dropped, part
        assert (stats.queued, stats.running, stats.unrouted) == (0, 0, 0)
        assert stats.published == self._deliveries, (stats.published, self._deliveries)
        assert stats.dropped == self._drops >= OVERFLOW * SAMPLES, (stats.dropped, self._drops)
        assert stats.failed == self._errors > 0, (stats.failed, self._errors)
        print(f"soak: resident memory grew by {grown / 2**10:,.0f} KB, the counts agree")

    def _hold(self, event: Event) -> None:
        self._held.release()
        assert self._go.acquire(timeout=WATCHDOG)

    def _on_drop(self, event: Any, subscription: Subscription, reason: DropReason) -> None:
        # Only one thread publishes, and nothing is dropped in another before the end.
        self._drops += 1

    def _on_error(self, event: Any, subscription: Subscription, error: BaseException) -> None:
        with _counting:
            self._errors += 1


_counting = threading.Lock()


def _ignore(event: Event) -> None:
    pass


def _fail_sometimes(event: Event) -> None:
    if event.data % FAILS == 0:
        raise ValueError("on purpose")


def _row(sample: Sample) -> str:
    events, seconds, rss, descriptors, threads, dropped, failed = sample
    return (
        f"{events:>13,} {seconds:>9.1f} {events / seconds:>11,.0f} {rss / 2**20:>9.2f} "
        f"{descriptors:>6} {threads:>8} {dropped:>9,} {failed:>9,}"
    )


def main() -> int:
    """Run, and return the exit code."""
    parser = argparse.ArgumentParser(description="Publish many events; nothing may grow.")
    parser.add_argument("--events", type=int, default=10_000_000)
    soak = Soak(parser.parse_args().events)
    logging.getLogger("brummerbus").setLevel(logging.CRITICAL)  # each overflow would be logged
    print(
        "       events   seconds    events/s   RSS (MB)  files  threads   dropped    failed",
        flush=True,
    )
    soak.check(*soak.run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
