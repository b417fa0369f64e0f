"""Many events in one call to the ring."""

from array import array
from collections.abc import Callable, Iterable, Mapping
from itertools import repeat
from typing import Any

from brummerbus.admission import Admission, Decision
from brummerbus.errors import QueueFull
from brummerbus.events import Event
from brummerbus.pool import Pool
from brummerbus.routing import Echo, Route, Subscription

BATCH = 256
"""Events taken from the iterable at a time: enough to make the call's share of the cost nothing,
few enough to hold the ring's mutex for some 20 us at most."""

Recipients = tuple[Subscription | Echo, ...]
Conclude = Callable[[Decision, Any, Route], bool]


class Batch:
    """Up to `BATCH` events on their way into one ring."""

    def __init__(self, pool: Pool, admission: Admission) -> None:
        self._ring = pool.ring
        self._table = pool.table
        self._admission = admission
        self._handles: list[int] = []
        self._routes: list[Route] = []

    def enter(
        self,
        events: Iterable[Any],
        routes: Mapping[Any, Route],
        find: Callable[[Any], tuple[Route, Recipients]],
    ) -> int:
        """Enter events into the pool's table; how many had no subscription.

        Args:
            events: The events.
            routes: Routes of plain events that may be used as they are.
            find: Says the route and the recipients of any other event.
        """
        unrouted = 0
        table = self._table
        # A handle is noted before it is entered: what an exception leaves can then be found.
        note_handle = self._handles.append
        note_route = self._routes.append
        for event in events:
            route = routes.get(event.type) if type(event) is Event else None
            if route is not None and route.only is not None:
                handle = route.draw()
                note_route(route)
                note_handle(handle)
                table[handle] = (event, route.only)
                continue
            route, recipients = find(event)
            if not recipients:
                unrouted += 1
                continue
            handle = route.draw()
            note_route(route)
            note_handle(handle)
            numbers = range(handle, handle + len(recipients))
            table.update(zip(numbers, zip(repeat(event), recipients)))  # noqa: B905
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
                handle, route = self._handles[tried], self._routes[tried]
                event = self._table[handle][0]
                decision = self._admission.admit(handle, len(route.subscriptions), timeout)
                tried += 1
                accepted += conclude(decision, event, route)
        except QueueFull as full:
            for handle, route in zip(self._handles[tried:], self._routes[tried:], strict=True):
                self._admission.forget(handle, len(route.subscriptions))  # never offered
            full.accepted += accepted
            raise
        return accepted

    def withdraw(self) -> None:
        """After any other exception: forget what was not accepted."""
        for handle, route in zip(self._handles, self._routes):  # noqa: B905
            self._admission.withdraw(handle, len(route.subscriptions))
