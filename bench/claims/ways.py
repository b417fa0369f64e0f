"""The contestants: each gets the handlers of each type, and calls them in its own way."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from time import sleep
from typing import Any, ClassVar

from brummerbus import BackpressurePolicy, EventBus

Handler = Callable[[Any], None]
Routes = dict[str, list[Handler]]


class Way:
    """The common base.

    Attributes:
        label: As printed.
        reason: Why a handler was not called, if one was not.
    """

    label: ClassVar[str]

    def __init__(self, routes: Routes, workers: int, queue: int) -> None:
        self.routes = routes
        self.reason = ""
        self._refused = count().__next__

    def publish(self, event: Any) -> None:
        """Have the event's handlers called."""
        raise NotImplementedError

    def lost(self) -> int:
        """Return the number of handlers not called; called once, after `finish`."""
        return self._refused()

    def finish(self) -> None:
        """Wait until all handlers have returned."""
        raise NotImplementedError


class ThreadPerEvent(Way):
    """One thread for each handler and event: the study's starting point."""

    label = "thread per event"

    def publish(self, event: Any) -> None:
        """Start the threads."""
        for handler in self.routes[event.type]:
            try:
                threading.Thread(target=handler, args=(event,), daemon=True).start()
            except RuntimeError as error:  # noqa: PERF203, costs nothing unless it happens
                self._refused()
                self.reason = str(error)

    def finish(self) -> None:
        """Wait until no other thread is left; the publishers have ended."""
        while threading.active_count() > 1:
            sleep(0.005)


class Executor(Way):
    """The pool of the standard library."""

    label = "ThreadPoolExecutor"

    def __init__(self, routes: Routes, workers: int, queue: int) -> None:
        super().__init__(routes, workers, queue)
        self.executor = ThreadPoolExecutor(workers)

    def publish(self, event: Any) -> None:
        """Submit each handler."""
        for handler in self.routes[event.type]:
            self.executor.submit(handler, event)

    def finish(self) -> None:
        """Shut down, which waits for all calls."""
        self.executor.shutdown()


class Bus(Way):
    """The bus; publishers wait for free slots without limit, so that it does all the work."""

    label = "brummerbus"

    def __init__(self, routes: Routes, workers: int, queue: int) -> None:
        super().__init__(routes, workers, queue)
        self.bus = EventBus(workers=workers, queue_size=queue, policy=BackpressurePolicy.BLOCK)
        for type_, handlers in routes.items():
            for handler in handlers:
                self.bus.subscribe(type_, handler)

    def publish(self, event: Any) -> None:
        """Publish."""
        self.bus.publish(event)

    def finish(self) -> None:
        """Drain and stop."""
        self.bus.stop(timeout=None)

    def lost(self) -> int:
        """Return the bus's own count."""
        return self.bus.stats().dropped


NAIVE, OURS = ThreadPerEvent.label, Bus.label
WAYS = {way.label: way for way in (ThreadPerEvent, Executor, Bus)}
