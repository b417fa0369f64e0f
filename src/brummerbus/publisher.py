"""Publishing, in full: any object, any number of subscriptions, from anywhere.

`EventBus.publish` handles the common case itself, a plain event with one subscription and room in
the ring, and comes here for all others.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from threading import get_ident
from typing import Any

from brummerbus import ring as c
from brummerbus.admission import Admission, Decision
from brummerbus.arguments import check_timeout, shown
from brummerbus.backpressure import BackpressurePolicy
from brummerbus.batch import BATCH, Batch, Recipients
from brummerbus.config import EventBusConfig
from brummerbus.errors import BusClosed, QueueFull
from brummerbus.metrics import BusStats, bus_stats
from brummerbus.pool import Pool
from brummerbus.ring import ACCEPTED, push
from brummerbus.routing import Echo, Route, Router, Subscriptions

_RAISES = (
    BackpressurePolicy.REJECT,
    BackpressurePolicy.BLOCK,
    BackpressurePolicy.CALLER_RUNS,  # only beyond the overdraft of a handler that publishes
)


class Publisher:
    """The publishing side of a bus in one process."""

    def __init__(
        self,
        name: str,
        config: EventBusConfig,
        pool: Pool,
        subscriptions: Subscriptions,
        bus: Callable[[], Any],
    ) -> None:
        self._name = name
        self._config = config
        self.pool = pool
        self._deliveries = pool.deliveries
        self._table = pool.deliveries.table
        self._reporter = pool.deliveries.reporter
        self._reporting = self._reporter.reporting
        self._subscriptions = subscriptions
        self._bus = bus
        self._router = Router(pool.ring, config, subscriptions)
        self.admission = Admission(pool.deliveries, config)
        self.kinds = self._router.kinds
        self.route = self._router.route
        subscriptions.forget_routes()  # into the ring of another process

    def publish(self, event: Any, priority: int | None, timeout: float | None) -> bool:
        """Publish any object to any number of subscriptions, from anywhere."""
        priority, timeout = self._check_priority(priority), _check_limit(timeout)
        route = self.route(event, priority)
        return self.deliver(event, route.draw, self._recipients(route), priority, timeout)

    def deliver(
        self,
        event: Any,
        draw: Callable[[], int],
        subscriptions: Recipients,
        priority: int | None,
        timeout: float | None,
    ) -> bool:
        """Publish to subscriptions that are known."""
        count = len(subscriptions)
        if not count:
            return self._publish_to_nobody()
        table = self._table
        handle = number = draw()
        try:
            for subscription in subscriptions:
                table[number] = (event, subscription)
                number += 1
            if not push(handle):  # ACCEPTED is 0
                return True
            decision = self.admission.admit(handle, count, timeout)
        except BaseException:
            self.admission.withdraw(handle, count)
            raise
        return self.conclude(decision, event, count, priority, timeout)

    def _recipients(self, route: Route) -> Recipients:
        """Return the route's subscriptions; for what a hook publishes, marked as such."""
        if self._reporting:
            generation = self._reporting.get(get_ident())
            if generation is not None:
                return tuple(Echo(s, generation) for s in route.subscriptions)
        return route.subscriptions

    def _publish_to_nobody(self) -> bool:
        ring = self.pool.ring
        if ring.state() != c.OPEN and not ring.gone() and not self._deliveries.inside():
            raise self._closed_error()
        ring.unrouted(1)
        return True

    def conclude(
        self,
        decision: Decision,
        event: Any,
        count: int,
        priority: int | None,
        timeout: float | None,
    ) -> bool:
        """Report what was lost, then return or raise as the contract says."""
        self._reporter.dropped(decision.lost, decision.reason, first=decision.first_of_streak)
        status = decision.status
        if status == ACCEPTED:
            return True
        if status == c.CLOSED:
            raise self._closed_error()
        if status == c.GONE:  # forked between drawing the handle and pushing it
            self._subscriptions.forget_routes()  # the parent's may have got in meanwhile
            accepted: bool = self._bus().publish(event, priority=priority, timeout=timeout)
            return accepted
        if self._config.policy not in _RAISES:
            return False
        if count > self._config.queue_size:
            raise QueueFull(
                f"{self._name}: the event has {count} deliveries, "
                f"the queue has room for {self._config.queue_size}"
            )
        raise QueueFull(f"{self._name}: the queue is full ({self._config.queue_size} deliveries)")

    def publish_many(
        self, events: Iterable[Any], priority: int | None, timeout: float | None
    ) -> int:
        """Publish the events in batches; how many were accepted."""
        priority, timeout = self._check_priority(priority), _check_limit(timeout)
        try:
            source = iter(events)
        except TypeError as error:
            raise TypeError(f"events must be an iterable, got {shown(events)}") from error
        accepted = 0
        try:
            while True:
                # A new list lets go of the last batch before the source is asked for more.
                some: list[Any] = []
                try:
                    some.extend(islice(source, BATCH))
                except Exception:  # what came before the source failed is published, as in a loop
                    if some:
                        self._publish_batch(some, priority, timeout)
                    raise
                if not some:
                    return accepted
                accepted += self._publish_batch(some, priority, timeout)
        except QueueFull as full:
            full.accepted += accepted
            raise

    def _publish_batch(self, events: list[Any], priority: int | None, timeout: float | None) -> int:
        def find(event: Any) -> tuple[Route, Recipients]:
            route = self.route(event, priority)
            recipients = self._recipients(route)
            if not recipients:
                self._publish_to_nobody()
            return route, recipients

        def conclude(decision: Decision, event: Any, count: int) -> bool:
            return self.conclude(decision, event, count, priority, timeout)

        plain = priority is None and not self._reporting
        batch = Batch(self._deliveries, self.admission)
        unrouted = 0
        try:
            unrouted = batch.enter(events, self._subscriptions.single if plain else {}, find)
            return unrouted + batch.publish(timeout, conclude)
        except QueueFull as full:
            full.accepted += unrouted
            raise
        except BaseException:
            batch.withdraw()
            raise

    def stats(self) -> BusStats:
        """Return all figures of one moment."""
        while True:  # until no type came up meanwhile that the snapshot counts but does not show
            known = max(self.kinds.copy().values()) + 1
            snapshot = self.pool.ring.snapshot(known, self.pool.workers)
            kinds = self.kinds.copy()
            if max(kinds.values()) < known:
                return bus_stats(snapshot, kinds, self.pool.sizing.copy())

    def _check_priority(self, priority: Any) -> int | None:
        if priority is None:
            return None
        top = self._config.priority_levels
        if isinstance(priority, bool) or not isinstance(priority, int):
            raise TypeError(f"priority must be an int from 1 to {top}, got {shown(priority)}")
        if not 1 <= priority <= top:
            raise ValueError(f"priority must be from 1 to {top}, got {shown(priority)}")
        return int(priority)

    def _closed_error(self) -> BusClosed:
        return BusClosed(f"{self._name}: the bus is stopped, or stopping")


def _check_limit(timeout: Any) -> float | None:
    return None if timeout is None else check_timeout("timeout", timeout)
