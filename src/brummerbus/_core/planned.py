"""Publishing an event with options, or on a route with a plan."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from brummerbus._core import queue as c
from brummerbus._core._ext import Route, Ticket
from brummerbus._core.admission import Gone, NoRoom
from brummerbus._core.engine import Engine
from brummerbus._core.hooks import OnDone, Runs
from brummerbus._core.plan import Plan, end_taken
from brummerbus._core.subscriptions import Subscription
from brummerbus._core.taps import hand_over

Withdraw = Callable[[], bool]


def never() -> bool:
    """As `withdraw`: do not begin to wait, whatever the policy."""
    return True


class Wait(NamedTuple):
    """How a publisher waits for free slots.

    Attributes:
        timeout: Seconds; None: by the standstill rule.
        may_wait: The timer thread must neither wait nor run handlers.
        withdraw: As for `Admission.admit`; or `never`.
    """

    timeout: float | None
    may_wait: bool
    withdraw: Withdraw | None


def publish_planned(
    engine: Engine,
    route: Route,
    event: Any,
    timeout: float | None,
    expires: float | None,
    on_done: OnDone | None,
    *,
    may_wait: bool = True,
    withdraw: Withdraw | None = None,
) -> bool:
    """Publish one event with options, or on a route with a plan.

    Raises:
        QueueFull, BusClosed: As `EventBus.publish`.
        NoRoom: It would have to wait, and may not, or was withdrawn.
        Gone: The queue is that of another process.
        Exception: What a key raises; nothing has changed then.
    """
    plan: Plan | None = route.plan
    until = None
    if timeout is not None and timeout != float("inf"):
        until = engine.queue.clock() + c.ns(timeout)
    wait = Wait(timeout, may_wait, withdraw)
    trace = engine.hooks.trace if plan is not None and plan.traced else None
    if trace is None:
        accepted = _publish(engine, route, event, wait, expires, on_done, None)
    else:
        options = wait, expires, on_done
        accepted = trace(event, partial(_publish, engine, route, event, *options))
    if accepted and plan is not None and plan.taps:
        hand_over(plan.taps, event, until, may_wait=may_wait)
    return accepted


def _publish(
    engine: Engine,
    route: Route,
    event: Any,
    wait: Wait,
    expires: float | None,
    on_done: OnDone | None,
    context: Runs | None,
) -> bool:
    while route.recipients:
        ticket = engine.tickets.make(route, event, expires, on_done, context)
        try:
            taken = _claim(route, ticket)
            if not taken:
                return _publish_ticket(engine, route, event, wait, ticket)
        finally:
            ticket.release()  # nothing, if the event was accepted
        route = engine.routes.without(route, taken)
    return _publish_unrouted(engine, route, event, on_done)


def _claim(route: Route, ticket: Ticket) -> list[Subscription]:
    """Claim the subscriptions that take a single event; return those that another event has."""
    if route.plan is None or not route.plan.once:
        return []
    recipients = enumerate(route.recipients)
    taken = [one for i, one in recipients if one.options.once and not ticket.claim(i)]
    end_taken(taken)
    return taken


def _publish_ticket(
    engine: Engine,
    route: Route,
    event: Any,
    wait: Wait,
    ticket: Ticket,
) -> bool:
    plan: Plan | None = route.plan
    if plan is not None and plan.keyed:
        engine.tickets.assign_lanes(ticket, route, event)
    result = route.push(ticket)
    if result == c.FULL and engine.tickets.purge():
        result = route.push(ticket)
    accepted = result == c.ACCEPTED
    if not accepted:
        if not wait.may_wait:
            accepted = engine.admission.admit_without_wait(route, event, ticket)
        elif result == c.FULL and wait.withdraw is never:
            raise NoRoom
        else:
            accepted = engine.admission.admit(route, event, wait.timeout, ticket, wait.withdraw)
    if plan is not None and plan.once:
        end_taken(route.recipients)
    return accepted


def _publish_unrouted(engine: Engine, route: Route, event: Any, on_done: OnDone | None) -> bool:
    result = route.push(event)
    if result == c.CLOSED:
        raise engine.admission.closed_error()
    if result == c.GONE:
        raise Gone
    if on_done is not None:
        engine.hooks.done(on_done, event)
    if route.plan is not None and route.plan.unrouted:
        engine.hooks.unrouted(event)
    return True
