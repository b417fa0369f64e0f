"""What comes while a relay stops."""

import os
from dataclasses import replace

import pytest

from brummerbus import Event, EventBus
from brummerbus.relay import _tuning
from helpers.buses import BusFactory
from helpers.waiting import HANG, poll
from relay.scene import QUICK, Scene, scene

__all__ = ["scene"]


def receiving(scene: Scene, bus: EventBus) -> list[int]:
    """Connect a bus; return the numbers that come to it."""
    came: list[int] = []
    bus.subscribe("t", lambda event: came.append(event.data))
    scene.relay(bus, receive=["t"])
    return came


def test_what_comes_after_the_stop_began_is_given_back_at_once(
    scene: Scene, factory: BusFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One request for events lasts until the second one has come.
    monkeypatch.setattr(_tuning, "TUNING", replace(QUICK, fetch_wait=HANG))
    sender = factory.bus(name="sender")
    scene.relay(sender, send=["t"])
    bus = factory.bus(name="receiver")
    came = receiving(scene, bus)
    relay = scene.relays[-1]
    receiver = relay._processes[os.getpid()].receiver
    assert receiver is not None
    sender.publish(Event("t", 1))
    poll(lambda: relay.stats().handled == 1)
    # It has asked for more already; the answer comes after the stop began.
    receiver.closed = True
    sender.publish(Event("t", 2))
    poll(lambda: relay.stats().redeliver == 1)
    assert relay.stop()
    assert came == [1]
    again = receiving(scene, factory.bus(name="receiver"))
    poll(lambda: again == [2])
