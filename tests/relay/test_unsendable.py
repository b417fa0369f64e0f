"""What a broker does not take, and names of any characters: nothing else is held up by them."""

from typing import Any

import pytest

from brummerbus import Event
from helpers.buses import BusFactory
from helpers.handlers import Logged, Recorder
from helpers.waiting import poll
from relay.scene import Scene, assert_books, scene
from relay.servers import adapter

__all__ = ["scene"]

MEBIBYTE = 1 << 20
"""What the servers take of the tests."""


def test_types_and_sources_of_any_characters_arrive(scene: Scene, factory: BusFactory) -> None:
    """Those of undecodable file names too."""
    here, there = factory.bus(queue_size=50), factory.bus(queue_size=50)
    got = Recorder()
    there.subscribe("*", got)
    scene.relay(there, receive=["*"])
    scene.relay(here, send=["*"])
    names = ["\udcff", "a.\ud800.b", "a..b", ".", "%", "%41", "*", ">", "a b\0\r\n", "\N{DOG}"]
    for name in names:
        here.publish(Event(name, source=name))
    got.wait_for(len(names))
    assert [(event.type, event.source) for event in got.events] == [(n, n) for n in names]
    assert not scene.errors


@pytest.mark.parametrize(
    "event",
    [
        Event("t", "x" * (MEBIBYTE - 10)),  # the server counts its headers, too
        Event("t", source="x" * (MEBIBYTE + 1)),
        Event("t.long." + "x" * 70_000),
    ],
    ids=["data", "source", "type"],
)
def test_what_no_server_takes_is_dropped_and_what_follows_is_sent(
    scene: Scene, factory: BusFactory, event: Event
) -> None:
    """It is tried once, on a connection that goes on."""
    here, there = factory.bus(), factory.bus()
    got = Recorder()
    there.subscribe("t", got)
    scene.relay(there, receive=["t"])
    sender = scene.relay(here, send=["t", "t.*"])
    here.publish(event)
    here.publish(Event("t", "next"))
    poll(lambda: "next" in got.data)
    stats = sender.stats()
    assert (stats.connects, stats.resent) == (1, 0)
    assert_books(sender)
    for error in scene.errors:
        assert "was dropped" in str(error)
        assert len(str(error)) < 500
    # Redis takes all but the long source.
    assert len(scene.errors) == stats.dropped_by.get("rejected", 0)
    assert stats.dropped or "redis" in repr(scene.server.url())


def test_a_failure_to_connect_that_nothing_expects_is_logged_once(
    scene: Scene, factory: BusFactory, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again all the same."""
    attempts: list[int] = []

    async def connect(_self: Any) -> None:
        attempts.append(len(attempts))
        raise ZeroDivisionError("in the client")

    broker = type(adapter(scene.server.scheme).make(scene.server.url(), "n", {}))
    monkeypatch.setattr(broker, "connect", connect)
    scene.begin(factory.bus(), send=["t"])
    poll(lambda: len(attempts) == 4)
    assert logged.text.count("connecting failed") == 1


def test_an_argument_that_the_client_has_not_got_is_named(
    scene: Scene, factory: BusFactory
) -> None:
    """At once, not by each attempt to connect."""
    with pytest.raises(TypeError, match=r"connect: .*'nope'"):
        scene.begin(factory.bus(), send=["t"], connect={"nope": 1})
