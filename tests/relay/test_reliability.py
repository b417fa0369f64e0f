"""What a relay promises when the broker is killed or the network breaks.

With `BRUMMERBUS_LONG=1` in the environment the broker is killed ten times instead of three, and the
network is away for 30 s instead of one, in more combinations.
"""

import threading
from collections import defaultdict
from dataclasses import replace
from time import monotonic, perf_counter
from typing import Any

import pytest

from brummerbus import Event, EventBus
from brummerbus.relay import _tuning
from helpers.buses import BusFactory
from helpers.handlers import Recorder
from helpers.waiting import HANG, pause, poll
from relay.proxy import Proxy
from relay.scene import LONG, QUICK, Scene, assert_books, publish_all, scene

pytestmark = pytest.mark.slow  # tests here take a second and more

__all__ = ["scene"]

PUBLISHERS = 4


def by_key(data: list[Any]) -> dict[int, list[int]]:
    """Return the numbers of each publisher."""
    found = defaultdict(list)
    for publisher, number in data:
        found[publisher].append(number)
    return found


class Publishers:
    """Threads that publish numbered events."""

    def __init__(self, bus: EventBus, each: int) -> None:
        self.slowest = 0.0
        self._bus = bus
        self._each = each
        self._threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(PUBLISHERS)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, publisher: int) -> None:
        for number in range(self._each):
            begun = perf_counter()
            assert self._bus.publish(Event("t", (publisher, number)), timeout=HANG)
            self.slowest = max(self.slowest, perf_counter() - begun)

    def join(self) -> None:
        """Wait until all is published."""
        for thread in self._threads:
            thread.join(2 * HANG)
            assert not thread.is_alive()


def whole(each: int) -> dict[int, list[int]]:
    """Return what must have come."""
    return {number: list(range(each)) for number in range(PUBLISHERS)}


@pytest.mark.slow
def test_a_broker_that_is_killed_again_and_again_loses_and_reorders_nothing(
    scene: Scene, factory: BusFactory
) -> None:
    kills, each = (10, 5000) if LONG else (3, 500)
    here = factory.bus(workers=4, queue_size=500, publish_timeout=HANG)
    there = factory.bus(queue_size=500)
    got = Recorder()
    there.subscribe("t", got)
    receiver = scene.relay(there, receive=["t"])
    sender = scene.relay(here, send=["t"], spool=1000)
    publishers = Publishers(here, each)
    for kill in range(1, kills + 1):
        got.wait_for(PUBLISHERS * each * kill // (kills + 2))
        scene.server.kill()
        assert_books(sender)
        scene.server.start()
        poll(lambda kill=kill: sender.connected and sender.stats().connects > kill)  # type: ignore[misc]
        assert_books(sender)
    publishers.join()
    poll(lambda: not sender.stats().queued)
    got.wait_for(PUBLISHERS * each)
    assert sender.stop()
    stats = sender.stats()
    assert (stats.acked, stats.dropped, stats.spooled) == (PUBLISHERS * each, 0, stats.acked)
    assert by_key([tuple(data) for data in got.data]) == whole(each)
    poll(lambda: receiver.stats().handled == PUBLISHERS * each)


def break_network(proxy: Proxy, how: str) -> None:
    """Do it; `reset` alone does not last."""
    if how == "reset":
        proxy.reset()
        proxy.stall()
    else:
        getattr(proxy, how)()


WAYS = [
    (side, how) for side in ("sender", "receiver") for how in ("cut", "stall", "half_open", "reset")
]
CASES = [
    (broker, *way)
    for broker in ("nats", "redis")
    for way in WAYS
    if LONG or (broker, way[0]) == ("nats", "sender") or way[1] in ("stall", "reset")
]


@pytest.mark.slow
@pytest.mark.parametrize(("scene", "side", "how"), CASES, indirect=["scene"])
def test_a_network_that_breaks_slows_no_publisher_and_loses_and_reorders_nothing(
    scene: Scene, factory: BusFactory, how: str, side: str
) -> None:
    each = 400
    here = factory.bus(workers=4, queue_size=500, publish_timeout=HANG)
    there = factory.bus(queue_size=500)
    got = Recorder()
    there.subscribe("t", got)
    with Proxy(scene.server.port) as proxy:
        ports = {side: proxy.port}
        receiver = scene.relay(there, receive=["t"], port=ports.get("receiver"))
        sender = scene.relay(here, send=["t"], port=ports.get("sender"), spool=10_000)
        broken = sender if side == "sender" else receiver
        publishers = Publishers(here, each)
        got.wait_for(PUBLISHERS * each // 4)
        break_network(proxy, how)
        publishers.join()
        assert publishers.slowest < HANG / 6  # the network is not waited for
        assert here.flush(HANG)
        poll(lambda: not broken.connected)
        pause(30.0 if LONG else 1.0)
        assert len(got.data) <= sender.stats().sent
        proxy.repair()
        repaired = monotonic()
        poll(lambda: broken.connected)
        assert monotonic() - repaired < 10.0  # of which 2 s are promised on an idle machine
        got.wait_for(PUBLISHERS * each)
        poll(lambda: sender.stats().acked == PUBLISHERS * each)
        assert by_key([tuple(data) for data in got.data]) == whole(each)
        assert_books(sender)
        assert sender.stats().dropped == 0
        poll(lambda: receiver.stats().in_flight == 0)
        for relay in (sender, receiver):
            assert relay.stop()


@pytest.mark.parametrize("ack_wait", [0.5, 3 * HANG])
def test_what_was_lost_on_the_way_to_a_receiver_comes_before_what_is_newer(
    scene: Scene, factory: BusFactory, monkeypatch: pytest.MonkeyPatch, ack_wait: float
) -> None:
    """Also if the server has tried to deliver it again before the receiver is back."""
    monkeypatch.setattr(_tuning, "TUNING", replace(QUICK, ack_wait=ack_wait))
    here, there = factory.bus(queue_size=100), factory.bus(queue_size=100)
    got = Recorder()
    there.subscribe("t", got)
    sender = scene.relay(here, send=["t"])
    with Proxy(scene.server.port) as proxy:
        receiver = scene.relay(there, receive=["t"], port=proxy.port)
        publish_all(here, "t", range(5))
        got.wait_for(5)
        poll(lambda: receiver.stats().handled == 5)
        proxy.half_open()
        publish_all(here, "t", range(5, 10))
        poll(lambda: sender.stats().acked == 10)
        proxy.cut()
        if ack_wait < 1.0:
            pause(2 * ack_wait)
        publish_all(here, "t", range(10, 15))
        poll(lambda: sender.stats().acked == 15)
        proxy.repair()
        got.wait_for(15)
        assert got.data == list(range(15))
        assert receiver.stop()
