"""The event loop of coroutine handlers: closed, or the caller's own."""

import asyncio
import gc
import logging
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from brummerbus import BusError, DropReason, Event, EventBus
from helpers.buses import BusFactory, fill
from helpers.checks import assert_balance
from helpers.handlers import Drops, Outcomes
from helpers.loops import LoopThread
from helpers.processes import run_python
from helpers.threads import InThread, run_together
from helpers.waiting import HANG, poll


def test_coroutine_handlers_can_be_subscribed_while_they_are_searched(
    factory: BusFactory, loop: LoopThread
) -> None:
    """By another thread; here between two lines of `weakref`, which knows them."""
    bus = factory.bus()
    subscriptions = [bus.subscribe("a", loop.gate, loop=loop.loop) for _ in range(2)]

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if "weakref" in frame.f_code.co_filename and event == "line":
            subscriptions.append(bus.subscribe("a", loop.gate, loop=loop.loop))
        return trace

    async def flush() -> bool:
        sys.settrace(trace)
        try:
            return bus.flush(HANG)
        finally:
            sys.settrace(None)

    assert asyncio.run(flush())
    assert len(bus.subscriptions()) == len(subscriptions) > 2


# ---- closed loops --------------------------------------------------------------------------------


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


def test_asyncio_says_nothing_of_what_a_closed_loop_was_at() -> None:
    """The bus has counted and reported it."""
    end = run_python("""
        import asyncio, gc
        began = threading.Event()

        async def handle(event):
            began.set()
            await asyncio.Event().wait()

        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        bus = bus_of()
        bus.subscribe("a", handle, loop=loop)
        bus.publish(Event("a"))
        began.wait()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        say(bus.flush(60), bus.stats().dropped)
        gc.collect()
    """)
    assert end.lines == ["True 1"]
    assert "1 delivery dropped" in end.err
    assert "destroyed" not in end.err


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


# ---- in the loop's own thread --------------------------------------------------------------------


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
