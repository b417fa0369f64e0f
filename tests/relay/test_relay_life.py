"""How a relay begins and ends, and what it does while there is no broker."""

import asyncio
import gc
import weakref

import pytest

from brummerbus import BusError, Event
from brummerbus.relay import Relay
from brummerbus.relay._subjects import Globs
from helpers.buses import BusFactory, inside
from helpers.handlers import Logged, Recorder
from helpers.waiting import HANG, poll
from relay.scene import Scene, assert_books, publish_all, scene

__all__ = ["scene"]


def test_a_stop_sends_what_was_published_before(scene: Scene, factory: BusFactory) -> None:
    here, there = factory.bus(queue_size=500), factory.bus(queue_size=500)
    got = Recorder()
    there.subscribe("t", got)
    scene.relay(there, receive=["t"])
    sender = scene.relay(here, send=["t"])
    publish_all(here, "t", range(400))
    assert sender.stop()
    assert sender.stats().acked == 400
    assert here.publish(Event("t"))
    assert sender.stats().spooled == 400
    got.wait_for(400)


def test_a_stop_in_a_handler_begins_it_and_does_not_wait(scene: Scene, factory: BusFactory) -> None:
    bus = factory.bus()
    relay = scene.relay(bus, send=["t"], receive=["u"])
    assert inside(bus, relay.stop) is False
    assert relay.stop()
    assert not relay.connected


def test_a_stop_does_not_wait_for_coroutines_of_its_own_thread(
    scene: Scene, factory: BusFactory
) -> None:
    """It says what to do instead, and nothing is lost."""
    here, there, got = factory.bus(), factory.bus(), Recorder()
    sender = scene.relay(here, send=["t"])

    async def main() -> None:
        began, go_on = asyncio.Event(), asyncio.Event()

        async def handle(event: Event) -> None:
            began.set()
            await go_on.wait()
            got(event)

        there.subscribe("t", handle, loop=asyncio.get_running_loop())
        receiver = await asyncio.to_thread(lambda: scene.relay(there, receive=["t"]))
        here.publish(Event("t", 1))
        await asyncio.wait_for(began.wait(), HANG)
        with pytest.raises(BusError, match=r"await asyncio.to_thread\(relay.stop\)"):
            receiver.stop()
        stopping = asyncio.ensure_future(asyncio.to_thread(receiver.stop))
        go_on.set()
        assert await asyncio.wait_for(stopping, HANG)
        assert receiver.stop()
        await there.stop_async()

    asyncio.run(main())
    assert got.data == [1]
    assert sender.stop()


def test_a_relay_runs_although_the_program_has_forgotten_it_until_it_is_stopped(
    scene: Scene, factory: BusFactory
) -> None:
    bus = factory.bus()
    relay = scene.relay(bus, send=["t"])
    alive = weakref.ref(relay)
    scene.relays.clear()
    del relay
    gc.collect()
    publish_all(bus, "t", range(3))
    _stop_when_sent(alive(), 3)
    publish_all(bus, "t", range(3))
    assert bus.flush(HANG)
    assert bus.stats().failed == 0
    gc.collect()
    assert alive() is None


def _stop_when_sent(relay: Relay | None, count: int) -> None:
    assert relay is not None
    poll(lambda: relay.stats().acked == count)
    assert relay.stop()


def test_a_bus_that_starts_again_may_receive_other_types(scene: Scene, factory: BusFactory) -> None:
    here = factory.bus()
    scene.relay(here, send=["*"])
    for event_types, size in ((["a"], 10), (["a", "b.*"], 20), (["b.x", "c"], 5)):
        there, got = factory.bus(name="there", queue_size=size), Recorder()
        there.subscribe("*", got)
        receiver = scene.relay(there, receive=event_types)
        for event_type in ("c", "b.x", "a", "b.x"):  # in the end, one that the next one knows
            publish_all(here, event_type, [event_type])
        wanted = Globs(event_types)
        expected = [one for one in ("c", "b.x", "a", "b.x") if wanted.first(one) is not None]
        got.wait_for(len(expected))
        assert receiver.stop()
        assert got.data[-len(expected) :] == expected


def test_without_a_broker_the_program_runs_and_the_relay_says_so_once(
    scene: Scene, factory: BusFactory
) -> None:
    bus = factory.bus()
    scene.server.kill()
    relay = scene.begin(bus, send=["t"])
    publish_all(bus, "t", range(5))
    assert bus.flush(HANG)
    poll(lambda: bool(scene.errors))
    assert not relay.wait_connected(0.3)
    assert not relay.connected
    assert len(scene.errors) == 1
    assert str(scene.server.port) in str(scene.errors[0])
    assert relay.stats().queued == 5
    assert relay.stats().connected_since is None
    scene.server.start()
    poll(lambda: relay.stats().acked == 5)
    assert relay.stats().connected_since


def test_a_full_spool_that_blocks_holds_a_worker_and_no_publisher(
    scene: Scene, factory: BusFactory
) -> None:
    scene.server.kill()
    bus = factory.bus(queue_size=500)
    relay = scene.begin(bus, send=["t"], spool=3)
    publish_all(bus, "t", range(200))
    poll(lambda: relay.stats().queued == 3)
    assert bus.stats().queued + bus.stats().running == 200
    scene.server.start()
    poll(lambda: relay.stats().acked == 200)
    assert_books(relay)


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "reject", "drop_lowest"])
def test_other_policies_drop_and_count(scene: Scene, factory: BusFactory, policy: str) -> None:
    scene.server.kill()
    here, there = factory.bus(queue_size=50), factory.bus()
    relay = scene.begin(here, send=["t"], spool=3, spool_policy=policy)
    publish_all(here, "t", range(10))
    poll(lambda: relay.stats().spooled == 10)
    stats = relay.stats()
    assert (stats.queued, stats.dropped, stats.dropped_by) == (3, 7, {"full": 7})
    assert_books(relay)
    scene.server.start()
    got = Recorder()
    there.subscribe("t", got)
    scene.relay(there, receive=["t"], group="g")
    got.wait_for(3)
    assert got.data == ([7, 8, 9] if policy == "drop_oldest" else [0, 1, 2])
    full = [error for error in scene.errors if "the spool is full" in str(error)]
    assert len(full) == (7 if policy == "reject" else 1)


def test_the_end_of_a_with_block_does_not_wait_for_a_broker_that_never_was(
    factory: BusFactory, logged: Logged
) -> None:
    bus = factory.bus(shutdown_timeout=0.1)
    with Relay(bus, "nats://127.0.0.1:1", send=["t"]) as relay:
        publish_all(bus, "t", range(3))
    assert relay.stats().dropped_by == {"shutdown": 3}
    assert "3 events that the broker has not acknowledged" in logged.text
    assert relay.stop() is False


def test_a_failing_on_error_is_logged(factory: BusFactory, logged: Logged) -> None:
    def fail(error: BusError) -> None:
        raise ValueError("oops")

    bus = factory.bus(shutdown_timeout=0.0)
    with Relay(bus, "nats://127.0.0.1:1", send=["t"], on_error=fail):
        poll(lambda: "oops" in logged.text)
