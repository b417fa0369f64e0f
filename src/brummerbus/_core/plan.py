"""What a publish does beyond handing its event to the queue.

Most routes have no plan, and most publishes no options; then C does it all. A route whose
subscriptions ask for more has a plan, and such a publish goes through here: the event gets a ticket
(`csrc/python/ticket.c`), which is pushed in its place.
"""

from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, NamedTuple

from brummerbus._core import queue as c
from brummerbus._core._ext import Lane, Route, Ticket
from brummerbus._core.hooks import Hooks
from brummerbus._core.lanes import LaneTable
from brummerbus._core.options import key_function
from brummerbus._core.outcome import Outcome
from brummerbus._core.subscriptions import Subscription
from brummerbus._core.taps import Tap

OnDone = Callable[[Outcome], object]


class Plan(NamedTuple):
    """What the subscriptions of a route, or the bus, ask for.

    Attributes:
        keyed: Whether one of them has a key.
        grouped: Whether deliveries of one wait in lanes.
        once: Whether one takes a single event.
        context: Whether handlers run in the publisher's context.
        taps: Which taps get the event, once it was accepted.
        unrouted: Whether nothing matches, and a hook is to be called for that.
    """

    keyed: bool
    grouped: bool
    once: bool
    context: bool
    taps: tuple[Tap, ...]
    unrouted: bool


def plan_for(
    recipients: tuple[Subscription, ...],
    taps: tuple[Tap, ...],
    *,
    context: bool,
    on_unrouted: bool,
) -> Plan | None:
    """Return the plan of a route, or None if it needs none."""
    options = [one.options for one in recipients]
    plan = Plan(
        keyed=any(o.key is not None for o in options),
        grouped=any(o.are_grouped for o in options),
        once=any(o.once for o in options),
        context=context and bool(recipients),
        taps=taps,
        unrouted=on_unrouted and not recipients and not taps,
    )
    return plan if any(plan) else None


class Tickets:
    """Makes the tickets of one process."""

    def __init__(self, hooks: Hooks, forks: int) -> None:
        self._hooks = hooks
        self._forks = forks
        self.can_expire = False
        """Whether any event was published that can expire."""

    def make(
        self, route: Route, event: Any, expires: float | None, on_done: OnDone | None
    ) -> Ticket:
        """Return the ticket of an event, for a route to at least one recipient.

        Raises:
            Exception: What computing, hashing or comparing a key raises. Nothing has changed then.
        """
        plan: Plan | None = route.plan
        due = 0
        if expires is not None:
            self.can_expire = True
            due = c.clock() + c.ns(expires)
        context: Context | None = copy_context() if plan is not None and plan.context else None
        if plan is None or not plan.keyed:
            return Ticket(route, event, due, context, self._hooks, on_done, None)
        lanes: list[Lane | None] = []
        try:
            for one in route.recipients:
                keyed = one.options.key is not None
                lanes.append(self._table(one).pinned(event) if keyed else None)
            return Ticket(route, event, due, context, self._hooks, on_done, tuple(lanes))
        except BaseException:
            for lane in lanes:
                if lane is not None:
                    lane.unpin()
            raise

    def _table(self, subscription: Subscription) -> LaneTable:
        table: LaneTable | None = subscription.lane_tables.get(self._forks)
        if table is None:
            key = subscription.options.key
            assert key is not None
            table = LaneTable(subscription, key_function(key))
            table = subscription.lane_tables.setdefault(self._forks, table)
        return table
