"""Weak subscriptions: they do not keep the object of a method alive, and end with it."""

import functools
import gc
import os
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from brummerbus import Event, EventBus
from helpers.buses import BusFactory
from helpers.checks import assert_balance
from helpers.handlers import Logged, Recorder
from helpers.processes import in_child
from helpers.waiting import HANG


class Window:
    """Something that comes and goes, and wants to hear of events while it is there."""

    def __init__(self, seen: Recorder) -> None:
        self.seen = seen
        self.me: Any = None

    def on_event(self, event: Event) -> None:
        self.seen(event)

    def on_events(self, events: list[Event]) -> None:
        for event in events:
            self.seen(event)

    @classmethod
    def on_class(cls, event: Event) -> None:
        """Do nothing."""


class Slotted:
    """Cannot be referred to weakly."""

    __slots__ = ()

    def on_event(self, event: Event) -> None:
        """Do nothing."""


def publish(bus: EventBus, data: Any) -> None:
    """Publish an event and have it handled."""
    assert bus.publish(Event("a", data))
    assert bus.flush(HANG)


def test_a_weak_subscription_ends_with_its_object(factory: BusFactory, logged: Logged) -> None:
    """Nothing is delivered afterwards, and nothing has failed."""
    bus, seen = factory.bus(), Recorder()
    window = Window(seen)
    gone = weakref.ref(window)
    subscription = bus.subscribe("a", window.on_event, weak=True)
    publish(bus, 1)
    assert bus.subscriptions() == (subscription,)
    del window
    assert gone() is None
    assert bus.subscriptions() == ()
    publish(bus, 2)
    stats = bus.stats()
    assert seen.data == [1]
    assert (stats.processed, stats.failed, stats.unrouted) == (1, 0, 1)
    assert logged.text == ""


@pytest.mark.parametrize("event_type", ["a", "*", Event])
def test_whatever_it_is_to(factory: BusFactory, event_type: Any) -> None:
    """Exact types, globs and classes; the next publish finds nobody."""
    bus, seen = factory.bus(), Recorder()
    window = Window(seen)
    bus.subscribe(event_type, window.on_event, weak=True)
    publish(bus, 1)
    del window
    publish(bus, 2)
    assert seen.data == [1]
    assert bus.stats().unrouted == 1


def test_an_object_in_a_circle_ends_it_when_it_is_collected(factory: BusFactory) -> None:
    """The callback then runs inside the collector."""
    bus, seen = factory.bus(), Recorder()
    window = Window(seen)
    window.me = window
    bus.subscribe("a", window.on_event, weak=True)
    publish(bus, 1)
    del window
    gc.collect()
    assert bus.subscriptions() == ()


def test_what_is_queued_when_the_object_goes_counts_as_processed(
    factory: BusFactory, logged: Logged
) -> None:
    """The method is not called, and nothing is logged."""
    bus, seen = factory.bus(), Recorder()
    gate = factory.hold(bus)
    window = Window(seen)
    bus.subscribe("a", window.on_event, weak=True)
    bus.publish(Event("a", 1))
    del window
    gate.open()
    assert bus.flush(HANG)
    stats = bus.stats()
    assert seen.data == []
    assert (stats.published, stats.processed, stats.failed) == (2, 2, 0)
    assert_balance(stats)
    assert logged.text == ""


def test_the_object_lives_as_long_as_its_method_runs(factory: BusFactory) -> None:
    """A worker in it holds it; it goes when the method returns."""
    bus, gate = factory.bus(), factory.gate()

    class Slow:
        def on_event(self, event: Event) -> None:
            gate(event)

    slow = Slow()
    gone = weakref.ref(slow)
    bus.subscribe("a", slow.on_event, weak=True)
    bus.publish(Event("a"))
    gate.wait_entered()
    del slow
    assert gone() is not None
    gate.open()
    assert bus.flush(HANG)
    assert gone() is None
    assert bus.subscriptions() == ()


@pytest.mark.parametrize(
    "options",
    [
        {"once": True},
        {"key": "id"},
        {"max_concurrency": 1},
        {"retries": 1, "backoff": 0.001},
        {"batch": 2},
    ],
    ids=str,
)
def test_it_goes_with_the_other_options(factory: BusFactory, options: dict[str, Any]) -> None:
    """The method is called as without it."""
    bus, seen = factory.bus(), Recorder()
    window = Window(seen)
    handler = window.on_events if "batch" in options else window.on_event
    bus.subscribe("a", handler, weak=True, **options)
    del handler
    publish(bus, 1)
    assert seen.data == [1]
    gone = weakref.ref(window)
    del window
    gc.collect()
    assert gone() is None
    assert bus.subscriptions() == ()


def test_a_weak_subscription_can_be_found_by_its_method(factory: BusFactory) -> None:
    """Its label names the method, and `unsubscribe` takes it."""
    bus, window = factory.bus(), Window(Recorder())
    subscription = bus.subscribe("a", window.on_event, weak=True)
    assert subscription.label == "a -> Window.on_event"
    assert bus.unsubscribe(window.on_event) == 1
    assert bus.subscriptions() == ()


def test_on_subscribes_a_method_weakly(factory: BusFactory) -> None:
    """To each of the types."""
    bus, window = factory.bus(), Window(Recorder())
    bus.on("a", "b", weak=True)(window.on_event)
    assert len(bus.subscriptions()) == 2
    del window
    assert bus.subscriptions() == ()


def plain(event: Event) -> None:
    """Do nothing."""


REFUSED: list[Callable[[Event], object]] = [
    plain,
    lambda event: None,
    functools.partial(plain),
    [].append,
    Recorder(),
    functools.partial(Window(Recorder()).on_event),
]


@pytest.mark.parametrize("handler", REFUSED, ids=lambda handler: type(handler).__name__)
def test_what_is_no_bound_method_is_refused(
    factory: BusFactory, handler: Callable[[Event], object]
) -> None:
    """Nothing would keep it alive, and the subscription would end at once."""
    bus = factory.bus()
    with pytest.raises(TypeError, match="weak=True needs a bound method"):
        bus.subscribe("a", handler, weak=True)
    with pytest.raises(TypeError, match="weak=True needs a bound method"):
        bus.on("a", weak=True)(handler)
    assert bus.subscriptions() == ()


def test_an_object_that_cannot_be_referred_to_weakly_is_refused(factory: BusFactory) -> None:
    """The message says what its class lacks."""
    with pytest.raises(TypeError, match="Slotted has __slots__ without '__weakref__'"):
        factory.bus().subscribe("a", Slotted().on_event, weak=True)


def test_weak_must_be_true_or_false(factory: BusFactory) -> None:
    """As other options that are."""
    with pytest.raises(TypeError, match="weak must be True or False"):
        factory.bus().subscribe("a", Window(Recorder()).on_event, weak=1)  # type: ignore[call-overload]


def test_a_method_of_a_class_ends_with_the_class(factory: BusFactory) -> None:
    """A class is an object, too."""
    bus = factory.bus()
    bus.subscribe("a", Window.on_class, weak=True)
    publish(bus, 1)
    assert len(bus.subscriptions()) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_in_a_forked_child_it_ends_with_the_childs_object(factory: BusFactory) -> None:
    """The parent's goes on."""
    bus, seen = factory.bus(), Recorder()
    windows = [Window(seen)]
    bus.subscribe("a", windows[0].on_event, weak=True)

    def child() -> None:
        publish(bus, 1)
        windows.clear()
        assert bus.subscriptions() == ()

    assert in_child(child) == 0
    publish(bus, 2)
    assert seen.data == [2]
