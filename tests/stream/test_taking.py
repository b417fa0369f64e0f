"""`stream`: tasks of an event loop take events; its bounds."""

import asyncio
import contextlib
import gc
import weakref
from typing import Any

import pytest

from brummerbus import BusClosed, DropReason, Event, Stream
from helpers.buses import BusFactory, inside
from helpers.internals import types_listened_to
from helpers.loops import run
from helpers.processes import modules_after
from helpers.streaming import asleep, some
from helpers.threads import InThread
from helpers.waiting import HANG


def data(events: list[Any]) -> list[Any]:
    """Return the payloads of events."""
    return [event.data for event in events]


# ---- taking --------------------------------------------------------------------------------------


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


# ---- bounds --------------------------------------------------------------------------------------


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


# ---- the loop ------------------------------------------------------------------------------------


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
