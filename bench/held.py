"""Buses whose worker can be blocked, so that publishing is timed alone, and their baseline."""

from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import Any

from brummerbus import BackpressurePolicy, Event, EventBus

EVENTS = 1_000
"""Events per round of each suite: a figure divided by this is the cost of one event."""

ROUNDS = 100


class Held:
    """A bus whose only worker can be blocked in a handler."""

    def __init__(self, **settings: Any) -> None:
        usual = {
            "workers": 1,
            "queue_size": 4 * EVENTS,
            "publish_timeout": 0,
            "policy": BackpressurePolicy.DROP_NEWEST,
        }
        self.bus = EventBus(**{**usual, **settings})
        self._entered = Semaphore(0)
        self._pass = Semaphore(0)
        self.bus.subscribe("hold", self._hold)

    def _hold(self, _: Any) -> None:
        self._entered.release()
        self._pass.acquire()

    def hold(self) -> None:
        """Block the worker from now on, with an empty queue."""
        self.bus.publish(Event("hold"), priority=1)
        self._entered.acquire()

    def let_go(self) -> None:
        """Let the worker handle everything, and wait for that."""
        self._pass.release()
        self.bus.flush()

    def end(self) -> None:
        """Stop the bus, whatever its worker is blocked by."""
        self.bus.stop(drain=False, timeout=0.01)
        self._pass.release(1_000)
        self.bus.stop()

    def empty(self) -> None:
        """Handle what is queued, and block the worker again."""
        self.let_go()
        self.hold()


class Baseline:
    """SimpleQueue with worker threads."""

    def __init__(self, workers: int = 1) -> None:
        self.queue: SimpleQueue[Any] = SimpleQueue()
        self.handled = Semaphore(0)
        self._threads = [Thread(target=self._work, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        get = self.queue.get
        while (item := get()) is not None:
            event, handler = item
            handler(event)

    def flush(self) -> None:
        """Wait until all items are handled; for one worker."""
        self.queue.put((None, lambda _: self.handled.release()))
        self.handled.acquire()

    def stop(self) -> None:
        """End the threads."""
        for _ in self._threads:
            self.queue.put(None)
        for thread in self._threads:
            thread.join()


def no_op(_: Any) -> None:
    """Do nothing."""
