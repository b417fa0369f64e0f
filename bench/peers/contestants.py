"""The contestants: brummerbus, and the standard library's means for the same job.

Each does what its users would write, in its simplest form: no result is requested, `task_done` is
not called, and a worker thread catches a handler's exceptions with one `except`. A contestant is
constructed with its threads, a publisher calls `publish`, and `finish` returns when all events are
handled and the threads have ended.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count, islice
from multiprocessing.pool import ThreadPool
from queue import PriorityQueue, Queue, SimpleQueue
from threading import Thread
from typing import Any, ClassVar

from brummerbus import BackpressurePolicy, EventBus
from brummerbus.executor import BusExecutor
from brummerbus.ringqueue import RingQueue

TYPE = "bench.event"
PRIORITY = 2
BATCH = 64

Handler = Callable[[Any], None]
logger = logging.getLogger("bench")


class Contestant:
    """The common base.

    Attributes:
        label: As printed.
        share: Fraction of a shape's events; smaller for contestants that need much longer.
        bounded: Whether it respects the shape's queue size.
        kinds: The kinds of shapes in which it takes part; empty: all.
        publish: Called by publishers: with one event, or in batches with a list of them.
    """

    label: ClassVar[str]
    share: ClassVar[float] = 1.0
    bounded: ClassVar[bool] = False
    kinds: ClassVar[tuple[str, ...]] = ()
    publish: Callable[[Any], object]

    def __init__(self, handler: Handler, workers: int, size: int) -> None:
        raise NotImplementedError

    def calls(self, events: Iterable[Any]) -> Iterable[Any]:
        """Return the arguments of the successive calls of `publish`."""
        return events

    def lost(self) -> int:
        """Return the number of events that it reports as dropped, after `finish`."""
        return 0

    def finish(self) -> None:
        """Return when all events are handled and no thread is left."""
        raise NotImplementedError


# ---- brummerbus ------------------------------------------------------------------------------


class Bus(Contestant):
    """One event per call."""

    label = "brummerbus"
    bounded = True
    settings: ClassVar[dict[str, Any]] = {"policy": BackpressurePolicy.BLOCK}

    def __init__(self, handler: Handler, workers: int, size: int) -> None:
        self.bus = EventBus(workers=workers, queue_size=size, **self.settings)
        self.bus.subscribe(TYPE, handler)
        self.publish = self.bus.publish

    def lost(self) -> int:
        """Return the bus's own count."""
        return self.bus.stats().dropped

    def finish(self) -> None:
        """Drain and stop."""
        self.bus.stop(timeout=None)


class BusInBatches(Bus):
    """64 events per call."""

    label = "brummerbus, 64 a call"

    def __init__(self, handler: Handler, workers: int, size: int) -> None:
        super().__init__(handler, workers, size)
        self.publish = self.bus.publish_many

    def calls(self, events: Iterable[Any]) -> Iterator[list[Any]]:
        """Return lists of 64."""
        source = iter(events)
        while batch := list(islice(source, BATCH)):
            yield batch


class BusUnmonitored(Bus):
    """Shows the cost of monitoring."""

    label = "brummerbus, unmonitored"
    kinds = ("throughput", "filling")
    settings: ClassVar[dict[str, Any]] = {**Bus.settings, "monitoring": False}


class BusDropping(Bus):
    """The other extreme: a publisher that is never delayed, at the price of events."""

    label = "brummerbus, drop oldest"
    kinds = ("burst",)
    settings: ClassVar[dict[str, Any]] = {
        "policy": BackpressurePolicy.DROP_OLDEST,
        "publish_timeout": 0,
    }


# ---- queues and threads ----------------------------------------------------------------------


class QueueAndThreads(Contestant):
    """A queue, and threads that get from it until they get the sentinel."""

    def __init__(self, handler: Handler, workers: int, size: int) -> None:
        self.queue = self.make(size)
        self.publish = self.queue.put
        self.threads = [
            Thread(target=self.work, args=(self.queue.get, handler), daemon=True)
            for _ in range(workers)
        ]
        for thread in self.threads:
            thread.start()

    def make(self, size: int) -> Any:
        """Create the queue."""
        raise NotImplementedError

    def work(self, get: Callable[[], Any], handler: Handler) -> None:
        """Call the handler with one event after the other."""
        while (event := get()) is not None:
            try:
                handler(event)
            except Exception:  # noqa: PERF203, costs nothing unless it happens
                logger.exception("the handler failed")

    def stop_sign(self) -> Any:
        """Return the sentinel that ends a worker."""
        return None

    def finish(self) -> None:
        """Put a sentinel for each worker after the last event."""
        for _ in self.threads:
            self.queue.put(self.stop_sign())
        for thread in self.threads:
            thread.join()


class Barest(QueueAndThreads):
    """The C queue alone: unbounded, one handler, no exception is caught."""

    label = "SimpleQueue, barest"

    def make(self, size: int) -> Any:
        """Create the queue."""
        return SimpleQueue()

    def work(self, get: Callable[[], Any], handler: Handler) -> None:
        """Call the handler with one event after the other."""
        for event in iter(get, None):
            handler(event)


class Simple(QueueAndThreads):
    """The minimum that a user needs on top of the C queue: several handlers, one `except`."""

    label = "SimpleQueue"

    def __init__(self, handler: Handler, workers: int, size: int) -> None:
        super().__init__(handler, workers, size)
        self.handler = handler
        self.publish = self.put

    def make(self, size: int) -> Any:
        """Create the queue."""
        return SimpleQueue()

    def put(self, event: Any) -> None:
        """Put the event with the handlers to call."""
        self.queue.put((self.handler, event))

    def work(self, get: Callable[[], Any], handler: Handler) -> None:
        """Call the handlers of each event, until the sentinel."""
        while True:
            function, event = get()
            if event is None:
                return
            try:
                function(event)
            except Exception:
                logger.exception("the handler failed")

    def stop_sign(self) -> Any:
        """Return an entry without an event."""
        return (None, None)


class Bounded(QueueAndThreads):
    """The usual queue."""

    label = "Queue"
    share = 0.2
    bounded = True

    def make(self, size: int) -> Any:
        """Create the queue."""
        return Queue(size)


class Ring(QueueAndThreads):
    """The same on the bus's own queue: the program is that of `Bounded`, but for one import."""

    label = "RingQueue"
    bounded = True

    def make(self, size: int) -> Any:
        """Create the queue."""
        return RingQueue(size)


class Prioritised(QueueAndThreads):
    """The queue with priorities; entries have a number, so that events are not compared."""

    label = "PriorityQueue"
    share = 0.1
    bounded = True

    def __init__(self, handler: Handler, workers: int, size: int) -> None:
        self.numbers = count()
        super().__init__(handler, workers, size)
        self.publish = self.put

    def make(self, size: int) -> Any:
        """Create the queue."""
        return PriorityQueue(size)

    def put(self, event: Any) -> None:
        """Put the event after all others of its priority."""
        self.queue.put((-PRIORITY, next(self.numbers), event))

    def work(self, get: Callable[[], Any], handler: Handler) -> None:
        """Call the handler with one event after the other."""
        while (event := get()[2]) is not None:
            try:
                handler(event)
            except Exception:  # noqa: PERF203, as above
                logger.exception("the handler failed")

    def stop_sign(self) -> Any:
        """Return an entry that sorts last."""
        return (float("inf"), next(self.numbers), None)


# ---- pools -----------------------------------------------------------------------------------


class Executor(Contestant):
    """The pool that most programs use."""

    label = "ThreadPoolExecutor"
    share = 0.1

    def __init__(self, handler: Handler, workers: int, size: int) -> None:
        self.executor = ThreadPoolExecutor(workers)
        self.publish = partial(self.executor.submit, handler)

    def finish(self) -> None:
        """Shut down, which waits for all calls."""
        self.executor.shutdown()


class BusAsExecutor(Executor):
    """The same on a bus, which blocks at the bound as the other bounded contestants do."""

    label = "BusExecutor"
    bounded = True

    def __init__(self, handler: Handler, workers: int, size: int) -> None:
        self.executor = BusExecutor(workers, queue_size=size, policy=BackpressurePolicy.BLOCK)
        self.publish = partial(self.executor.submit, handler)


class Pool(Contestant):
    """The pool of multiprocessing, with threads."""

    label = "ThreadPool"
    share = 0.1

    def __init__(self, handler: Handler, workers: int, size: int) -> None:
        self.pool = ThreadPool(workers)
        self.handler = handler
        self.publish = self.apply

    def apply(self, event: Any) -> None:
        """Submit one event to the pool."""
        self.pool.apply_async(self.handler, (event,))

    def finish(self) -> None:
        """Close and wait."""
        self.pool.close()
        self.pool.join()


class ThreadPerEvent(Contestant):
    """One thread per handler and event, as Brummer's bus did with goroutines."""

    label = "thread per event"
    share = 0.01

    def __init__(self, handler: Handler, workers: int, size: int) -> None:
        self.handler = handler
        self.threads: list[Thread] = []
        self.publish = self.start

    def start(self, event: Any) -> None:
        """Start a thread for one event."""
        thread = Thread(target=self.handler, args=(event,), daemon=True)
        thread.start()
        self.threads.append(thread)

    def finish(self) -> None:
        """Wait for all threads."""
        for thread in self.threads:
            thread.join()
