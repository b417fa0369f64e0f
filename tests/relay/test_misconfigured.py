"""What is configured wrongly is one clear error, and the bus goes on."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from brummerbus import BusError, EventBus
from brummerbus.relay import Relay
from helpers.buses import BusFactory
from helpers.handlers import Recorder
from helpers.waiting import HANG, poll
from relay.scene import QUICK, assert_books, publish_all
from relay.servers import NatsServer, Server, start_server

pytestmark = pytest.mark.slow  # tests here take a second and more


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


def test_a_stream_that_is_deleted_is_made_again_by_a_sender_alone(
    tmp_path: Path, factory: BusFactory, errors: list[BusError]
) -> None:
    server: Server = NatsServer(tmp_path)
    bus = factory.bus()
    try:
        relay = Relay(bus, server.url(), send=["t"], on_error=errors.append)
        publish_all(bus, "t", [1])
        poll(lambda: relay.stats().acked == 1)
        asyncio.run(in_jetstream(server, lambda js: js.delete_stream("brummer")))
        publish_all(bus, "t", [2])
        poll(lambda: relay.stats().acked == 2)
        assert relay.stop()
        assert [str(error).partition(" has ")[2] for error in errors] == [
            "no stream 'brummer' any more"
        ]
    finally:
        server.close()


def test_a_stream_with_other_subjects_is_one_clear_error(
    tmp_path: Path, factory: BusFactory, errors: list[BusError]
) -> None:
    """It is used as it is; the connection is made once more, and then kept."""
    server: Server = NatsServer(tmp_path)
    bus = factory.bus()
    try:
        asyncio.run(
            in_jetstream(server, lambda js: js.add_stream(name="brummer", subjects=["other.>"]))
        )
        relay = Relay(bus, server.url(), send=["t"], on_error=errors.append)
        publish_all(bus, "t", [1])
        poll(lambda: relay.stats().resent > 3)
        assert relay.stats().connects == 2
        assert len(errors) == 2
        assert "the stream 'brummer' does not take brummer.evt.>" in str(errors[1])
        assert not relay.stop(timeout=0)
    finally:
        server.close()


async def in_jetstream(server: Server, work: Callable[[Any], Awaitable[object]]) -> None:
    """Do something at a server, beside its relays."""
    nats = pytest.importorskip("nats")
    client = await nats.connect(server.url())
    await work(client.jetstream())
    await client.close()


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
