"""What a relay promises when something fails: the broker, the network, a handler, a credential.

With `BRUMMERBUS_LONG=1` in the environment the broker is killed ten times instead of three, and the
network is away for 30 s instead of one, in more combinations.
"""

import threading
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import pytest

from brummerbus import BusError, Event, EventBus
from brummerbus.relay import Relay, _tuning
from helpers.buses import BusFactory
from helpers.handlers import Recorder
from helpers.waiting import HANG, pause, poll
from relay.proxy import Proxy
from relay.scene import LONG, QUICK, Scene, assert_books, foreign, publish_all, scene
from relay.servers import NatsServer, Server, start_server

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


@pytest.mark.slow
def test_a_slow_consumer_lags_at_the_broker_and_nothing_is_delivered_twice(
    scene: Scene, factory: BusFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(QUICK, ack_wait=2.0)
    monkeypatch.setattr(_tuning, "TUNING", short)
    here = factory.bus(queue_size=100)
    there = factory.bus(workers=1, queue_size=5)
    gate, got = factory.gate(), Recorder()
    there.subscribe("t", gate)
    there.subscribe("t", got)
    receiver = scene.relay(there, receive=["t"])
    sender = scene.relay(here, send=["t"])
    publish_all(here, "t", range(50))
    poll(lambda: sender.stats().acked == 50)
    gate.wait_entered()
    poll(lambda: (receiver.stats().lag or 0) >= 40)
    pause(2.5 * short.ack_wait)  # nothing must come again, however long the handler takes
    stats = receiver.stats()
    assert stats.in_flight <= 6
    assert there.depth <= 5
    assert (stats.duplicates, stats.redeliver, stats.handled) == (0, 0, 0)
    assert (stats.lag or 0) >= 40
    gate.open()
    got.wait_for(50)
    poll(lambda: receiver.stats().handled == 50)
    assert got.data == list(range(50))
    assert receiver.stats().duplicates == 0
    poll(lambda: receiver.stats().lag == 0)


def test_copies_of_an_event_are_handled_once(scene: Scene, factory: BusFactory) -> None:
    here, there = factory.bus(), factory.bus(queue_size=100)
    got = Recorder()
    there.subscribe("t.x", got)
    receiver = scene.relay(there, receive=["t.x"])
    sender = scene.relay(here, send=["t.x"])
    event = Event("t.x", "same")
    for _ in range(3):
        here.publish(event)
    poll(lambda: sender.stats().acked == 3)
    for copy in range(3):
        scene.inject(*[foreign(number, copy=copy) for number in range(5)])
        poll(lambda: receiver.stats().handled == 6)
    scene.inject(foreign(99))
    poll(lambda: receiver.stats().handled == 7)
    assert got.data == ["same", 0, 1, 2, 3, 4, 99]
    assert receiver.stats().duplicates >= 10


def test_a_copy_of_an_event_in_hand_is_not_published(scene: Scene, factory: BusFactory) -> None:
    there = factory.bus(workers=2)
    gate = factory.gate()
    there.subscribe("t.x", gate)
    receiver = scene.relay(there, receive=["t.x"])
    scene.inject(foreign(1))
    gate.wait_entered()
    scene.inject(foreign(1, copy=1))
    poll(lambda: receiver.stats().duplicates == 1)
    gate.open()
    poll(lambda: receiver.stats().handled == 1)
    assert there.stats().published == 1


def test_poison_becomes_a_dead_letter_and_holds_nobody_up(
    scene: Scene, factory: BusFactory
) -> None:
    there = factory.bus(queue_size=100, on_error=lambda event, subscription, error: None)
    got, tries = Recorder(), []

    def handle(event: Event) -> None:
        if event.data == 3:
            tries.append(event)
            raise ValueError("poison")
        got(event)

    there.subscribe("t.x", handle)
    receiver = scene.relay(there, receive=["t.x"])
    scene.inject(*map(foreign, range(10)))
    got.wait_for(9)
    poll(lambda: receiver.stats().dead == 1)
    assert got.data == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert len(tries) == 5
    stats = receiver.stats()
    assert (stats.handled, stats.redeliver, stats.in_flight) == (9, 4, 0)
    (error,) = scene.errors
    assert "dead letter" in str(error)
    assert "ValueError: poison" in str(error)


def test_what_the_bus_drops_is_delivered_again(scene: Scene, factory: BusFactory) -> None:
    there = factory.bus(workers=1, queue_size=4, policy="drop_oldest")
    gate, got = factory.gate(), Recorder()
    there.subscribe("hold", gate)
    there.subscribe("t.x", got)
    receiver = scene.relay(there, receive=["t.x"])
    there.publish(Event("hold"))
    gate.wait_entered()
    scene.inject(foreign(1), foreign(2))
    poll(lambda: there.depth == 2)
    for _ in range(4):  # evicts both
        assert there.publish(Event("hold"), timeout=0)
    poll(lambda: receiver.stats().redeliver >= 2)
    gate.open()
    got.wait_for(2)
    assert sorted(got.data) == [1, 2]
    poll(lambda: receiver.stats().handled == 2)


# ---- what is configured wrongly ------------------------------------------------------------------


def assert_unharmed(bus: EventBus, relay: Relay) -> None:
    """Check that the bus works beside a relay that does not, and that both can be stopped."""
    got = Recorder()
    bus.subscribe("local", got)
    publish_all(bus, "local", range(10))
    got.wait_for(10)
    publish_all(bus, "t", range(3))
    assert bus.flush(HANG)
    poll(lambda: relay.stats().queued == 3)
    assert not relay.stop(timeout=0)
    assert relay.stats().dropped_by == {"shutdown": 3}


@pytest.mark.parametrize("name", ["nats", "redis"])
def test_wrong_credentials_are_one_clear_error(
    name: str, tmp_path: Path, factory: BusFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brummerbus.relay._tuning.TUNING", QUICK)
    guarded = start_server(name, tmp_path, "right")
    errors: list[BusError] = []
    bus = factory.bus()
    try:
        url = guarded.url(password="wrong-one")
        relay = Relay(bus, url, send=["t"], receive=["u"], on_error=errors.append)
        poll(lambda: bool(errors))
        assert not relay.wait_connected(5 * QUICK.refused)
        assert len(errors) == 1
        assert any(word in str(errors[0]) for word in ("credentials", "password"))
        assert "wrong-one" not in str(errors[0])
        assert_unharmed(bus, relay)
    finally:
        guarded.close()


class NoJetStream(NatsServer):
    jetstream = False


class FullDisk(NatsServer):
    """A server whose store ends at 64 KiB."""

    def command(self) -> list[str]:
        command = super().command()
        path = self.folder / "server.conf"
        limited = path.read_text().replace("jetstream {", "jetstream { max_file_store: 65536,")
        path.write_text(limited)
        return command


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> list[BusError]:
    monkeypatch.setattr("brummerbus.relay._tuning.TUNING", QUICK)
    return []


def test_a_server_without_jetstream_is_one_clear_error(
    tmp_path: Path, factory: BusFactory, errors: list[BusError]
) -> None:
    server: Server = NoJetStream(tmp_path)
    bus = factory.bus()
    try:
        relay = Relay(bus, server.url(), send=["t"], receive=["u"], on_error=errors.append)
        poll(lambda: bool(errors))
        assert not relay.wait_connected(5 * QUICK.refused)
        assert len(errors) == 1
        assert "has no JetStream" in str(errors[0])
        assert_unharmed(bus, relay)
    finally:
        server.close()


def test_a_full_disk_is_one_clear_error_and_what_is_spooled_is_kept(
    tmp_path: Path, factory: BusFactory, errors: list[BusError]
) -> None:
    server: Server = FullDisk(tmp_path)
    bus = factory.bus(queue_size=100)
    try:
        relay = Relay(bus, server.url(), send=["t"], on_error=errors.append)
        publish_all(bus, "t", ["x" * 4000 for _ in range(40)])
        poll(lambda: bool(errors))
        poll(lambda: relay.stats().resent > 20)
        assert len(errors) == 1
        stats = relay.stats()
        assert stats.dropped == 0
        assert 0 < stats.acked < 40
        assert stats.spooled == 40
        assert_books(relay)
        assert not relay.stop(timeout=0)
        assert relay.stats().dropped_by == {"shutdown": 40 - stats.acked}
    finally:
        server.close()
