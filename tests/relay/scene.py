"""What tests of relays share: brokers in a folder of their own, relays that notice things soon."""

import asyncio
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from brummerbus import BusError, Event, EventBus
from brummerbus.relay import Relay, _tuning
from brummerbus.relay._broker import Message, Session
from helpers.waiting import HANG
from relay.servers import Server, adapter, start_server

LONG = os.environ.get("BRUMMERBUS_LONG") == "1"

QUICK = _tuning.Tuning(
    ack_timeout=3.0,
    check_interval=0.5,
    retry=0.05,
    refused=0.1,
    ack_wait=6.0,
    fetch_wait=1.0,
    redelivery=0.02,
    lag_interval=0.05,
)
"""Times that are short, so that tests need not wait."""


class Scene:
    """A broker, and relays to it that are stopped at the end."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.relays: list[Relay] = []
        self.errors: list[BusError] = []

    def relay(self, bus: EventBus, *, port: int | None = None, **arguments: Any) -> Relay:
        """Connect a bus, and wait until it is."""
        relay = self.begin(bus, port=port, **arguments)
        assert relay.wait_connected(HANG)
        return relay

    def begin(self, bus: EventBus, *, port: int | None = None, **arguments: Any) -> Relay:
        """Begin to connect a bus."""
        arguments.setdefault("on_error", self.errors.append)
        relay = Relay(bus, self.server.url(port), **arguments)
        self.relays.append(relay)
        return relay

    def inject(self, *messages: Message, namespace: str = "brummer") -> None:
        """Store messages that no relay has made."""

        async def send() -> None:
            broker = adapter(self.server.scheme).make(self.server.url(), namespace, {})
            session: Session = await broker.connect()
            left = len(messages)
            done = asyncio.Event()

            def answered(_message: Message, error: Exception | None) -> None:
                nonlocal left
                assert error is None
                left -= 1
                if not left:
                    done.set()

            await session.send(messages, answered)
            await asyncio.wait_for(done.wait(), HANG)
            await session.close()

        asyncio.run(send())

    def end(self) -> None:
        """Stop the relays."""
        for relay in self.relays:
            relay.stop(timeout=0)


@pytest.fixture(params=["nats", "redis"])
def scene(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    """A scene with each broker."""
    monkeypatch.setattr(_tuning, "TUNING", QUICK)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    adapter(request.param)
    server = start_server(request.param, tmp_path)
    scene = Scene(server)
    try:
        yield scene
    finally:
        server.close()
        scene.end()


def assert_books(relay: Relay) -> None:
    """Look once, and check that every event that was spooled is somewhere."""
    stats = relay.stats()
    assert stats.spooled == stats.acked + stats.queued + stats.dropped


def publish_all(bus: EventBus, event_type: str, data: Iterable[Any]) -> None:
    """Publish events; all must be accepted."""
    for one in data:
        assert bus.publish(Event(event_type, one), timeout=HANG)


def foreign(number: int, event_type: str = "t.x", *, copy: int = 0, **headers: str) -> Message:
    """Return a message of some other program."""
    return Message(
        event_type,
        {
            "ce-specversion": "1.0",
            "ce-id": str(number),
            "ce-source": "/elsewhere",
            "ce-type": event_type,
            "ce-datacontenttype": "application/json",
            **{f"ce-{name}": value for name, value in headers.items()},
        },
        str(number).encode(),
        f"elsewhere.{number}.{copy}",
    )
