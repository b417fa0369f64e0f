"""What a publish does beyond handing its event to the queue.

Most routes have no plan, and most publishes no options; then C does it all. A route whose
subscriptions ask for more has a plan, and such a publish goes through here: the event gets a ticket
(`csrc/python/ticket.c`), which is pushed in its place.
"""

from collections.abc import Iterable
from contextvars import copy_context
from typing import Any, NamedTuple

from brummerbus._core import queue as c
from brummerbus._core._ext import Buffer, Route, Ticket, purge
from brummerbus._core.hooks import Hooks, OnDone, Runs
from brummerbus._core.subscriptions import Subscription
from brummerbus._core.taps import AnyTap, hand_over
from brummerbus._policies import DropReason


class Plan(NamedTuple):
    """What the subscriptions of a route, or the bus, ask for.

    Attributes:
        keyed: Whether one of them has a key.
        grouped: Whether deliveries of one wait in lanes.
        once: Whether one takes a single event.
        context: Whether handlers run in the publisher's context.
        taps: Which taps get the event, once it was accepted.
        unrouted: Whether nothing matches, and a hook is to be called for that.
        traced: Whether `Hooks.trace` is called around it.
    """

    keyed: bool
    grouped: bool
    once: bool
    context: bool
    taps: tuple[AnyTap, ...]
    unrouted: bool
    traced: bool


def plan_for(
    recipients: tuple[Subscription, ...], taps: tuple[AnyTap, ...], hooks: Hooks, *, context: bool
) -> Plan | None:
    """Return the plan of a route, or None if it needs none."""
    keyed = grouped = once = False
    for one in recipients:  # no generator: it would report a lack of memory on standard error
        keyed = keyed or one.options.key is not None
        grouped = grouped or one.options.are_grouped
        once = once or one.options.once
    plan = Plan(
        keyed=keyed,
        grouped=grouped,
        once=once,
        context=context and bool(recipients),
        taps=taps,
        unrouted=hooks.on_unrouted is not None and not recipients and not taps,
        traced=hooks.trace is not None and bool(recipients),
    )
    return plan if any(plan) else None


def end_taken(subscriptions: Iterable[Subscription]) -> None:
    """End those that have had their single event; an interrupt may have kept others from it."""
    for one in subscriptions:
        if one.is_taken:
            one.cancel()


def after_turn(route: Route, event: Any) -> None:
    """Do what is left for an event that was accepted when it was its turn, in the timer thread."""
    plan: Plan | None = route.plan
    if plan is not None:
        if plan.once:
            end_taken(route.recipients)
        hand_over(plan.taps, event, may_wait=False)


def buffers_of(plan: Plan | None, taps: tuple[AnyTap, ...]) -> tuple[Buffer, ...]:
    """Return the taps of a route if they are all of its plan, and streams: then C fills them."""
    if plan is None or any(plan._replace(taps=())):
        return ()
    buffers = tuple([tap for tap in taps if isinstance(tap, Buffer)])
    return buffers if len(buffers) == len(taps) else ()


class Tickets:
    """Makes the tickets of one process."""

    def __init__(self, queue: c.Queue, hooks: Hooks) -> None:
        self._queue = queue
        self._hooks = hooks
        self.can_expire = False
        """Whether an event was published that can expire."""

    def make(
        self,
        route: Route,
        event: Any,
        expires: float | None,
        on_done: OnDone | None,
        context: Runs | None = None,
    ) -> Ticket:
        """Return the ticket of an event, for a route to at least one recipient.

        If what follows raises, `Ticket.release` it: tracebacks keep it alive.
        """
        plan: Plan | None = route.plan
        due = 0
        if expires is not None:
            self.can_expire = True
            due = self._queue.clock() + c.ns(expires)
        if context is None and plan is not None and plan.context:
            context = copy_context()
        return Ticket(route, event, due, context, self._hooks, on_done)

    def assign_lanes(self, ticket: Ticket, route: Route, event: Any) -> None:
        """Put the deliveries to subscriptions with a key into the lanes of those.

        Raises:
            Exception: What computing, hashing or comparing a key raises.
        """
        for index, one in enumerate(route.recipients):
            if one.options.key is not None:
                one.lanes(self._queue.forks).assign(ticket, index, one, event)

    def purge(self) -> bool:
        """Drop what has expired, and report it; whether there was any."""
        found = False
        while self.can_expire:
            lost, n = purge(self._queue.address)
            if not n:
                break
            found = True
            self._hooks.dropped(lost, DropReason.EXPIRED, first=False)
        return found
