"""In a full queue, expired deliveries are dropped before anything else."""

from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, DropReason, Event, QueueFull
from brummerbus._core import admission
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest
from helpers.expiring import Scene, of_each_kind
from helpers.handlers import Recorder
from helpers.threads import InThread
from helpers.waiting import HANG, pause, poll

POLICIES = list(BackpressurePolicy)


EXPIRED = DropReason.EXPIRED


AT_ONCE = 1e-9
"""Seconds; whatever is looked at later has expired."""


LONG = 1000.0
"""Seconds; no test takes so long."""


@of_each_kind
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.value)
@pytest.mark.parametrize("plainly", [True, False], ids=["plain", "with_options"])
def test_what_has_expired_gives_way_before_anything_else(
    factory: BusFactory, policy: BackpressurePolicy, options: dict[str, Any], plainly: bool
) -> None:
    """Whatever the policy, and whatever is published: nothing is evicted, refused or run here."""
    scene = Scene(factory, options, policy=policy, queue_size=4, publish_timeout=HANG)
    scene.publish("old")
    scene.publish("x", "y", expires=AT_ONCE)
    scene.publish("new")
    scene.bus.subscribe("b", scene._handle)
    more: dict[str, Any] = {} if plainly else {"on_done": print, "timeout": 0}
    assert scene.bus.publish(
        Event("b", 1), **({"priority": 2, "timeout": HANG} if plainly else more)
    )
    assert scene.expired == ["x", "y"]
    assert scene.bus.publish(Event("b", 2))
    assert len(scene.drops) == 2
    assert scene.finish() == ["old", "new", 1, 2]


def test_a_publisher_that_has_waited_evicts_first_what_expired_meanwhile(
    factory: BusFactory,
) -> None:
    """And not the oldest."""
    scene = Scene(factory, {}, queue_size=2)
    scene.publish("old")
    scene.publish("x", expires=0.1)
    assert scene.publish("new", timeout=0.3) == [True]
    assert scene.expired == ["x"]
    assert scene.finish() == ["old", "new"]


def test_no_event_is_refused_where_others_expired_during_the_wait(factory: BusFactory) -> None:
    """It is admitted, and so is another that waits."""
    scene = Scene(factory, {}, queue_size=2, policy="reject")
    scene.publish("x", "y", expires=0.1)
    assert scene.publish("new", timeout=0.3) == [True]
    assert scene.expired == ["x", "y"]
    assert scene.finish() == ["new"]


@pytest.mark.parametrize("publishers", [1, 3])
def test_publishers_that_wait_get_the_places_of_what_expires_meanwhile(
    factory: BusFactory, monkeypatch: pytest.MonkeyPatch, publishers: int
) -> None:
    """Without an end of their wait, and while the worker stands still."""
    monkeypatch.setattr(admission, "OTHER_SLICE_NS", int(1e9 * LONG))
    scene = Scene(factory, {}, queue_size=publishers, policy="block")
    scene.publish(*"x" * publishers, expires=0.1)
    waiting = [InThread(partial(scene.publish, n)) for n in range(publishers)]
    assert [one.result() for one in waiting] == [[True]] * publishers
    assert scene.expired == ["x"] * publishers
    assert sorted(scene.finish()) == list(range(publishers))


def test_the_main_thread_gets_the_place_of_what_expires_meanwhile(factory: BusFactory) -> None:
    """As every other."""
    scene = Scene(factory, {}, queue_size=1, policy="block")
    scene.publish("x", expires=0.1)
    assert scene.publish("new", timeout=LONG) == [True]
    assert scene.finish() == ["new"]


def test_a_scheduled_event_gets_the_place_of_what_expires_meanwhile(factory: BusFactory) -> None:
    """Whatever a hook raises for that."""

    def on_drop(*args: object) -> None:
        raise SystemExit

    bus, recorder = factory.bus(queue_size=1, policy="block", on_drop=on_drop), Recorder()
    gate = factory.hold(bus)
    bus.subscribe("a", recorder)
    bus.publish(Event("a", "x"), expires=0.1)
    bus.publish_after(0, Event("a", "new"))
    poll(lambda: bus.stats().dropped == 1)  # while the worker is held: it was not the worker
    poll(lambda: bus.stats().scheduled == 0)
    gate.open()
    assert_at_rest(bus)
    assert recorder.data == ["new"]


def test_many_expired_deliveries_give_way_at_once(factory: BusFactory) -> None:
    """More than are removed in one step, of all levels."""
    scene = Scene(factory, {}, queue_size=200, policy="reject")
    for n in range(200):
        scene.publish(n, expires=AT_ONCE, priority=1 + n % 3)
    assert scene.publish("new") == [True]
    assert sorted(scene.expired) == list(range(200))
    assert scene.bus.depth == 1
    assert scene.finish() == ["new"]


def test_the_first_to_expire_is_found_among_others(factory: BusFactory) -> None:
    """A full queue whose deliveries last; the first that does not is found once it has expired."""
    scene = Scene(factory, {}, queue_size=3, policy="drop_newest")
    scene.publish(1, 2, expires=LONG)
    scene.publish(3, expires=0.05)
    assert scene.publish(4) == [False]
    pause(0.1)
    assert scene.publish(5) == [True]
    assert scene.expired == [3]
    assert scene.finish() == [1, 2, 5]


def test_on_drop_can_publish_into_the_room(factory: BusFactory) -> None:
    """What it publishes is accepted, and the publisher gets the rest."""
    recorder, published = Recorder(), []

    def on_drop(event: Event, subscription: object, reason: DropReason) -> None:
        if reason is EXPIRED:
            published.append(bus.publish(Event("a", "by the hook")))

    bus = factory.bus(queue_size=3, policy="reject", on_drop=on_drop)
    gate = factory.hold(bus)
    bus.subscribe("a", recorder)
    bus.publish_many([Event("a", n) for n in range(3)], expires=AT_ONCE)
    with suppress(QueueFull):
        bus.publish(Event("a", "new"))
    assert published == [True] * 3
    gate.open()
    assert_at_rest(bus)
