"""Many events in one call to the ring."""

from array import array
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

from brummerbus.admission import Admission, Decision
from brummerbus.errors import BusClosed, QueueFull
from brummerbus.pool import Pool
from brummerbus.routing import Echo, Route, Subscription

BATCH = 256
"""Events taken from the iterable at a time: enough to make the call's share of the cost nothing,
few enough to hold the ring's mutex for some 20 us at most."""

Conclude = Callable[[Decision, Any, Route], bool]


class Batch:
    """Up to `BATCH` events on their way into one ring."""

    def __init__(self, pool: Pool, admission: Admission) -> None:
        self._ring = pool.ring
        self._table = pool.table
        self._admission = admission
        self._handles = array("q")
        self._events: list[tuple[int, int, Any, Route]] = []  # handle, deliveries, event, route

    def add(self, event: Any, route: Route, subscriptions: Sequence[Subscription | Echo]) -> None:
        """Enter an event into the pool's table; it has at least one subscription."""
        handle = route.draw()
        count = len(subscriptions)
        # Noted first: what an exception leaves in the table can then be found again.
        self._events.append((handle, count, event, route))
        self._handles.append(handle)
        if count == 1:
            self._table[handle] = (event, subscriptions[0])
        else:
            numbers = range(handle, handle + count)
            self._table.update(zip(numbers, zip(repeat(event), subscriptions)))  # noqa: B905

    def publish(self, timeout: float | None, conclude: Conclude) -> int:
        """Offer the events in order; how many were accepted. `conclude` may raise."""
        accepted = tried = 0
        try:
            while tried < len(self._events):
                pushed = self._ring.push_many(self._handles[tried:])
                if pushed > 0:
                    accepted += pushed
                    tried += pushed
                if tried == len(self._events):
                    break
                handle, count, event, route = self._events[tried]
                decision = self._admission.admit(handle, count, timeout)
                tried += 1
                accepted += conclude(decision, event, route)
        except (QueueFull, BusClosed) as error:
            for handle, count, _, _ in self._events[tried:]:
                self._admission.forget(handle, count)  # they were never offered
            if isinstance(error, QueueFull):
                error.accepted += accepted
            raise
        return accepted

    def withdraw(self) -> None:
        """After any other exception: forget what was not accepted."""
        for handle, count, _, _ in self._events:
            self._admission.withdraw(handle, count)
