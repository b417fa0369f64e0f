"""`listen`: threads take events as they want to."""

import gc
import weakref
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, BusClosed, Event, EventBus, _listening
from helpers.buses import BusFactory
from helpers.handlers import Recorder
from helpers.internals import types_listened_to
from helpers.listening import Order, held, waiting
from helpers.threads import InThread
from helpers.waiting import HANG, poll


def test_a_listener_gets_what_is_published_after_listen_returned(factory: BusFactory) -> None:
    """Not only from the first `next` on, in order, each once; it ends with the bus."""
    bus = factory.bus()
    bus.publish(Event("a", "before"))
    listener = bus.listen("a", "a*", Event)
    for number in range(3):
        bus.publish(Event("a", number))
    bus.publish(Order())
    bus.stop()
    assert [event.data for event in listener] == [0, 1, 2]
    assert listener.closed
    with pytest.raises(BusClosed):
        bus.listen("a")


def test_iterating_waits_for_events(factory: BusFactory) -> None:
    """In another thread than those that publish."""
    bus = factory.bus()
    listener = bus.listen("a")
    thread = InThread(lambda: [event.data for event in listener])
    for number in range(100):
        bus.publish(Event("a", number))
    bus.stop()
    assert thread.result() == list(range(100))


@pytest.mark.parametrize(
    ("policy", "kept"),
    [("drop_oldest", [2, 3, 4]), ("drop_newest", [0, 1, 2]), (None, [2, 3, 4])],
)
def test_a_full_listener_drops(factory: BusFactory, policy: str | None, kept: list[int]) -> None:
    """It counts how many; the counts of the bus are not touched."""
    bus, seen = factory.bus(), Recorder()
    bus.subscribe("a", seen)
    options: Any = {} if policy is None else {"policy": policy}
    listener = bus.listen("a", maxsize=3, **options)
    for number in range(5):
        assert bus.publish(Event("a", number))
    assert (held(listener), listener.depth, listener.dropped) == (kept, 3, 2)
    assert bus.flush(HANG)
    stats = bus.stats()
    assert (stats.published, stats.dropped) == (5, 0)
    assert [*stats.by_subscription] == ["a -> Recorder object"]
    assert seen.data == [0, 1, 2, 3, 4]
    assert bus.subscriptions()[0].handler is seen
    assert len(bus.subscriptions()) == 1


@pytest.mark.parametrize("policy", [*BackpressurePolicy, "nonsense", 3, None])
def test_other_policies_are_refused(factory: BusFactory, policy: Any) -> None:
    """The message names those that a listener has."""
    bus = factory.bus()
    if policy in _listening._POLICIES:
        bus.listen("a", policy=policy).close()
        bus.listen("a", policy=policy.value.upper()).close()
        return
    message = "policy must be one of 'drop_oldest', 'drop_newest', 'block', got"
    with pytest.raises(ValueError, match=message):
        bus.listen("a", policy=policy)
    assert types_listened_to(bus) == 0


def test_mistakes_in_listen_are_refused(factory: BusFactory) -> None:
    """Before it listens."""
    bus = factory.bus()
    with pytest.raises(TypeError, match="at least one event type"):
        bus.listen()
    with pytest.raises(TypeError):
        bus.listen("a", 3)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="maxsize must be an int from 1 to 16777216, got 0"):
        bus.listen("a", maxsize=0)
    assert types_listened_to(bus) == 0


def test_a_listener_ends_with_its_block_and_with_its_last_reference(factory: BusFactory) -> None:
    """A loop that is left does not go on listening."""
    bus = factory.bus()
    with bus.listen("a") as listener:
        assert types_listened_to(bus) == 1
    assert (types_listened_to(bus), listener.closed) == (0, True)
    publisher = InThread(
        lambda: (poll(lambda: types_listened_to(bus) == 1), bus.publish(Event("a", 1)))
    )
    for event in bus.listen("a"):
        assert event.data == 1
        break
    publisher.result()
    gc.collect()
    assert types_listened_to(bus) == 0


def test_what_was_taken_is_not_kept(factory: BusFactory) -> None:
    """Nor by `wait_for`."""
    bus, event = factory.bus(), Event("a")
    gone = weakref.ref(event)
    with bus.listen("a") as listener:
        thread = waiting(bus, lambda: bus.wait_for("a").data)
        bus.publish(event)
        thread.result()
        del thread, event
        next(listener)
        gc.collect()
        assert gone() is None


def test_a_listener_does_not_keep_its_bus_alive() -> None:
    """It ends with the bus, as when it stops."""
    bus = EventBus(workers=1)
    gone = weakref.ref(bus)
    listener = bus.listen("a")
    bus.publish(Event("a", 1))
    del bus
    assert gone() is None
    assert [event.data for event in listener] == [1]
