"""How drops are reported: by the hook, by the log, and by the exception."""

import contextlib

import pytest

from brummerbus import BackpressurePolicy, BusClosed, DropReason, Event, EventBus, QueueFull
from helpers.buses import BusFactory
from helpers.checks import assert_balance
from helpers.handlers import Drops, Logged, Recorder
from helpers.scene import BLOCK, LOWEST, NEWEST, OLDEST, REJECT, Scene
from helpers.threads import InThread
from helpers.waiting import HANG


def test_what_is_left_at_shutdown_is_told(factory: BusFactory) -> None:
    """By delivery, with the reason SHUTDOWN, at its level."""
    scene = Scene(factory, BLOCK, 5)
    second = scene.bus.subscribe("a", Recorder())
    scene.publish("3a", "1b")
    stop = InThread(lambda: scene.bus.stop(drain=False, timeout=HANG))
    scene.gate.open()
    assert stop.result() is False
    assert [(e.data, s, r) for e, s, r in scene.drops] == [
        (data, subscription, DropReason.SHUTDOWN)
        for data in ("3a", "1b")
        for subscription in (scene.subscription, second)
    ]
    assert scene.bus.stats().dropped_by[DropReason.SHUTDOWN] == {1: 2, 2: 0, 3: 2}
    assert scene.recorder.data == []


def test_first_drop_of_a_streak_is_logged_and_no_other(factory: BusFactory, logged: Logged) -> None:
    """A streak ends when the queue was half empty again; then the next one is logged too."""
    scene = Scene(factory, OLDEST, 4)
    for streak in (1, 2):
        scene.publish(*["2a"] * 54)
        assert len(logged.records) == streak
        assert logged.records[-1].levelname == "WARNING"
        scene.gate.let_through()
        assert scene.bus.flush(HANG)
        scene.gate = factory.hold(scene.bus)
    assert len(scene.drops) == 100
    assert "2a" in logged.text


def test_hooks_are_told_outside_the_ring(factory: BusFactory) -> None:
    """When `on_drop` reads statistics, the drop is counted already."""
    seen: list[int] = []
    bus = factory.bus(
        policy=NEWEST, queue_size=1, on_drop=lambda *_: seen.append(bus.stats().dropped)
    )
    factory.hold(bus)
    bus.subscribe("a", Recorder())
    assert [bus.publish(Event("a")) for _ in range(3)] == [True, False, False]
    assert seen == [1, 2]


# ---- QueueFull -------------------------------------------------------------------------------


class Job:
    """An object that is not an `Event`."""


@pytest.mark.parametrize("policy", [REJECT, BLOCK])
@pytest.mark.parametrize(("thing", "name"), [(Event("log.line"), "log.line"), (Job(), "Job")])
def test_queue_full_names_type_deliveries_policy_and_wait(
    factory: BusFactory, policy: BackpressurePolicy, thing: object, name: str
) -> None:
    """A reader of the log knows what was dropped, and why."""
    scene = Scene(factory, policy, 3, name="night")
    scene.publish("2a", "2b")
    for _ in range(2):
        scene.bus.subscribe(Job if isinstance(thing, Job) else "log.line", Recorder())
    with pytest.raises(QueueFull) as caught:
        scene.bus.publish(thing, timeout=0.05)
    text = str(caught.value)
    for part in ("night", "3 slots", repr(name), "2 deliveries", policy.name):
        assert part in text
    assert 0.05 <= float(text.rpartition("after a wait of ")[2].removesuffix(" s")) < HANG


def test_queue_full_without_a_wait_says_so(factory: BusFactory) -> None:
    """And counts one slot as one."""
    scene = Scene(factory, REJECT, 1)
    scene.publish("2a")
    with pytest.raises(QueueFull, match=r"1 slot\).*'a' with 1 delivery .* REJECT .* of \S+ s$"):
        scene.publish("2b")


# ---- hooks that do more than look ------------------------------------------------------------


class Odd(BaseException):
    """A BaseException that is no `Exception`."""


def lose_four(bus: EventBus) -> None:
    """Have one event with four deliveries dropped, or four deliveries evicted for it."""
    for data in range(2):
        with contextlib.suppress(QueueFull, BusClosed):
            bus.publish(Event("four", data), priority=2)


@pytest.mark.parametrize("policy", [OLDEST, NEWEST, REJECT])
def test_all_losses_are_told_although_the_hook_raises(
    factory: BusFactory, policy: BackpressurePolicy
) -> None:
    """Each of the four deliveries."""
    reported = []

    def on_drop(event: Event, *_: object) -> None:
        reported.append(event.data)
        raise ValueError

    bus = factory.bus(policy=policy, queue_size=4, on_drop=on_drop)
    factory.hold(bus)
    for _ in range(4):
        bus.subscribe("four", Recorder())
    lose_four(bus)
    assert reported == ([0] if policy is OLDEST else [1]) * 4
    assert bus.stats().dropped == 4


def test_what_is_no_exception_goes_on_to_the_publisher_after_all_losses_were_told(
    factory: BusFactory,
) -> None:
    """A Ctrl-C in a hook must neither be swallowed nor prevent reports."""
    reported = []

    def on_drop(event: Event, _: object, reason: DropReason) -> None:
        if reason is DropReason.REFUSED:
            reported.append(event.data)
            raise Odd

    bus = factory.bus(policy=NEWEST, queue_size=4, on_drop=on_drop)
    factory.hold(bus)
    for _ in range(4):
        bus.subscribe("four", Recorder())
    with pytest.raises(Odd):
        lose_four(bus)
    assert reported == [1] * 4
    assert bus.stats().dropped == 4


def test_all_losses_are_told_although_the_hook_publishes(factory: BusFactory) -> None:
    """Those of the hook's own events too, up to the maximum hook depth."""
    drops = Drops()

    def on_drop(event: Event, subscription: object, reason: DropReason) -> None:
        drops.append((event, subscription, reason))
        if event.type == "four":
            bus.publish(Event("note", event.data), priority=1)

    bus = factory.bus(policy=LOWEST, queue_size=4, on_drop=on_drop)
    factory.hold(bus)
    for _ in range(4):
        bus.subscribe("four", Recorder())
    bus.subscribe("note", Recorder())
    lose_four(bus)
    assert [event.type for event, _, _ in drops] == ["four", "note"] * 4
    assert bus.stats().dropped == len(drops)
    assert_balance(bus.stats())


def test_all_losses_are_told_although_the_hook_stops_the_bus(factory: BusFactory) -> None:
    """Drops of the stop are reported during it."""
    drops = Drops()

    def on_drop(event: Event, subscription: object, reason: DropReason) -> None:
        drops.append((event, subscription, reason))
        bus.stop(drain=False, timeout=0)

    bus = factory.bus(policy=NEWEST, queue_size=4, on_drop=on_drop)
    gate = factory.hold(bus)
    for _ in range(4):
        bus.subscribe("four", Recorder())
    lose_four(bus)
    reasons = [(event.data, reason) for event, _, reason in drops]
    assert reasons.count((1, DropReason.REFUSED)) == 4
    assert reasons.count((0, DropReason.SHUTDOWN)) == 4
    assert bus.stats().dropped == 8
    gate.open()
