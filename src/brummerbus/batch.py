"""Many events in one call to the ring."""

from array import array
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from brummerbus.admission import Admission, Decision
from brummerbus.deliveries import Deliveries
from brummerbus.errors import BusClosed, QueueFull
from brummerbus.events import Event
from brummerbus.routing import Echo, Route, Subscription

BATCH = 256
"""Events taken from the iterable at a time: enough to make the call's share of the cost nothing,
few enough to hold the ring's mutex for some 20 us at most."""

Recipients = tuple[Subscription | Echo, ...]
Conclude = Callable[[Decision, Any, int], bool]


class Batch:
    """Up to `BATCH` events on their way into one ring."""

    def __init__(self, deliveries: Deliveries, admission: Admission) -> None:
        self._ring = deliveries.ring
        self._table = deliveries.table
        self._admission = admission
        self._handles: list[int] = []
        self._counts: dict[int, int] = {}  # deliveries, where they are several

    def enter(
        self,
        events: Iterable[Any],
        single: Mapping[str, tuple[Callable[[], int], Subscription]],
        find: Callable[[Any], tuple[Route, Recipients]],
    ) -> int:
        """Enter events into the table; how many had no subscription.

        Args:
            events: The events.
            single: Where plain events go that have one subscription.
            find: Says the route and the recipients of any other event.
        """
        unrouted = 0
        table = self._table
        # A handle is noted before it is entered: what an exception leaves can then be found.
        note = self._handles.append
        for event in events:
            if type(event) is Event and event.type in single:
                draw, subscription = single[event.type]
                handle = draw()
                note(handle)
                table[handle] = (event, subscription)
                continue
            route, recipients = find(event)
            count = len(recipients)
            if not count:
                unrouted += 1
                continue
            handle = route.draw()
            if count > 1:
                self._counts[handle] = count
            note(handle)
            for number, recipient in enumerate(recipients, start=handle):
                table[number] = (event, recipient)
        return unrouted

    def publish(self, timeout: float | None, conclude: Conclude) -> int:
        """Offer the events in order; how many were accepted. `conclude` may raise."""
        handles = array("q", self._handles)
        accepted = tried = 0
        try:
            while tried < len(handles):
                pushed = self._ring.push_many(handles[tried:] if tried else handles)
                if pushed > 0:
                    accepted += pushed
                    tried += pushed
                if tried == len(handles):
                    break
                handle = handles[tried]
                count = self._count(handle)
                event = self._table[handle][0]
                decision = self._admission.admit(handle, count, timeout)
                tried += 1
                accepted += conclude(decision, event, count)
        except (QueueFull, BusClosed) as error:
            for handle in handles[tried:]:
                self._admission.forget(handle, self._count(handle))  # never offered
            # What was accepted belongs to the ring, or to who has just evicted or discarded it and
            # is about to tell: it must not be withdrawn.
            self._handles.clear()
            if isinstance(error, QueueFull):
                error.accepted += accepted
            raise
        return accepted

    def withdraw(self) -> None:
        """After any other exception: forget what was not accepted."""
        for handle in self._handles:
            self._admission.withdraw(handle, self._count(handle))

    def _count(self, handle: int) -> int:
        return self._counts.get(handle, 1)
