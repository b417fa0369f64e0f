"""Which handlers receive which events, from when on, and until when."""

import itertools
import threading
import weakref
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, Event, EventBus, EventType, Subscription
from helpers.buses import BusFactory
from helpers.handlers import Recorder
from helpers.internals import cached_route, subscriptions_of, types_subscribed_to
from helpers.opcodes import At
from helpers.threads import run_together
from helpers.waiting import HANG


class Base(Event):
    def __init__(self, data: object = None) -> None:
        super().__init__("base", data)


class Derived(Base):
    pass


def received(bus: EventBus, event_type: str | type, *events: Any) -> list[Any]:
    """Return which of the events a subscription to the type receives."""
    recorder = Recorder()
    with bus.subscribe(event_type, recorder):
        for event in events:
            bus.publish(event)
            assert bus.flush(HANG)
    return recorder.events


def types(*names: str) -> list[Event]:
    return [Event(name) for name in names]


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("log.line", ["log.line"], ["log.lines", "log", "Log.Line", "xlog.line"]),
        ("process.*", ["process.started", "process.", "process.a.b"], ["process", "xprocess.a"]),
        ("*", ["a", "log.line", "x y\nz"], []),
        ("test.?ailed", ["test.failed"], ["test.ailed", "test.Xfailed"]),
        ("[ab].c", ["a.c", "b.c"], ["c.c", "ab.c"]),
        ("[!a].c", ["b.c"], ["a.c"]),
        ("a+b", ["a+b"], ["aab", "ab"]),
        ("*.CASE", ["x.CASE"], ["x.case"]),
    ],
)
def test_string_receives_what_it_matches(
    factory: BusFactory, pattern: str, matching: list[str], others: list[str]
) -> None:
    """A string is matched exactly, a glob as a whole, and case counts."""
    events = types(*matching, *others)
    assert received(factory.bus(), pattern, *events) == events[: len(matching)]


def test_event_type_is_as_good_as_its_string(factory: BusFactory) -> None:
    """Subscribed by one and published by the other, either way round."""
    bus = factory.bus()
    assert len(received(bus, EventType.LOG_LINE, Event("log.line"))) == 1
    assert len(received(bus, "log.line", Event(EventType.LOG_LINE))) == 1


def test_string_receives_subclasses_of_event_by_their_type(factory: BusFactory) -> None:
    """The class of an event does not matter to a subscription to its type."""
    events = [Base(), Derived(), Event("base")]
    assert received(factory.bus(), "base", *events) == events


def test_class_receives_its_subclasses(factory: BusFactory) -> None:
    """A base class receives all its subclasses, and nothing else."""
    base, derived, other = Base(), Derived(), Event("base")
    assert received(factory.bus(), Base, base, derived, other) == [base, derived]
    assert received(factory.bus(), Derived, base, derived, other) == [derived]
    assert received(factory.bus(), Event, base, derived, other) == [base, derived, other]


def test_object_receives_everything(factory: BusFactory) -> None:
    """All classes derive from it."""
    things = [Event("a"), 1, b"text", None, [], print]
    assert received(factory.bus(), object, *things) == things


def test_strings_match_events_only(factory: BusFactory) -> None:
    """Other objects have no type, whatever attributes they have."""
    event = Event("a")
    assert received(factory.bus(), "*", b"a", 5, event) == [event]
    assert received(factory.bus(), "int", 5) == []


def test_each_matching_subscription_is_one_delivery(factory: BusFactory) -> None:
    """The same handler subscribed in three ways receives an event three times."""
    bus, recorder = factory.bus(), Recorder()
    for event_type in ("base", "b*", Base):
        bus.subscribe(event_type, recorder)
    bus.publish(Base())
    assert bus.flush(HANG)
    assert len(recorder.events) == 3
    assert bus.stats().published == 3


def test_on_subscribes_and_returns_the_function_unchanged(factory: BusFactory) -> None:
    """The decorated function is the function, also under several types."""
    bus, recorder = factory.bus(), Recorder()

    def handler(event: Any) -> None:
        recorder(event)

    assert bus.on("a", "b*", Base)(handler) is handler
    events = [Event("a"), Event("bee"), Derived(), Event("c")]
    bus.publish_many(events)
    assert bus.flush(HANG)
    assert recorder.events == [events[0], events[1], events[2], events[2]]


def test_subscription_says_what_it_is(factory: BusFactory) -> None:
    """It has its type and its handler, and shows them."""
    recorder = Recorder()
    subscription = factory.bus().subscribe("process.*", recorder)
    assert isinstance(subscription, Subscription)
    assert subscription.event_type == "process.*"
    assert subscription.handler is recorder
    assert "process.*" in repr(subscription)


def test_cancelled_subscription_receives_nothing_more(factory: BusFactory) -> None:
    """Cancelling ends one subscription, not the handler's others, and may be repeated."""
    bus, recorder = factory.bus(), Recorder()
    first = bus.subscribe("a", recorder)
    bus.subscribe("a", recorder)
    bus.publish(Event("a", 1))
    first.cancel()
    first.cancel()
    bus.publish(Event("a", 2))
    assert bus.flush(HANG)
    assert sorted(recorder.data) == [1, 1, 2]


def test_subscription_ends_with_its_block(factory: BusFactory) -> None:
    """As a context manager it is itself, and cancelled at the end, also by an exception."""
    bus, recorder = factory.bus(), Recorder()
    subscription = bus.subscribe("a", recorder)
    with pytest.raises(KeyError), subscription as same:
        assert same is subscription
        bus.publish(Event("a", 1))
        raise KeyError
    bus.publish(Event("a", 2))
    assert bus.flush(HANG)
    assert recorder.data == [1]
    assert bus.stats().unrouted == 1


def test_queued_deliveries_outlive_the_subscription(factory: BusFactory) -> None:
    """What was published before cancel is delivered after it."""
    bus, recorder = factory.bus(), Recorder()
    gate = factory.hold(bus)
    with bus.subscribe("a", recorder):
        bus.publish(Event("a", 1))
    bus.publish(Event("a", 2))
    gate.open()
    assert bus.flush(HANG)
    assert recorder.data == [1]


def test_handler_may_cancel_itself(factory: BusFactory) -> None:
    """After cancel has returned, it is not called again."""
    bus, recorder = factory.bus(), Recorder()

    def once(event: Event) -> None:
        recorder(event)
        subscription.cancel()

    subscription = bus.subscribe("a", once)
    bus.publish(Event("a", 1))
    assert bus.flush(HANG)
    bus.publish(Event("a", 2))
    assert bus.flush(HANG)
    assert recorder.data == [1]


class Phase:
    """What the subscribing and cancelling thread does now; compared by identity."""

    def __init__(self, turn: int, *, subscribed: bool) -> None:
        self.turn = turn
        self.subscribed = subscribed
        self.used = threading.Event()


def test_publish_after_subscribe_is_received(factory: BusFactory, frequent_switches: None) -> None:
    """Threads publish while subscriptions are added and cancelled; a visible one receives."""
    bus = factory.bus(workers=2, policy=BackpressurePolicy.BLOCK)
    phases = [Phase(-1, subscribed=False)]
    owed: set[tuple[int, int]] = set()
    got: set[tuple[int, int]] = set()
    done = threading.Event()

    def publish(serial: int) -> None:
        while not done.is_set():
            phase = phases[-1]
            bus.publish(Event("a", (phase.turn, serial)))
            if phase.subscribed and phase is phases[-1]:
                owed.add((phase.turn, serial))
                phase.used.set()
            serial += 3

    def churn() -> None:
        for turn in range(100):
            subscription = bus.subscribe("a", lambda event: got.add(event.data))
            phases.append(Phase(turn, subscribed=True))
            assert phases[-1].used.wait(HANG)
            phases.append(Phase(turn, subscribed=False))
            subscription.cancel()
        done.set()

    run_together(4, lambda n: churn() if n == 3 else publish(n))
    assert bus.flush(HANG)
    assert len({turn for turn, _ in owed}) == 100
    assert not owed - got


@pytest.mark.slow
@pytest.mark.parametrize("outer", ["subscribe", "cancel", "publish"])
def test_guarantee_holds_wherever_subscribing_and_publishing_meet(
    factory: BusFactory, outer: str
) -> None:
    """A publish during subscribe or cancel, or either during a publish."""
    for step in itertools.count():
        bus, one, other = factory.bus(policy=BackpressurePolicy.BLOCK), Recorder(), Recorder()
        cancelled = bus.subscribe("a", one)
        bus.publish(Event("a", "before"))

        def change() -> None:
            if outer != "cancel":
                bus.subscribe("a", other)  # noqa: B023
            if outer != "subscribe":
                cancelled.cancel()  # noqa: B023

        def publish(event_type: str = "a") -> None:
            bus.publish(Event(event_type, "midst"))  # noqa: B023

        bus.subscribe("other.*", Recorder())  # the next publish has to compute its route
        calls = (publish, change) if outer == "publish" else (change, publish)
        midst = At(step + 1, calls[1])
        midst.during(calls[0])
        bus.publish(Event("a", "after"))
        assert bus.flush(HANG)
        assert bus.stop()
        if outer == "publish" and not midst.where:
            break  # nothing was changed during it
        assert ("after" in one.data) is (outer == "subscribe")
        assert ("after" in other.data) is (outer != "cancel")
        if not midst.where:
            break
    assert step > 10


def test_publish_after_cancel_is_not_received(factory: BusFactory, frequent_switches: None) -> None:
    """With cancels only: after a cancel that returned, nothing is received."""
    bus = factory.bus(workers=2, policy=BackpressurePolicy.BLOCK)
    for _ in range(100):
        cancelled = threading.Event()
        recorder = Recorder()
        subscription = bus.subscribe("a", recorder)

        def work(number: int) -> None:
            if number == 0:
                subscription.cancel()  # noqa: B023
                cancelled.set()  # noqa: B023
            for _ in range(20):
                bus.publish(Event("a", cancelled.is_set()))  # noqa: B023

        run_together(3, work)
        assert bus.flush(HANG)
        assert True not in recorder.data


def test_subscription_to_another_type_costs_the_next_publish_nothing(factory: BusFactory) -> None:
    """However many there are: the route of the type is still the cached one."""
    bus = factory.bus()
    bus.subscribe("a", Recorder())
    assert bus.publish(Event("a"))
    route = cached_route(bus, Event("a"))
    assert route is not None
    subscriptions = [bus.subscribe(f"other.{number}", print) for number in range(500)]
    for subscription in subscriptions[::2]:
        subscription.cancel()
    assert cached_route(bus, Event("a")) is route
    bus.subscribe("a", Recorder())
    assert cached_route(bus, Event("a")) is None


@pytest.mark.slow
def test_subscriptions_that_come_and_go_leave_nothing(factory: BusFactory) -> None:
    """More than 16 bits can number; each is used, and its handler is released."""
    bus, taken, event = factory.bus(policy=BackpressurePolicy.BLOCK), [], Event("a")
    for _ in range(70_000):
        subscription = bus.subscribe("a", lambda _: taken.append(1))
        bus.publish(event)
        subscription.cancel()
    last = weakref.ref(subscription)
    del subscription
    assert bus.flush(HANG)
    assert len(taken) == 70_000
    assert last() is None
    assert subscriptions_of(bus) == []
    assert bus.publish(event)
    assert bus.stats().unrouted == 1


def test_types_that_come_and_go_leave_nothing(factory: BusFactory) -> None:
    """Nor in the table of subscriptions."""
    bus = factory.bus()
    for number in range(200):
        for event_type in (f"type.{number}", f"glob.{number}.*", type("Own", (), {})):
            bus.subscribe(event_type, print).cancel()
    assert subscriptions_of(bus) == []
    assert types_subscribed_to(bus) == []


def test_subscribing_from_many_threads_loses_none(
    factory: BusFactory, frequent_switches: None
) -> None:
    """All subscriptions made at the same time receive the next event."""
    bus, recorder = factory.bus(queue_size=400), Recorder()

    def work(_: int) -> None:
        for _ in range(50):
            bus.publish(Event("other"))
            bus.subscribe("a", recorder)

    run_together(4, work)
    assert bus.publish(Event("a"))
    assert bus.flush(HANG)
    assert len(recorder.events) == 200
