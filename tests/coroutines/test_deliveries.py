"""Coroutine functions as handlers: they run in an event loop, and no worker waits for them."""

import asyncio
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest

from brummerbus import DropReason, Event, Retry
from helpers.buses import BusFactory, fill
from helpers.checks import assert_at_rest, assert_balance
from helpers.handlers import Drops, Logged, Outcomes, Recorder
from helpers.loops import LoopThread
from helpers.waiting import HANG, pause, poll


def test_a_coroutine_runs_in_the_loop_and_no_worker_waits_for_it(
    factory: BusFactory, loop: LoopThread
) -> None:
    """The only worker handles other events; the delivery is running until the coroutine ends."""
    bus = factory.bus()
    seen = Recorder()
    bus.subscribe("job.*", loop.gate, loop=loop.loop)
    bus.subscribe("other", seen)
    fill(bus, 3, "job.x")
    poll(lambda: len(loop.calls) == 3)
    bus.publish(Event("other"))
    seen.wait_for(1)
    poll(lambda: bus.stats().running == 3)
    stats = bus.stats()
    assert (stats.running, stats.queued, stats.processed) == (3, 0, 1)
    assert stats.by_type["job.x"].running == 3
    assert_balance(stats)
    assert not bus.flush(0.01)
    assert not bus.barrier(0.01)
    loop.open()
    assert bus.barrier(HANG)
    assert_at_rest(bus)
    assert bus.stats().processed == 4


def test_no_more_coroutines_run_at_once_than_concurrency_allows(
    factory: BusFactory, loop: LoopThread
) -> None:
    """The others stay in the queue, where the policy applies to them."""
    bus = factory.bus(queue_size=20)
    bus.subscribe("a", loop.gate, loop=loop.loop, concurrency=2)
    fill(bus, 10)
    poll(lambda: len(loop.calls) == 2)
    assert (bus.stats().running, bus.depth) == (2, 8)
    loop.open()
    assert_at_rest(bus)
    assert (loop.most, sorted(loop.calls)) == (2, list(range(10)))


def test_sixteen_run_at_once_by_default(factory: BusFactory, loop: LoopThread) -> None:
    bus = factory.bus(queue_size=20)
    bus.subscribe("a", loop.gate, loop=loop.loop)
    fill(bus, 20)
    poll(lambda: len(loop.calls) == 16)
    poll(lambda: bus.stats().running == 16)
    assert bus.depth == 4


def test_events_of_one_key_run_one_after_the_other(factory: BusFactory, loop: LoopThread) -> None:
    """In order of acceptance, each when the coroutine before it has ended."""
    bus = factory.bus(queue_size=100)
    steps: list[tuple[str, int]] = []

    async def handler(event: Event) -> None:
        key, number = event.data
        steps.append((key, number))
        await asyncio.sleep(0)
        steps.append((key, number))

    bus.subscribe("a", handler, key=lambda event: event.data[0], loop=loop.loop)
    for number in range(20):
        for key in "xyz":
            bus.publish(Event("a", (key, number)))
    assert_at_rest(bus)
    for key in "xyz":
        expected = [number for number in range(20) for _ in range(2)]
        assert [number for k, number in steps if k == key] == expected


def test_a_coroutine_that_raises_has_failed(factory: BusFactory, loop: LoopThread) -> None:
    """`on_error` and `on_done` have the exception; the loop's own handler does not."""
    errors: list[tuple[Any, Any, BaseException]] = []
    outcomes = Outcomes()
    bus = factory.bus(on_error=lambda *failure: errors.append(failure))

    async def handler(event: Event) -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    subscription = bus.subscribe("a", handler, loop=loop.loop)
    event = Event("a")
    bus.publish(event, on_done=outcomes)
    outcomes.wait_for(1)
    assert_at_rest(bus)
    assert [(e, s, type(error)) for e, s, error in errors] == [
        (event, subscription, ZeroDivisionError)
    ]
    assert [type(error) for _, error in outcomes[0].failed] == [ZeroDivisionError]
    assert (bus.stats().failed, bus.stats().by_subscription[subscription.label].failed) == (1, 1)


def test_what_failed_is_tried_again(factory: BusFactory, loop: LoopThread) -> None:
    """And has not ended before the last attempt."""
    bus = factory.bus()
    outcomes = Outcomes()
    attempts: list[int] = []

    async def handler(event: Event) -> None:
        attempts.append(1)
        await asyncio.sleep(0)
        if len(attempts) < 3:
            raise Retry(after=0)

    bus.subscribe("a", handler, retries=5, loop=loop.loop)
    bus.publish(Event("a"), on_done=outcomes)
    assert_at_rest(bus)
    assert (len(attempts), bus.stats().retried, bus.stats().failed) == (3, 2, 0)
    assert [outcome.handled for outcome in outcomes] == [1]


def test_a_cancelled_coroutine_has_failed_and_is_not_tried_again(
    factory: BusFactory, loop: LoopThread
) -> None:
    """It had begun; what `asyncio.run` cancels at its end is in `on_error`."""
    errors: list[BaseException] = []
    bus = factory.bus(on_error=lambda event, subscription, error: errors.append(error))
    bus.subscribe("a", loop.gate, loop=loop.loop, retries=5)
    fill(bus, 1)
    poll(lambda: len(loop.calls) == 1)

    async def cancel_all() -> None:
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()

    loop.run(cancel_all())
    assert_at_rest(bus)
    assert [type(error) for error in errors] == [asyncio.CancelledError]
    assert bus.stats().failed == 1


def test_a_function_that_returns_no_awaitable_has_failed(
    factory: BusFactory, loop: LoopThread, logged: Logged
) -> None:
    """Such as a decorator that forgets to return it."""

    async def handler(event: Event) -> None:
        pass

    def forgetful(event: Event) -> None:
        pass

    forgetful.__wrapped__ = handler  # type: ignore[attr-defined]
    bus = factory.bus()
    bus.subscribe("a", forgetful, loop=loop.loop)
    fill(bus, 1)
    assert_at_rest(bus)
    assert bus.stats().failed == 1
    assert "TypeError" in logged.text


def test_once_and_expiry_are_as_ever(factory: BusFactory, loop: LoopThread) -> None:
    """One event; and what has not begun in time is dropped."""
    drops = Drops()
    bus = factory.bus(on_drop=drops)
    bus.subscribe("a", loop.gate, loop=loop.loop, once=True)
    bus.subscribe("b", loop.gate, loop=loop.loop, concurrency=1)
    fill(bus, 3)
    bus.publish(Event("b", "runs"))
    poll(lambda: "runs" in loop.calls)
    bus.publish(Event("b", "late"), expires=0.001)
    bus.publish(Event("b", "next"))
    poll(lambda: bus.stats().running == 2)
    pause(0.01)  # far longer than it has
    loop.open()
    assert_at_rest(bus)
    assert sorted(map(str, loop.calls)) == ["0", "next", "runs"]
    assert [(event.data, reason) for event, _, reason in drops] == [("late", DropReason.EXPIRED)]


@pytest.mark.parametrize(("propagates", "expected"), [(True, "mine"), (False, "none")])
def test_it_runs_in_the_publishers_context_if_that_is_asked_for(
    factory: BusFactory, loop: LoopThread, propagates: bool, expected: str
) -> None:
    """Else in an empty one, as all handlers."""
    variable: ContextVar[str] = ContextVar("variable", default="none")
    seen: list[str] = []

    async def handler(event: Event) -> None:
        seen.append(variable.get())

    bus = factory.bus(propagate_context=propagates)
    bus.subscribe("a", handler, loop=loop.loop)
    variable.set("mine")
    bus.publish(Event("a"))
    assert_at_rest(bus)
    assert seen == [expected]


def test_stop_waits_for_coroutines_and_names_those_that_do_not_end(
    factory: BusFactory, loop: LoopThread, logged: Logged
) -> None:
    """As for handlers in workers."""
    bus = factory.bus()
    bus.subscribe("a", loop.gate, loop=loop.loop)
    fill(bus, 1)
    poll(lambda: bus.stats().running == 1)
    assert not bus.stop(timeout=0.01)
    assert "1 handler still running" in logged.text
    assert "in an event loop" in logged.text
    loop.open()
    assert bus.flush(HANG)
    assert bus.stats().processed == 1


def test_unsubscribe_knows_the_coroutine_function(factory: BusFactory, loop: LoopThread) -> None:
    """And the label has its name."""
    bus = factory.bus()
    subscription = bus.subscribe("a", loop.gate, loop=loop.loop)
    assert subscription.label.endswith("LoopThread.gate")
    assert bus.unsubscribe(loop.gate) == 1
    assert bus.subscriptions() == ()


# ---- mistakes ------------------------------------------------------------------------------------


def test_partials_methods_and_the_decorator_can_be_used(
    factory: BusFactory, loop: LoopThread
) -> None:
    """As with other handlers."""
    bus = factory.bus()
    seen: list[Any] = []

    async def handler(seen: list[Any], event: Event) -> None:
        seen.append(event.data)

    bus.subscribe("a", partial(handler, seen), loop=loop.loop)

    @bus.on("a", "b", loop=loop.loop, concurrency=1)
    async def decorated(event: Event) -> None:
        seen.append(event.data)

    fill(bus, 1)
    assert_at_rest(bus)
    assert seen == [0, 0]


@pytest.mark.parametrize("workers", [1, 4])
def test_each_slow_coroutine_is_logged_once(
    factory: BusFactory, loop: LoopThread, logged: Logged, workers: int
) -> None:
    """Also of one subscription, and where several workers have handed them to the loop."""
    bus = factory.bus(workers=workers, slow_handler_after=0.05)
    bus.subscribe("a", loop.gate, loop=loop.loop)
    fill(bus, 8)

    def slow() -> list[str]:
        messages = [record.getMessage() for record in logged.records]
        return [message for message in messages if "a handler is slow" in message]

    poll(lambda: len(slow()) == 8)
    assert len({message.partition(" in an event loop")[0] for message in slow()}) == 8
    assert all(message.endswith(" s so far") for message in slow()), "which has no stack"
    pause(0.2)
    assert len(slow()) == 8
