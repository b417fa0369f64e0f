"""`wait_for`: a thread waits for an event."""

import contextlib
import signal
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from brummerbus import BusClosed, BusError, Event, EventBus, _listening
from helpers.buses import BusFactory, inside
from helpers.checks import assert_balance
from helpers.handlers import Recorder
from helpers.internals import types_listened_to
from helpers.listening import Order, held, interrupt_everywhere, waiting
from helpers.processes import ended, start_python
from helpers.threads import InThread
from helpers.waiting import HANG, poll


class Express(Order):
    """A subclass."""


# ---- wait_for ------------------------------------------------------------------------------------


def test_wait_for_returns_the_first_event_published_after_it_began(factory: BusFactory) -> None:
    """Without any subscription, and while all workers are busy."""
    bus = factory.bus()
    factory.hold(bus)
    bus.publish(Event("a", "before"))
    thread = waiting(bus, lambda: bus.wait_for("a"))
    for number in (1, 2, 3):
        bus.publish(Event("a", number))
    assert thread.result().data == 1
    assert types_listened_to(bus) == 0


@pytest.mark.parametrize(
    ("event_type", "event"),
    [
        ("a", Event("a")),
        ("a.*", Event("a.b")),
        ("*", Event("anything")),
        (Event, Event("a")),
        (Order, Order()),
        (Order, Express()),
    ],
)
def test_it_matches_as_subscriptions_do(factory: BusFactory, event_type: Any, event: Any) -> None:
    """Strings, globs and classes; others are not returned."""
    bus = factory.bus()
    thread = waiting(bus, lambda: bus.wait_for(event_type))
    bus.publish(Order() if isinstance(event, Event) and event_type is Event else BaseException())
    bus.publish(event)
    assert thread.result() is event


def test_an_event_that_is_only_waited_for_is_not_unrouted(factory: BusFactory) -> None:
    """It makes no deliveries, and the counts know nothing of it."""
    bus = factory.bus()
    bus.publish(Event("a"))
    thread = waiting(bus, lambda: bus.wait_for("a"))
    bus.publish(Event("a"))
    thread.result()
    stats = bus.stats()
    assert (stats.unrouted, stats.published) == (1, 0)
    bus.publish(Event("a"))
    assert bus.stats().unrouted == 2


def test_where_chooses_the_event_in_the_waiting_thread(factory: BusFactory) -> None:
    """It is called with each in turn."""
    bus = factory.bus()
    threads: set[int] = set()

    def where(event: Event) -> bool:
        threads.add(threading.get_ident())
        return bool(event.data == 3)

    thread = waiting(bus, lambda: (bus.wait_for("a", where), threading.get_ident()))
    bus.publish_many([Event("a", number) for number in range(5)])
    event, me = thread.result()
    assert event.data == 3
    assert threads == {me}


@pytest.mark.parametrize("error", [ZeroDivisionError("of where"), TimeoutError(), KeyError("a")])
def test_what_where_raises_goes_to_the_caller(factory: BusFactory, error: Exception) -> None:
    """And the publisher notices nothing."""

    def where(event: Event) -> bool:
        raise error

    bus = factory.bus()
    thread = waiting(bus, lambda: bus.wait_for("a", where, HANG))
    assert bus.publish(Event("a"))
    with pytest.raises(type(error)) as raised:
        thread.result()
    assert raised.value is error
    assert types_listened_to(bus) == 0


def test_it_gives_up_at_the_timeout(factory: BusFactory) -> None:
    """The message says what did not come."""
    bus = factory.bus()
    with pytest.raises(TimeoutError, match=r"bus: no 'a' within 0\.01 s"):
        bus.wait_for("a", timeout=0.01)
    with pytest.raises(TimeoutError):
        bus.wait_for("a", timeout=0)
    assert types_listened_to(bus) == 0


@pytest.mark.parametrize("drain", [True, False])
def test_it_ends_when_the_bus_stops(factory: BusFactory, drain: bool) -> None:
    """Also before the bus has drained."""
    bus = factory.bus()
    gate = factory.hold(bus)
    thread = waiting(bus, lambda: bus.wait_for("a"))
    stop = InThread(lambda: bus.stop(drain=drain))
    with pytest.raises(BusClosed, match="stopped while waiting for 'a'"):
        thread.result()
    gate.open()
    stop.result()
    with pytest.raises(BusClosed):
        bus.wait_for("a")
    assert types_listened_to(bus) == 0


def test_a_handler_that_waits_for_an_event_does_not_hold_up_a_stop(factory: BusFactory) -> None:
    """The stop would wait for the handler, and the handler for an event."""
    bus, outcome = factory.bus(), Recorder()

    def handler(event: Event) -> None:
        with pytest.raises(BusClosed):
            bus.wait_for("b")
        outcome(event)

    bus.subscribe("a", handler)
    bus.publish(Event("a"))
    poll(lambda: types_listened_to(bus) == 1)
    assert bus.stop(timeout=HANG)
    assert len(outcome.events) == 1


def test_a_handler_can_wait_for_an_event(factory: BusFactory) -> None:
    """On the only worker."""
    bus = factory.bus()
    event = Event("b")
    publisher = InThread(lambda: (poll(lambda: types_listened_to(bus) == 1), bus.publish(event)))
    assert inside(bus, lambda: bus.wait_for("b", timeout=HANG)) is event
    publisher.result()


def test_an_event_that_was_dropped_is_not_handed_over(factory: BusFactory) -> None:
    """Only what was accepted is handed over."""
    bus = factory.bus(queue_size=1, policy="drop_newest")
    bus.subscribe("a", Recorder())
    factory.hold(bus)
    assert bus.publish(Event("a", "queued"))
    thread = waiting(bus, lambda: bus.wait_for("a"))
    assert not bus.publish(Event("a", "refused"))
    bus.stop(drain=False, timeout=0)
    with pytest.raises(BusClosed):
        thread.result()


def publish(bus: EventBus, event: Event) -> Any:
    return bus.publish(event)


PUBLISH: dict[str, Callable[[EventBus, Event], Any]] = {
    "plain": publish,
    "priority": lambda bus, event: bus.publish(event, priority=3),
    "timeout": lambda bus, event: bus.publish(event, timeout=0),
    "many": lambda bus, event: bus.publish_many([Event("other"), event]),
    "generator": lambda bus, event: bus.publish_many(e for e in (event,)),
    "expires": lambda bus, event: bus.publish(event, expires=10),
    "on_done": lambda bus, event: bus.publish(event, on_done=lambda outcome: None),
    "later": lambda bus, event: bus.publish_after(0, event),
    "handler": lambda bus, event: inside(bus, lambda: bus.publish(event)),
}


@pytest.mark.parametrize("way", PUBLISH)
@pytest.mark.parametrize("options", [None, {}, {"key": "id"}, {"once": True}], ids=str)
def test_it_receives_whichever_way_an_event_is_published(
    factory: BusFactory, way: str, options: dict[str, Any] | None
) -> None:
    """With and without subscriptions, plain or not."""
    bus, event, seen = factory.bus(), Event("a"), Recorder()
    if options is not None:
        bus.subscribe("a", seen, **options)
    thread = waiting(bus, lambda: bus.wait_for("a", timeout=HANG))
    PUBLISH[way](bus, event)
    assert thread.result() is event
    assert bus.flush(HANG)
    assert seen.events == ([] if options is None else [event])
    assert_balance(bus.stats())


def test_events_that_run_in_the_publishers_thread_are_handed_over_too(factory: BusFactory) -> None:
    """Under `CALLER_RUNS`, and where a policy evicts others."""
    for policy in ("caller_runs", "drop_oldest"):
        bus, seen = factory.bus(queue_size=1, policy=policy), Recorder()
        gate = factory.hold(bus)
        bus.subscribe("a", seen)
        bus.publish(Event("a", "queued"))
        thread = waiting(bus, lambda bus=bus: bus.wait_for("a", timeout=HANG))  # type: ignore[misc]
        bus.publish(Event("a", "accepted"))
        assert thread.result().data == "accepted"
        gate.open()


def test_a_once_subscription_that_is_taken_leaves_the_event_to_others(factory: BusFactory) -> None:
    """Here by a publish in the midst of another one; the listener gets both events."""
    bus, seen = factory.bus(), Recorder()

    def key(event: Event) -> None:
        if event.data == "outer":
            bus.publish(Event("a", "inner"))

    bus.subscribe("a", seen, once=True, key=key)
    with bus.listen("a") as listener:
        bus.publish(Event("a", "outer"))
        assert bus.flush(HANG)
        assert (held(listener), seen.data) == (["inner", "outer"], ["outer"])
    assert bus.stats().unrouted == 0


def test_a_predicate_that_is_too_slow_for_its_events_fails(
    factory: BusFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instead of missing one silently, or taking memory without a bound."""
    monkeypatch.setattr(_listening, "MAX_UNCHECKED", 3)
    bus, looked = factory.bus(), list[Any]()
    gate = factory.gate()

    def where(event: Event) -> bool:
        looked.append(event.data)
        gate(event)
        return False

    thread = waiting(bus, lambda: bus.wait_for("a", where))
    bus.publish(Event("a", 0))
    gate.wait_entered()
    bus.publish_many([Event("a", number) for number in range(1, 6)])
    gate.open()
    with pytest.raises(BusError, match="events came while where"):
        thread.result()
    assert looked == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((3,), TypeError),
        (("",), ValueError),
        (("a", "b"), TypeError),
        (("a", None, -1), ValueError),
        (("a", None, "1"), TypeError),
    ],
)
def test_mistakes_in_wait_for_are_refused(
    factory: BusFactory, arguments: Any, error: type[Exception]
) -> None:
    """Before it waits."""
    with pytest.raises(error):
        factory.bus().wait_for(*arguments)


CTRL_C = """
    bus = bus_of()
    listener = bus.listen("b")
    def strike(number, frame):
        global struck
        struck = time.monotonic()
        raise KeyboardInterrupt
    signal.signal(signal.SIGINT, strike)
    sent = time.monotonic() + 0.3
    try:
        threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()
        {call}
        say("not interrupted")
    except KeyboardInterrupt:
        say(time.monotonic() - sent)
    listener.close()
    say(len(list(bus._taps)), bus.publish(Event("a")))
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timer")
@pytest.mark.parametrize("call", ['bus.wait_for("a")', "next(listener)"])
def test_ctrl_c_ends_the_wait(call: str) -> None:
    """Within 0.1 s on an idle machine; the bound here is generous."""
    began = monotonic()
    end = ended(start_python(CTRL_C.format(call=call)), began)
    assert (end.code, end.err) == (0, "")
    assert float(end.lines[0]) < 10
    assert end.lines[1:] == ["0 True"]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timer")
def test_a_signal_handler_can_publish_what_its_thread_waits_for(factory: BusFactory) -> None:
    """The wait ends: no lock is held where a signal handler may run."""
    bus, event = factory.bus(), Event("a")
    before = signal.signal(signal.SIGALRM, lambda *_: bus.publish(event))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert bus.wait_for("a", timeout=HANG) is event
    finally:
        signal.signal(signal.SIGALRM, before)


# ---- interrupts ----------------------------------------------------------------------------------


def test_wait_for_interrupted_anywhere_leaves_no_tap(factory: BusFactory) -> None:
    """Else each later publish would hand over to nobody."""
    bus = factory.bus()

    def wait() -> None:
        with contextlib.suppress(TimeoutError):
            bus.wait_for("a", timeout=0.0001)

    def check() -> None:
        assert types_listened_to(bus) == 0

    assert interrupt_everywhere(wait, check) > 100
