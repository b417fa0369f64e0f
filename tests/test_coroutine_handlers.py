"""Coroutine functions as handlers: an event loop runs them, and no worker waits."""

import asyncio
import gc
import logging
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest

from brummerbus import BusError, DropReason, Event, EventBus, Retry
from helpers.buses import BusFactory, fill
from helpers.checks import assert_at_rest, assert_balance
from helpers.handlers import Drops, Logged, Outcomes, Recorder
from helpers.threads import InThread, run_together
from helpers.waiting import HANG, poll


class LoopThread:
    """An event loop that runs in a thread of its own until it is closed."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = InThread(self.loop.run_forever)
        self.calls: list[Any] = []
        self.most = 0
        self._running = 0
        self._open: asyncio.Event = self.run(self._new_event())

    async def _new_event(self) -> asyncio.Event:
        return asyncio.Event()

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine in the loop, and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(HANG)

    async def gate(self, event: Any) -> None:
        """Be a handler that waits until it is allowed to return."""
        self.calls.append(event.data)
        self._running += 1
        self.most = max(self.most, self._running)
        try:
            await self._open.wait()
        finally:
            self._running -= 1

    def open(self) -> None:
        """Let all calls of `gate` return, now and later."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._open.set)

    def stop(self) -> None:
        """Stop the loop; tasks stay as they are."""
        if self.thread.running:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.result()

    def close(self) -> None:
        """Stop and close the loop."""
        self.stop()
        for task in asyncio.all_tasks(self.loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        self.loop.close()


@pytest.fixture
def loop(factory: BusFactory) -> Iterator[LoopThread]:
    """A loop in a thread, which is closed after the buses were stopped."""
    loop = LoopThread()
    yield loop
    loop.open()
    factory.end()
    loop.close()


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
    InThread(lambda: asyncio.run(asyncio.sleep(0.01))).result()
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


# ---- closed loops ----------------------------------------------------------------------------


def test_a_closed_loop_ends_the_subscription_and_its_deliveries_are_dropped(
    factory: BusFactory, loop: LoopThread
) -> None:
    """Those that run, those that the loop has not come to, and those in the queue."""
    drops, outcomes = Drops(), Outcomes()
    bus = factory.bus(queue_size=20, on_drop=drops)
    subscription = bus.subscribe("a", loop.gate, loop=loop.loop, concurrency=4)
    fill(bus, 2)
    poll(lambda: len(loop.calls) == 2)
    loop.stop()
    for number in range(2, 10):
        bus.publish(Event("a", number), on_done=outcomes)
    poll(lambda: bus.stats().running == 4)
    loop.close()
    assert bus.flush(HANG)
    outcomes.wait_for(8)
    gc.collect()
    assert bus.flush(HANG)
    stats = bus.stats()
    assert_balance(stats)
    assert (stats.processed, stats.dropped, stats.running) == (0, 10, 0)
    assert stats.dropped_by[DropReason.SHUTDOWN][2] == 10
    assert sorted(drops.data) == list(range(10))
    assert {s for _, s, _ in drops} == {subscription}
    assert all(len(outcome.dropped) == 1 for outcome in outcomes)
    assert bus.subscriptions() == ()
    assert bus.publish(Event("a"))
    assert bus.stats().unrouted == 1


def test_the_next_delivery_finds_that_the_loop_is_closed(
    factory: BusFactory, loop: LoopThread
) -> None:
    """Nothing has to wait for the bus; what had begun is dropped with it."""
    drops = Drops()
    bus = factory.bus(on_drop=drops)
    bus.subscribe("a", loop.gate, loop=loop.loop)
    fill(bus, 1)
    poll(lambda: loop.calls == [0])
    loop.close()
    bus.publish(Event("a", 1))
    poll(lambda: sorted(drops.data) == [0, 1])
    assert bus.subscriptions() == ()


def test_a_loop_closed_while_threads_publish_raises_nothing_and_loses_no_count(
    factory: BusFactory,
) -> None:
    """Wherever it is closed."""
    logging.getLogger("brummerbus").disabled = True
    for _ in range(5):
        loop = LoopThread()
        bus = factory.bus(queue_size=50, workers=2)

        async def handler(event: Event) -> None:
            await asyncio.sleep(0)

        bus.subscribe("a", handler, loop=loop.loop)

        def publish(number: int, bus: EventBus = bus, loop: LoopThread = loop) -> None:
            for n in range(400):
                bus.publish(Event("a", n))
                if number == 0 and n == 200:
                    loop.close()

        run_together(4, publish)
        gc.collect()
        assert bus.flush(HANG)
        assert_balance(bus.stats())
        assert bus.stats().running == 0
    logging.getLogger("brummerbus").disabled = False


def test_asyncio_run_ends_what_it_has_begun(factory: BusFactory) -> None:
    """Its end cancels the coroutines; the bus is idle afterwards."""
    bus = factory.bus(on_error=lambda *failure: None)
    began = InThread(lambda: None)

    async def handler(event: Event) -> None:
        await asyncio.sleep(HANG)

    async def main() -> None:
        bus.subscribe("a", handler, loop=asyncio.get_running_loop())
        fill(bus, 3)
        while bus.stats().running < 3:
            await asyncio.sleep(0.001)

    asyncio.run(main())
    began.result()
    assert bus.flush(HANG)
    assert bus.stats().running == 0
    assert_balance(bus.stats())


# ---- in the loop's own thread ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        (EventBus.flush, "asyncio.to_thread(bus.flush)"),
        (EventBus.barrier, "asyncio.to_thread(bus.barrier)"),
        (EventBus.stop, "bus.stop_async()"),
        (lambda bus: bus.__exit__(None, None, None), "async with"),
    ],
)
def test_what_would_wait_for_the_loop_in_its_thread_says_so(
    factory: BusFactory, loop: LoopThread, call: Callable[[EventBus], Any], instead: str
) -> None:
    """And has no effect. In other threads, and without waiting, it can be called."""
    bus = factory.bus()
    bus.subscribe("a", loop.gate, loop=loop.loop)

    async def main() -> str:
        with pytest.raises(BusError) as raised:
            call(bus)
        assert bus.flush(0)
        return str(raised.value)

    assert instead in loop.run(main())
    assert not bus.closed


def test_a_task_stops_the_bus_whose_coroutines_its_loop_runs(
    factory: BusFactory, loop: LoopThread
) -> None:
    """They end; `async with` does the same."""
    bus, other = factory.bus(), factory.bus()
    for one in (bus, other):
        one.subscribe("a", loop.gate, loop=loop.loop)
        fill(one, 3)

    async def main() -> bool:
        asyncio.get_running_loop().call_later(0.01, loop._open.set)
        async with other:
            pass
        return await bus.stop_async()

    assert loop.run(main())
    for one in (bus, other):
        assert one.closed
        assert one.stats().processed == 3


def test_stop_async_takes_what_stop_takes(factory: BusFactory, loop: LoopThread) -> None:
    """And is for tasks."""
    bus = factory.bus()
    bus.subscribe("a", loop.gate, loop=loop.loop, concurrency=1)
    fill(bus, 3)
    poll(lambda: bus.stats().running == 1)
    with pytest.raises(ValueError, match="timeout"):
        loop.run(bus.stop_async(timeout=-1))
    with pytest.raises(TypeError, match="drain"):
        loop.run(bus.stop_async(drain=1))  # type: ignore[arg-type]
    with pytest.raises(BusError, match="task"):
        bus.stop_async().send(None)
    assert not loop.run(bus.stop_async(drain=False, timeout=0.01))
    assert bus.stats().dropped_by[DropReason.SHUTDOWN][2] == 2
    loop.open()


# ---- mistakes --------------------------------------------------------------------------------


async def coroutine(event: Any) -> None:
    """Be a handler."""


@pytest.mark.parametrize(
    ("handler", "options", "error", "message"),
    [
        (coroutine, {}, TypeError, r"a coroutine function only returns.*loop=loop"),
        (print, {"loop": ...}, TypeError, "must be a coroutine function"),
        (lambda event: None, {"loop": ...}, TypeError, "must be a coroutine function"),
        (coroutine, {"loop": 3}, TypeError, "loop must be an event loop of asyncio, got 3"),
        (coroutine, {"concurrency": 3}, ValueError, "concurrency needs loop"),
        (coroutine, {"loop": ..., "concurrency": 0}, ValueError, "concurrency must be an int"),
        (coroutine, {"loop": ..., "max_concurrency": 2}, ValueError, "not max_concurrency"),
        (coroutine, {"loop": ..., "batch": 2}, ValueError, "batch cannot be used with loop"),
        (coroutine, {"loop": ..., "weak": True}, ValueError, "weak cannot be used with loop"),
    ],
)
def test_a_mistake_is_refused(
    factory: BusFactory, handler: Any, options: Any, error: type[Exception], message: str
) -> None:
    loop = asyncio.new_event_loop()
    given = {name: loop if value is ... else value for name, value in options.items()}
    bus = factory.bus()
    with pytest.raises(error, match=message):
        bus.subscribe("a", handler, **given)
    loop.close()
    with pytest.raises(ValueError, match="must not be closed"):
        bus.subscribe("a", coroutine, loop=loop)
    assert bus.subscriptions() == ()


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
