"""Handlers that publish what handlers publish, and the number of handlers inside each other."""

import threading

from brummerbus import Event, EventBus


class Nesting:
    """Counts the handlers that a thread has open inside each other, and all calls."""

    def __init__(self) -> None:
        self._here = threading.local()
        self._lock = threading.Lock()
        self.calls = 0
        self.deepest = 0

    def __enter__(self) -> None:
        self._here.depth = getattr(self._here, "depth", 0) + 1
        with self._lock:
            self.calls += 1
            self.deepest = max(self.deepest, self._here.depth)

    def __exit__(self, *_: object) -> None:
        self._here.depth -= 1


def tree(bus: EventBus, height: int, nesting: Nesting, children: int = 2) -> None:
    """Subscribe a handler that publishes an event's children, down to the given height."""

    def grow(event: Event) -> None:
        with nesting:
            if event.data < height:
                for _ in range(children):
                    bus.publish(Event("node", event.data + 1))

    bus.subscribe("node", grow)
