"""Logging through a bus, beside a QueueHandler: the last table of `make bench-peers`.

One to four threads log as fast as they can; the handler behind does nothing. Each way runs in turn,
several times, and the median of the rounds is shown.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging.handlers import QueueHandler, QueueListener
from queue import Queue
from statistics import median
from threading import Thread
from time import perf_counter, process_time

from brummerbus import EventBus
from brummerbus.loghandler import BusHandler
from brummerbus.ringqueue import RingQueue

RECORDS = 20_000
ROUNDS = 5

logger = logging.getLogger("bench.logs")


class Nothing(logging.Handler):
    """Handles a record by doing nothing."""

    def emit(self, record: logging.LogRecord) -> None:
        """Do nothing."""


@contextmanager
def queue_handler(make: Callable[[], Queue[object]]) -> Iterator[logging.Handler]:
    """A QueueHandler and a QueueListener, on a queue."""
    queue = make()
    listener = QueueListener(queue, Nothing())
    listener.start()
    yield QueueHandler(queue)
    listener.stop()


@contextmanager
def bus_handler() -> Iterator[logging.Handler]:
    """A BusHandler; the bus is drained at the end."""
    with EventBus(workers=2, queue_size=2 * RECORDS, policy="block") as bus:
        yield BusHandler(bus, [Nothing()])


WAYS: dict[str, Callable[[], object]] = {
    "QueueHandler, Queue": lambda: queue_handler(Queue),
    "QueueHandler, RingQueue": lambda: queue_handler(RingQueue),
    "BusHandler": bus_handler,
}


def log(count: int, calls: list[float]) -> None:
    """Log that many records, and add the duration of each call in seconds."""
    for number in range(count):
        begin = perf_counter()
        logger.info("record %d of %s", number, "the benchmark")
        calls.append(perf_counter() - begin)


def measure(way: str, threads: int) -> tuple[float, float, float, float]:
    """Return records per second, CPU time per record, and p50 and p99 of a call; in us."""
    calls: list[list[float]] = [[] for _ in range(threads)]
    running = [Thread(target=log, args=(RECORDS // threads, own)) for own in calls]
    begin, cpu = perf_counter(), process_time()
    context: object = WAYS[way]()
    with context as handler:  # type: ignore[attr-defined]
        logger.addHandler(handler)
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        logger.removeHandler(handler)
    elapsed, cpu = perf_counter() - begin, process_time() - cpu
    sorted_calls = sorted(seconds for own in calls for seconds in own)
    p50, p99 = (sorted_calls[int(len(sorted_calls) * q)] * 1e6 for q in (0.5, 0.99))
    return RECORDS / elapsed, cpu / RECORDS * 1e6, p50, p99


def main() -> None:
    """Print the table."""
    logger.propagate = False
    logger.setLevel(logging.INFO)
    print(f"\nLogging, {RECORDS:,} records, median of {ROUNDS} rounds:")
    print(f"{'':36}{'records/s':>10}{'CPU us':>8}{'p50 us':>8}{'p99 us':>8}")
    for threads in (1, 4):
        rounds = [{way: measure(way, threads) for way in WAYS} for _ in range(ROUNDS)]
        for way in WAYS:
            rate, *rest = (median(column) for column in zip(*(r[way] for r in rounds), strict=True))
            label = f"{way}, {threads} thread{'s' * (threads > 1)}"
            print(f"{label:36}{rate:10,.0f}" + "".join(f"{value:8.1f}" for value in rest))


if __name__ == "__main__":
    main()
