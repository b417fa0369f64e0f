"""Events that came by a relay, alone."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from brummerbus import Event
from brummerbus.relay import RelayedEvent
from brummerbus.relay._arrived import relayed
from brummerbus.relay._envelope import Envelope
from helpers.buses import BusFactory
from relay.scene import Scene, scene

__all__ = ["scene"]

OWN = ("origin", "origin_id", "hops", "partition_key", "traceparent")


def came() -> RelayedEvent:
    return relayed(
        Envelope("7", "/s", "t", {"a": [1]}, 1.5, "place", 2, "key", "00-ab-cd-01", hops=3)
    )


def own(event: Any) -> list[Any]:
    return [getattr(event, name) for name in OWN]


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda event: pickle.loads(pickle.dumps(event))]
)
def test_a_copy_came_like_its_original(copied: Callable[[Any], Any]) -> None:
    event = came()
    other = copied(event)
    assert type(other) is RelayedEvent
    assert own(other) == own(event) == ["/s", "7", 3, "key", "00-ab-cd-01"]
    assert (other.id, other.timestamp, other.source) == (event.id, 1.5, "place")
    assert other.is_original


def test_what_is_derived_knows_where_its_original_came_from() -> None:
    derived = came().replace(type="u")
    assert own(derived) == own(came())
    assert not derived.is_original


def test_one_that_a_program_makes_itself_has_defaults_and_is_sent(
    scene: Scene, factory: BusFactory
) -> None:
    """A test of a handler makes one."""
    event = RelayedEvent("t", 1)
    assert own(event) == ["", "", 0, None, None]
    assert not event.is_original
    with pytest.raises(AttributeError, match="'RelayedEvent' object has no attribute 'nothing'"):
        _ = event.nothing
    here = factory.bus()
    sender = scene.relay(here, send=["t"])
    here.publish(event)
    here.publish(Event("t", 2))
    assert sender.stop()
    assert sender.stats().acked == 2
    assert here.stats().failed == 0
