"""Publishing an event with options, or on a route with a plan."""

from typing import Any

from brummerbus._core import queue as c
from brummerbus._core._ext import Route
from brummerbus._core.engine import Engine
from brummerbus._core.plan import OnDone, Plan
from brummerbus._core.subscriptions import Subscription
from brummerbus._core.taps import hand_over


def publish_planned(
    engine: Engine,
    route: Route,
    event: Any,
    timeout: float | None,
    expires: float | None,
    on_done: OnDone | None,
    *,
    may_wait: bool = True,
) -> bool:
    """Publish one event with options, or on a route with a plan.

    Raises:
        QueueFull, BusClosed: As `EventBus.publish`.
        NoRoom: It would have to wait, and may not; nothing has changed.
        Gone: The queue is that of another process.
        Exception: What a key raises; nothing has changed then.
    """
    plan: Plan | None = route.plan
    until = None if timeout is None or timeout == float("inf") else c.clock() + c.ns(timeout)
    if plan is not None and plan.once:
        accepted = _publish_once(engine, route, event, timeout, expires, on_done, may_wait=may_wait)
    else:
        accepted = _push(engine, route, event, timeout, expires, on_done, may_wait=may_wait)
    if accepted and plan is not None and plan.taps:
        hand_over(plan.taps, event, until, may_wait=may_wait)
    return accepted


def _publish_once(
    engine: Engine,
    route: Route,
    event: Any,
    timeout: float | None,
    expires: float | None,
    on_done: OnDone | None,
    *,
    may_wait: bool,
) -> bool:
    """Publish an event to subscriptions some of which take a single one."""
    publish = object()
    claimed: list[Subscription] = []
    taken: list[Subscription] = []
    for one in route.recipients:
        if one.options.once:
            (claimed if one.claim(publish) else taken).append(one)
    if taken:
        route = engine.routes.without(route, taken)
    accepted = False
    try:
        accepted = _push(engine, route, event, timeout, expires, on_done, may_wait=may_wait)
    finally:
        for one in claimed:
            if accepted:
                one.cancel()
            else:
                one.release_claim()
    return accepted


def _push(
    engine: Engine,
    route: Route,
    event: Any,
    timeout: float | None,
    expires: float | None,
    on_done: OnDone | None,
    *,
    may_wait: bool,
) -> bool:
    ticket = None
    if route.recipients:
        ticket = engine.tickets.make(route, event, expires, on_done)
    result = route.push(event if ticket is None else ticket)
    if result == c.FULL and engine.purge():
        result = route.push(event if ticket is None else ticket)
    if result == c.CLOSED and ticket is None:
        raise engine.admission.closed_error()
    if result == c.ACCEPTED:
        if ticket is None and on_done is not None:
            engine.hooks.done(on_done, event, 0, [], [])
        if route.plan is not None and route.plan.unrouted:
            engine.hooks.unrouted(event)
        return True
    if not may_wait:
        engine.admission.check_no_wait(result)
    return engine.admission.admit(route, event, timeout, ticket)
