"""Publishing in a thread that runs an event loop: it does not wait."""

import asyncio
from typing import Any

import pytest

from brummerbus import BusClosed, Event, EventBus, QueueFull
from helpers.buses import BusFactory, fill
from helpers.handlers import Logged
from helpers.threads import InThread
from helpers.waiting import HANG


def in_loop(call: Any) -> Any:
    """Make a call in a thread that runs an event loop."""

    async def main() -> Any:
        return call()

    return InThread(lambda: asyncio.run(main())).result()


def full(factory: BusFactory, policy: str, **settings: Any) -> EventBus:
    """Create a bus with a full queue, whose worker is stuck, and whose publishers wait for ever."""
    bus = factory.bus(queue_size=2, policy=policy, publish_timeout=10 * HANG, **settings)
    bus.subscribe("a", lambda event: None)
    factory.hold(bus)
    fill(bus, 2)
    return bus


@pytest.mark.parametrize("timeout", [None, 10 * HANG, float("inf")])
@pytest.mark.parametrize(("policy", "accepted"), [("drop_oldest", True), ("drop_newest", False)])
def test_publish_in_a_loop_applies_the_policy_at_once(
    factory: BusFactory, policy: str, accepted: bool, timeout: float | None
) -> None:
    """Whatever time-out it is given: the loop's other tasks would wait with it."""
    bus = full(factory, policy)
    assert in_loop(lambda: bus.publish(Event("a"), timeout=timeout)) is accepted
    assert in_loop(lambda: bus.publish_many([Event("a")] * 3, timeout=timeout)) == 3 * accepted


@pytest.mark.parametrize("timeout", [None, 10 * HANG])
def test_where_the_policy_is_to_wait_the_queue_is_full_at_once(
    factory: BusFactory, timeout: float | None
) -> None:
    """The message says why, and what waits instead."""
    bus = full(factory, "block")
    with pytest.raises(QueueFull, match=r"runs an event loop.*await publish_async"):
        in_loop(lambda: bus.publish(Event("a"), timeout=timeout))


@pytest.mark.parametrize("option", [{"key": "type"}, {"max_concurrency": 1}])
def test_nor_do_events_for_grouped_subscriptions_wait(
    factory: BusFactory, option: dict[str, Any]
) -> None:
    """Which under `CALLER_RUNS` wait otherwise, as handlers in place would overtake."""
    bus = full(factory, "caller_runs")
    bus.subscribe("grouped", lambda event: None, **option)
    with pytest.raises(QueueFull, match="runs an event loop"):
        in_loop(lambda: bus.publish(Event("grouped")))


def test_a_bus_warns_once_of_the_wait_that_it_does_not_make(
    factory: BusFactory, logged: Logged
) -> None:
    """And not of a publish that would not have waited."""
    bus = full(factory, "drop_newest", name="mine")
    in_loop(lambda: bus.publish(Event("a"), timeout=0))
    assert "event loop" not in logged.text
    for _ in range(3):
        in_loop(lambda: bus.publish(Event("a")))
    assert logged.text.count("mine: publish() applies the policy DROP_NEWEST at once") == 1
    assert logged.text.count("await publish_async()") == 1


@pytest.mark.parametrize("event_type", ["subscribed", "unrouted"])
@pytest.mark.parametrize("option", [{}, {"timeout": HANG}, {"expires": HANG}])
def test_a_stopped_bus_says_nothing_of_a_full_queue(
    factory: BusFactory, logged: Logged, event_type: str, option: dict[str, Any]
) -> None:
    """It is closed: there was nothing to wait for."""
    bus = factory.bus()
    bus.subscribe("subscribed", lambda event: None)
    bus.stop()
    with pytest.raises(BusClosed):
        in_loop(lambda: bus.publish(Event(event_type), **option))
    assert logged.text == ""


def test_a_listener_that_blocks_does_not_hold_up_a_loop(factory: BusFactory) -> None:
    """It drops the event."""
    bus = factory.bus()
    listener = bus.listen("a", maxsize=1, policy="block")
    InThread(lambda: fill(bus, 1)).result()
    assert in_loop(lambda: bus.publish(Event("a"), timeout=10 * HANG))
    assert (listener.depth, listener.dropped) == (1, 1)


def test_a_handler_runs_in_no_loop_and_waits(factory: BusFactory) -> None:
    """Though its event was published in one."""
    bus = factory.bus()
    other = full(factory, "block")
    gate = factory.gate()
    other.subscribe("b", gate)
    results: list[bool] = []
    bus.subscribe("a", lambda event: results.append(other.publish(Event("a"))))
    in_loop(lambda: bus.publish(Event("a")))
    assert bus.flush(HANG)
    assert results == [True]
