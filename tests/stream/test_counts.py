"""What `stats().streams` says of the streams of a bus."""

import asyncio
import os
from typing import Any

import pytest

from brummerbus import Event, EventBus
from helpers.buses import BusFactory
from helpers.loops import run
from helpers.processes import in_child
from helpers.threads import run_together


def counts(bus: EventBus) -> tuple[int, int, int, int, int]:
    """Return the counts: open, published, taken, dropped, held."""
    streams = bus.stats().streams
    assert streams.published == streams.taken + streams.dropped + streams.held
    return (streams.open, streams.published, streams.taken, streams.dropped, streams.held)


def test_what_streams_are_given_is_taken_dropped_or_held(factory: BusFactory) -> None:
    """And no delivery."""
    bus = factory.bus()
    assert counts(bus) == (0, 0, 0, 0, 0)

    async def main() -> None:
        oldest = bus.stream("a", maxsize=3)
        newest = bus.stream("*", maxsize=2, policy="drop_newest")
        for number in range(5):
            bus.publish(Event("a", number))
        assert counts(bus) == (2, 10, 0, 5, 5)
        await oldest.batch(max=2)
        await newest.__anext__()
        assert counts(bus) == (2, 10, 3, 5, 2)
        await oldest.aclose()
        assert counts(bus) == (1, 10, 3, 6, 1)
        bus.stop()
        assert counts(bus) == (1, 10, 3, 6, 1)
        await newest.batch()
        await newest.aclose()
        await newest.aclose()
        assert counts(bus) == (0, 10, 4, 6, 0)

    run(main())
    assert bus.stats().published == bus.stats().dropped == 0
    assert bus.stats().as_dict()["streams"]["published"] == 10


def test_what_a_stream_held_when_its_loop_was_closed_is_dropped(factory: BusFactory) -> None:
    """And counts once, also if the stream is closed after it."""
    bus = factory.bus()
    loop = asyncio.new_event_loop()
    stream = bus.stream("a", maxsize=2)
    waiting = loop.create_task(stream.batch())
    loop.run_until_complete(asyncio.sleep(0))
    waiting.cancel()
    loop.run_until_complete(asyncio.gather(waiting, return_exceptions=True))
    loop.close()
    bus.publish(Event("a"))  # would wake the task
    assert stream.closed
    assert counts(bus) == (0, 1, 0, 1, 0)
    stream.close()
    del stream
    assert counts(bus) == (0, 1, 0, 1, 0)


def test_the_counts_stay_while_threads_begin_and_end_streams(factory: BusFactory) -> None:
    """Whatever is read at the same time."""
    bus, rounds = factory.bus(), 50

    def use(_number: int) -> None:
        for _ in range(rounds):
            stream: Any = bus.stream("a", maxsize=5)
            counts(bus)
            stream.close()

    run_together(4, use)
    assert counts(bus)[0] == 0
    bus.publish(Event("a"))
    with_one = bus.stream("a")
    bus.publish(Event("a"))
    assert counts(bus) == (1, 1, 0, 0, 1)
    with_one.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_in_the_child_of_a_fork_they_begin_at_0(factory: BusFactory) -> None:
    bus = factory.bus()
    stream = bus.stream("a")
    bus.publish(Event("a"))

    def child() -> None:
        assert counts(bus) == (0, 0, 0, 0, 0)
        stream.close()
        own = bus.stream("a")
        bus.publish(Event("a"))
        assert counts(bus) == (1, 1, 0, 0, 1)
        own.close()

    assert in_child(child) == 0
    assert counts(bus) == (1, 1, 0, 0, 1)
    stream.close()
