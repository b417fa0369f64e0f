"""Events in the tasks of an event loop: `EventBus.stream`."""

import asyncio
import contextlib
import gc
import itertools
import os
import signal
import weakref
from typing import Any

import pytest

from brummerbus import BusClosed, BusError, DropReason, Event, Stream
from brummerbus._core._ext import Buffer
from helpers.buses import BusFactory, inside
from helpers.internals import publishes_in_c, tasks_asleep, types_listened_to
from helpers.opcodes import At
from helpers.processes import in_child, modules_after
from helpers.threads import InThread, run_together
from helpers.waiting import HANG

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
with_threads = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def run(main: Any) -> Any:
    """Run a coroutine in a new event loop, and not for ever."""
    return asyncio.run(asyncio.wait_for(main, HANG))


async def asleep(stream: Stream[Any], tasks: int = 1) -> None:
    """Return when that many tasks wait for the stream."""
    while tasks_asleep(stream) < tasks:
        await asyncio.sleep(0)


async def some(stream: Stream[Any], n: int) -> list[Any]:
    """Take that many events, and return their payloads."""
    return [(await anext(stream)).data for _ in range(n)]


def data(events: list[Any]) -> list[Any]:
    """Return the payloads of events."""
    return [event.data for event in events]


# ---- taking ----------------------------------------------------------------------------------


def test_a_task_gets_the_events_that_threads_publish_in_order(factory: BusFactory) -> None:
    """Those of one type, a glob and a class, each once."""
    bus = factory.bus()

    async def main() -> list[Any]:
        async with bus.stream("a", "b.*", Event) as events:
            thread = InThread(lambda: [bus.publish(Event(t, t)) for t in ("a", "b.c", "c", "end")])
            seen = [event.data async for event in events if event.data != "end" or bus.stop()]
            thread.result()
            return seen

    assert run(main()) == ["a", "b.c", "c", "end"]


def test_a_batch_has_what_has_come_and_no_more_than_asked_for(factory: BusFactory) -> None:
    """It waits for the first only."""
    bus = factory.bus()

    async def main() -> list[list[Any]]:
        async with bus.stream("a") as events:
            bus.publish_many([Event("a", n) for n in range(5)])
            some = [data(await events.batch(max=3)), data(await events.batch())]
            task = asyncio.create_task(events.batch())
            await asleep(events)
            InThread(lambda: bus.publish(Event("a", 5))).result()
            return [*some, data(await task)]

    assert run(main()) == [[0, 1, 2], [3, 4], [5]]


def test_it_gets_what_was_published_after_stream_returned(factory: BusFactory) -> None:
    """Before a task waits for it, or is there at all."""
    bus = factory.bus()
    bus.publish(Event("a", "before"))
    events = bus.stream("a")
    bus.publish(Event("a", "after"))
    bus.publish(Event("a", "end"))
    assert run(some(events, 2)) == ["after", "end"]


def test_what_was_held_is_taken_after_the_bus_has_stopped_and_then_it_ends(
    factory: BusFactory,
) -> None:
    """By iteration, and by batches, of which the last is empty."""
    bus = factory.bus()

    async def main() -> tuple[list[Any], list[Any]]:
        first, second = bus.stream("a"), bus.stream("a")
        bus.publish_many([Event("a", n) for n in range(3)])
        bus.stop()
        batches = []
        while batch := await second.batch(2):
            batches.append(data(batch))
        return [event.data async for event in first], batches

    assert run(main()) == ([0, 1, 2], [[0, 1], [2]])


def test_stop_wakes_the_task_that_waits(factory: BusFactory) -> None:
    """From another thread; the iteration ends."""
    bus = factory.bus()

    async def main() -> list[Any]:
        events = bus.stream("a")
        task = asyncio.create_task(some_until_end(events))
        await asleep(events)
        await asyncio.to_thread(bus.stop)
        return await task

    assert run(main()) == []


async def some_until_end(events: Stream[Any]) -> list[Any]:
    """Return the payloads of all events."""
    return [event.data async for event in events]


def test_aclose_wakes_all_tasks_that_wait_and_lets_go_of_what_is_held(
    factory: BusFactory,
) -> None:
    """Idempotent; the bus knows of no tap afterwards."""
    bus = factory.bus()

    async def main() -> list[Any]:
        events = bus.stream("a", "b")
        tasks = [asyncio.create_task(some_until_end(events)) for _ in range(3)]
        await asleep(events, 3)
        await events.aclose()
        await events.aclose()
        assert events.closed
        return await asyncio.gather(*tasks)

    assert run(main()) == [[], [], []]
    assert types_listened_to(bus) == 0
    other = bus.stream("a")
    bus.publish(Event("a"))
    assert other.depth == 1
    other.close()
    assert other.depth == 0


def test_a_stream_that_nothing_refers_to_is_closed(factory: BusFactory) -> None:
    """And its events are released."""
    bus = factory.bus()
    events = bus.stream("a", Event)
    event = Event("a")
    kept = weakref.ref(event)
    bus.publish(event)
    del events, event
    gc.collect()
    assert types_listened_to(bus) == 0
    assert kept() is None


def test_tasks_that_share_a_stream_get_each_event_once(factory: BusFactory) -> None:
    """And none sleeps while there is one: the task that was woken wakes the next."""
    bus = factory.bus()

    async def main() -> list[Any]:
        events = bus.stream("a")
        tasks = [asyncio.create_task(some(events, 1)) for _ in range(5)]
        await asleep(events, 5)
        bus.publish_many([Event("a", n) for n in range(5)])
        return sorted(await asyncio.gather(*tasks))

    assert run(main()) == [[n] for n in range(5)]


# ---- bounds ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "held", "reason"),
    [("drop_oldest", [3, 4, 5], "EVICTED"), ("DROP_NEWEST", [0, 1, 2], "REFUSED")],
)
def test_a_full_stream_drops_by_its_policy_and_counts(
    factory: BusFactory, policy: str, held: list[int], reason: str
) -> None:
    """No publisher waits, and none sees it."""
    bus = factory.bus()
    events = bus.stream("a", maxsize=3, policy=policy)
    assert all(bus.publish(Event("a", n)) for n in range(6))
    assert (events.depth, events.dropped) == (3, 3)
    assert events.dropped_by == {DropReason[reason]: 3, DropReason.SHUTDOWN: 0}
    assert run(some(events, 3)) == held


def test_its_events_are_not_unrouted_and_make_no_deliveries(factory: BusFactory) -> None:
    """As those of `listen`."""
    unrouted: list[Any] = []
    bus = factory.bus(on_unrouted=unrouted.append)
    with contextlib.closing(bus.stream("a")):
        bus.publish(Event("a"))
        stats = bus.stats()
        assert (stats.unrouted, stats.published, unrouted) == (0, 0, [])
    bus.publish(Event("a"))
    assert (bus.stats().unrouted, len(unrouted)) == (1, 1)


def test_an_event_that_the_queue_refuses_does_not_reach_it(factory: BusFactory) -> None:
    """Only what was accepted does, also from a handler and among many."""
    bus = factory.bus(queue_size=2, policy="drop_newest")
    events = bus.stream("a")
    bus.subscribe("a", lambda event: None)
    factory.hold(bus)
    assert bus.publish_many([Event("a", n) for n in range(4)]) == 2
    assert not bus.publish(Event("a", 4))
    assert run(some(events, 2)) == [0, 1]
    assert events.depth == 0


@pytest.mark.parametrize("option", [{"key": "type"}, {"once": True}, {"retries": 1}, {}])
def test_it_gets_events_whatever_else_their_subscriptions_ask_for(
    factory: BusFactory, option: dict[str, Any]
) -> None:
    """And whatever thread publishes: a handler, a hook, the timer thread."""
    bus = factory.bus()
    events = bus.stream("a")
    with bus.subscribe("a", lambda event: None, **option):
        bus.publish(Event("a", 1), expires=HANG, on_done=lambda outcome: None)
        inside(bus, lambda: bus.publish(Event("a", 2)))
        assert bus.flush(HANG)
        bus.publish_after(0, Event("a", 3))
        assert run(some(events, 3)) == [1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((), {}, TypeError, "at least one event type"),
        (("",), {}, ValueError, "event_type"),
        ((3,), {}, TypeError, "event_type"),
        (("a",), {"maxsize": 0}, ValueError, "maxsize must be an int from 1"),
        (("a",), {"maxsize": "3"}, TypeError, "maxsize"),
        (("a",), {"policy": "block"}, ValueError, "'drop_oldest' or 'drop_newest'"),
    ],
)
def test_a_mistake_names_the_argument(
    factory: BusFactory, arguments: Any, options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        factory.bus().stream(*arguments, **options)


@pytest.mark.parametrize("size", [0, True, 1.5])
def test_a_batch_of_no_events_is_a_mistake(factory: BusFactory, size: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="max must be an int"):
        run(factory.bus().stream("a").batch(max=size))


def test_a_stopped_bus_has_no_streams(factory: BusFactory) -> None:
    bus = factory.bus()
    bus.stop()
    with pytest.raises(BusClosed):
        bus.stream("a")
    assert types_listened_to(bus) == 0


# ---- the loop --------------------------------------------------------------------------------


def test_many_events_and_streams_take_one_wake_up_of_their_loop(
    factory: BusFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as the loop has not come to it."""
    bus = factory.bus()

    async def main() -> int:
        streams = [bus.stream("a") for _ in range(20)]
        tasks = [asyncio.create_task(some(stream, 5)) for stream in streams]
        for stream in streams:
            await asleep(stream)
        loop, sent = asyncio.get_running_loop(), []
        send = loop.call_soon_threadsafe
        monkeypatch.setattr(
            loop, "call_soon_threadsafe", lambda call: (sent.append(call), send(call))
        )
        bus.publish_many([Event("a", n) for n in range(3)])
        bus.publish(Event("a", 3))
        bus.publish(Event("a", 4))
        assert await asyncio.gather(*tasks) == [list(range(5))] * 20
        return len(sent)

    assert run(main()) == 1


def test_publishing_to_streams_alone_stays_in_c(factory: BusFactory) -> None:
    """Also beside an ordinary subscription."""
    bus = factory.bus()
    events = bus.stream("a")
    bus.subscribe("a", lambda event: None)
    bus.publish(Event("a"))
    assert publishes_in_c(bus, Event("a"))
    with bus.listen("a"):
        bus.publish(Event("a"))
        assert not publishes_in_c(bus, Event("a"))
    assert events.depth == 4


def test_a_task_cancelled_after_it_was_woken_leaves_the_event(factory: BusFactory) -> None:
    """And another task that waits is woken for it."""
    bus = factory.bus()

    async def hurried() -> list[Any]:
        events = bus.stream("a")
        first = asyncio.create_task(some(events, 1))
        await asleep(events)
        second = asyncio.create_task(some(events, 1))
        await asleep(events, 2)
        loop = asyncio.get_running_loop()
        bus.publish(Event("a", "kept"))
        loop.call_soon(first.cancel)  # after the wake-up, and before the task that was woken runs
        taken = await second
        assert first.cancelled()
        return taken

    assert run(hurried()) == ["kept"]


def test_a_wait_that_times_out_loses_nothing(factory: BusFactory) -> None:
    """It may be tried again."""
    bus = factory.bus()

    async def main() -> list[Any]:
        events = bus.stream("a")
        for wait in (lambda: anext(events), events.batch):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(wait(), 0.001)
        assert tasks_asleep(events) == 0
        bus.publish(Event("a", 1))
        return await some(events, 1)

    assert run(main()) == [1]


@pytest.mark.parametrize("takes", ["iteration", "batch"])
def test_a_task_that_always_finds_events_lets_others_run(factory: BusFactory, takes: str) -> None:
    """Though it never waits."""
    bus = factory.bus()
    turns: list[int] = []

    async def other() -> None:
        while True:
            turns.append(1)
            await asyncio.sleep(0)

    async def main() -> None:
        events = bus.stream("a", maxsize=10_000)
        task = asyncio.create_task(other())
        bus.publish_many([Event("a", n) for n in range(1000)])
        if takes == "iteration":
            await some(events, 1000)
        else:
            for _ in range(10):
                assert len(await events.batch(max=100)) == 100
        task.cancel()

    run(main())
    assert len(turns) >= 5


def test_a_stream_belongs_to_the_loop_that_first_waited_for_it(factory: BusFactory) -> None:
    """Another would be woken in the wrong thread."""
    bus = factory.bus()
    events = bus.stream("a")

    async def main() -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(events.batch(), 0.001)
        with pytest.raises(BusError, match="another"):
            await asyncio.to_thread(run, events.batch())

    run(main())


def test_what_is_no_task_cannot_wait_for_it(factory: BusFactory) -> None:
    """Such as a coroutine that is driven by hand."""
    events = factory.bus().stream("a")
    with pytest.raises(BusError, match="asyncio or trio"):
        anext(events).send(None)


def test_a_closed_loop_raises_nothing_in_publishers_and_ends_the_stream(
    factory: BusFactory,
) -> None:
    """What it held is dropped; the table has no entry of it."""
    bus = factory.bus()
    events = bus.stream("a", maxsize=100)
    loop = asyncio.new_event_loop()
    task = loop.create_task(events.batch())
    loop.run_until_complete(asleep(events))
    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))
    loop.close()
    run_together(4, lambda number: [bus.publish(Event("a")) for _ in range(1000)])
    assert events.closed
    assert events.dropped_by[DropReason.SHUTDOWN] >= 1
    assert events.depth == 0
    assert types_listened_to(bus) == 0


def test_a_loop_closed_before_it_came_to_a_wake_up_ends_the_stream_when_it_is_full(
    factory: BusFactory,
) -> None:
    """Nothing tells that it was closed; a full stream looks."""
    bus = factory.bus()
    events = bus.stream("a", maxsize=3)
    other = bus.stream("b")
    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(events.batch()), loop.create_task(other.batch())]
    loop.run_until_complete(asleep(events))
    loop.run_until_complete(asleep(other))
    bus.publish(Event("a"))
    for task in tasks:
        task._log_destroy_pending = False
    loop.close()
    assert not events.closed
    for _ in range(6):
        bus.publish(Event("a"))
    assert events.closed
    assert (events.depth, events.dropped, events.dropped_by[DropReason.SHUTDOWN]) == (0, 6, 3)
    bus.publish(Event("b"))
    assert other.closed


def test_an_interrupt_while_a_publisher_wakes_costs_no_event(factory: BusFactory) -> None:
    """Wherever it strikes, the task is woken."""
    bus = factory.bus()
    struck = 0

    def interrupt() -> None:
        raise KeyboardInterrupt

    async def main() -> None:
        nonlocal struck
        events = bus.stream("a")
        for number in range(200):
            task = asyncio.create_task(some(events, 1))
            await asleep(events)
            at = At(number, interrupt)
            event = Event("a", number)
            try:
                at.during(lambda: bus.publish(event))  # noqa: B023
            except KeyboardInterrupt:
                struck += 1
            assert await asyncio.wait_for(task, HANG) == [number]

    run(main())
    assert 10 < struck < 200


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="this system has no SIGALRM")
def test_a_signal_handler_can_publish_to_the_tasks_of_the_loop_that_it_interrupts(
    factory: BusFactory,
) -> None:
    """Python runs it in any step of the loop."""
    bus = factory.bus()
    numbers = itertools.count()

    def handler(*_: Any) -> None:
        bus.publish(Event("a", next(numbers)))

    async def main() -> list[Any]:
        async with bus.stream("a") as events:
            signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0005)
            try:
                return await some(events, 300)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)

    before = signal.signal(signal.SIGALRM, handler)
    try:
        seen = run(main())
        assert len(set(seen)) == 300  # in order, unless it interrupts itself
    finally:
        signal.signal(signal.SIGALRM, before)


def test_threads_that_publish_together_lose_nothing(factory: BusFactory) -> None:
    """Each one's events come in its order."""
    bus = factory.bus()

    def work(thread: int) -> None:
        for n in range(3000):
            bus.publish(Event("a", (thread, n)))

    async def main() -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        async with bus.stream("a", maxsize=100_000) as events:
            publishers = asyncio.create_task(asyncio.to_thread(run_together, 4, work))
            for _ in range(12_000):
                thread, n = (await anext(events)).data
                found.setdefault(thread, []).append(n)
            await publishers
        return found

    assert run(main()) == {thread: list(range(3000)) for thread in range(4)}


@needs_fork
@with_threads
def test_in_a_forked_child_a_stream_has_ended(factory: BusFactory) -> None:
    """Its loop is the parent's. What it held at the fork can be taken there."""
    bus = factory.bus()
    events = bus.stream("a")
    bus.publish(Event("a", "before"))

    def child() -> None:
        assert events.closed
        bus.publish(Event("a"))
        assert events.depth == 1
        bus.stop()

    in_child(child)
    assert not events.closed
    assert run(some(events, 1)) == ["before"]


def test_a_program_without_a_loop_does_not_import_one() -> None:
    """They are imported by the program that runs a loop."""
    loaded = modules_after(
        """
from brummerbus import Event, EventBus
with EventBus(workers=1, queue_size=1, policy="drop_newest") as bus:
    bus.subscribe("a", lambda event: None)
    for _ in range(100):
        bus.publish(Event("a"))
"""
    )
    assert loaded.isdisjoint({"asyncio", "trio", "anyio"})


# ---- the buffer ------------------------------------------------------------------------------


class Woken(Buffer):
    """A buffer that counts its wake-ups."""

    wakes = 0
    error: BaseException | None = None

    def _wake(self) -> None:
        self.wakes += 1
        if self.error is not None:
            raise self.error


def test_a_buffer_wakes_its_consumer_once_for_each_time_that_it_waits() -> None:
    """`arm` says whether it is to wait."""
    buffer = Woken(100, True)
    buffer.put(1)
    assert buffer.wakes == 0
    assert not buffer.arm()
    assert buffer.take(5) == [1]
    assert buffer.arm()
    for n in range(40):
        buffer.put(n)
    assert buffer.wakes == 1
    assert [*buffer.take(3), buffer.pop(), *buffer.take(99)] == list(range(40))
    assert buffer.take(0) == []
    with pytest.raises(IndexError):
        buffer.pop()


def test_a_wake_up_that_raised_is_tried_again_with_the_next_event() -> None:
    """The event is there."""
    buffer = Woken(10, True)
    assert buffer.arm()
    buffer.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        buffer.put(1)
    assert buffer.wakes == 2
    buffer.error = None
    buffer.put(2)
    buffer.put(3)
    assert buffer.wakes == 3
    assert buffer.take(9) == [1, 2, 3]


def test_a_buffer_that_has_ended_takes_nothing_and_wakes_once() -> None:
    """What it has can be taken."""
    buffer = Woken(10, True)
    buffer.put(1)
    assert buffer.pop() == 1
    assert buffer.arm()
    buffer.end()
    buffer.end()
    buffer.put(2)
    assert (len(buffer), buffer.wakes, buffer.arm(), buffer.ended) == (0, 1, False, True)


def test_a_finalizer_of_what_is_dropped_may_use_the_buffer() -> None:
    """It is called after the buffer is in order again."""
    buffer = Woken(2, True)

    class Loud:
        def __del__(self) -> None:
            buffer.put("finalizer")

    buffer.put(Loud())
    buffer.put(1)
    buffer.put(2)
    assert buffer.take(9) == [2, "finalizer"]
    assert buffer.dropped == 2


def test_a_buffer_is_collected_with_what_it_holds() -> None:
    """Also in a cycle."""
    buffer = Woken(10, True)
    buffer.put(buffer)
    kept = weakref.ref(buffer)
    del buffer
    gc.collect()
    assert kept() is None


@pytest.mark.parametrize("arguments", [(0, True), (-1, False), ("1", True), ()])
def test_a_buffer_without_a_limit_is_refused(arguments: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        Buffer(*arguments)
