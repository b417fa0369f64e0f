"""What happens to an event's payload: it is never touched, and released immediately."""

import weakref
from contextlib import suppress
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, DropReason, Event, EventBus, QueueFull
from helpers.buses import BusFactory
from helpers.handlers import Drops, Recorder
from helpers.interpreter import needs_immediate_release
from helpers.waiting import HANG


class Untouchable:
    """A payload that must not be compared, hashed, copied, ordered or tested for truth."""

    def _refuse(self, *_: object) -> Any:
        raise AssertionError("the bus touched a payload")

    __eq__ = __ne__ = __lt__ = __gt__ = __le__ = __ge__ = _refuse
    __hash__ = __copy__ = __deepcopy__ = __reduce_ex__ = __reduce__ = _refuse  # type: ignore[assignment]
    __bool__ = __len__ = __iter__ = __str__ = __format__ = _refuse


class UntouchableEvent(Event, Untouchable):
    """Return an event of this kind."""


def fail(_: Any) -> None:
    raise ValueError


@pytest.mark.parametrize("policy", BackpressurePolicy)
def test_payloads_are_never_touched(factory: BusFactory, policy: BackpressurePolicy) -> None:
    """Not when they are handled, overtake, are evicted, fail or are left over."""
    drops: Drops = Drops()
    errors: list[BaseException] = []
    bus = factory.bus(
        queue_size=3, policy=policy, on_drop=drops, on_error=lambda *args: errors.append(args[2])
    )
    gate, seen = factory.hold(bus), Recorder()
    bus.subscribe(Untouchable, seen)
    bus.subscribe("a", seen)
    bus.subscribe("a", fail)
    things: list[Any] = [Event("a", Untouchable()), UntouchableEvent("b"), Untouchable()]
    for level in (1, 3, 2, 1, 3):
        for thing in things:
            try:
                bus.publish(thing, priority=level, timeout=0)
            except QueueFull:
                continue
    gate.open()
    assert bus.flush(HANG)
    assert bus.publish_many(things[:1]) == 1
    assert bus.flush(HANG)
    assert bus.stats().dropped == len(drops)
    assert len(seen.events) + len(errors) == bus.stats().processed - 1
    assert all("touched" not in str(error) for error in errors)


# ---- release ---------------------------------------------------------------------------------


class Heavy:
    """A payload that can be weakly referenced."""


def publish_heavy(bus: EventBus, references: "list[weakref.ref[Heavy]]") -> None:
    """Publish one and keep only a weak reference."""
    heavy = Heavy()
    references.append(weakref.ref(heavy))
    bus.publish(Event("heavy", heavy))


@pytest.mark.parametrize("fails", [False, True], ids=["handled", "failed"])
@pytest.mark.parametrize("deliveries", [1, 3])
@pytest.mark.parametrize("monitoring", [False, True])
def test_event_is_released_at_once_after_handling(
    factory: BusFactory, fails: Any, deliveries: int, monitoring: Any
) -> None:
    """When the worker is idle again, not when the slot or the worker is used again."""
    bus = factory.bus(on_error=lambda *_: None, monitoring=monitoring)
    for _ in range(deliveries):
        bus.subscribe("heavy", fail if fails else lambda _: None)
    references: list[weakref.ref[Heavy]] = []
    publish_heavy(bus, references)
    assert bus.flush(HANG)
    assert references[0]() is None


@needs_immediate_release
def test_event_is_released_before_the_delivery_is_finished(factory: BusFactory) -> None:
    """Its finalizer may publish, and flush waits for what it publishes."""
    bus, recorder = factory.bus(), Recorder()

    class Last:
        def __del__(self) -> None:
            bus.publish(Event("last"))

    bus.subscribe("a", lambda _: None)
    bus.subscribe("last", recorder)
    assert bus.publish(Event("a", Last()))
    assert bus.flush(HANG)
    assert len(recorder.events) == 1


@pytest.mark.parametrize("policy", list(BackpressurePolicy)[:4])
def test_dropped_event_is_released_at_once(factory: BusFactory, policy: BackpressurePolicy) -> None:
    """The bus keeps nothing that was evicted or refused."""
    bus = factory.bus(queue_size=1, policy=policy)
    factory.hold(bus)
    bus.subscribe("*", Recorder())
    references = []
    for _ in range(4):  # the first drop is logged, and logging may keep the record
        with suppress(QueueFull):
            bus.publish(Event("light"))
        with suppress(QueueFull):
            publish_heavy(bus, references)
    with suppress(QueueFull):
        bus.publish(Event("light"))
    assert [reference() for reference in references[1:]] == [None] * 3


def test_event_left_over_at_shutdown_is_released(factory: BusFactory) -> None:
    """Once stop has returned."""
    bus = factory.bus()
    gate = factory.hold(bus)
    bus.subscribe("heavy", lambda _: None)
    references: list[weakref.ref[Heavy]] = []
    publish_heavy(bus, references)
    assert bus.stop(drain=False, timeout=0) is False
    assert references[0]() is None
    assert bus.stats().dropped_by[DropReason.SHUTDOWN][2] == 1
    gate.open()


def test_publish_many_keeps_no_event_while_its_source_is_asked(factory: BusFactory) -> None:
    """What was handled is released even if the next event arrives much later."""
    bus = factory.bus(queue_size=300)
    bus.subscribe("heavy", lambda _: None)
    references: list[weakref.ref[Heavy]] = []

    def source() -> Any:
        for _ in range(256):
            heavy = Heavy()
            references.append(weakref.ref(heavy))
            yield Event("heavy", heavy)
            del heavy
        assert bus.flush(HANG)
        assert [reference for reference in references if reference() is not None] == []

    assert bus.publish_many(source()) == 256
