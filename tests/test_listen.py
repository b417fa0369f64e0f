"""Waiting for events in the calling thread: `wait_for` and `listen`."""

import contextlib
import gc
import os
import signal
import threading
import weakref
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from brummerbus import (
    BackpressurePolicy,
    BusClosed,
    BusError,
    Event,
    EventBus,
    Listener,
    _listening,
)
from brummerbus._core import sleepers
from helpers.buses import BusFactory, inside
from helpers.checks import assert_balance
from helpers.handlers import Recorder
from helpers.internals import held_by, publishers_asleep, takers_asleep, types_listened_to
from helpers.opcodes import At
from helpers.processes import ended, in_child, start_python
from helpers.threads import InThread, run_together
from helpers.waiting import HANG, poll

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
with_threads = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


class Order:
    """An object that is no event."""

    def __init__(self, number: int = 0) -> None:
        self.number = number


class Express(Order):
    """A subclass."""


def waiting(bus: EventBus, call: Callable[[], Any]) -> InThread:
    """Make a call in a thread, and return when it waits."""
    before = types_listened_to(bus)
    thread = InThread(call)
    poll(lambda: types_listened_to(bus) > before)
    return thread


def asleep(listener: Listener[Any]) -> None:
    """Return when a publisher waits for room."""
    poll(lambda: publishers_asleep(listener) > 0)


def held(listener: Listener[Any]) -> list[Any]:
    """Return the payloads of what a listener holds."""
    return [event.data for event in held_by(listener)]


# ---- wait_for --------------------------------------------------------------------------------


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
    threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()
    sent = time.monotonic() + 0.3
    try:
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
    assert float(end.lines[0]) < 2
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


# ---- listen ----------------------------------------------------------------------------------


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


def test_a_publisher_waits_for_room_in_a_listener_that_blocks(factory: BusFactory) -> None:
    """Until one is taken, and then its event is the next."""
    bus = factory.bus()
    listener = bus.listen("a", maxsize=2, policy="block")
    bus.publish_many([Event("a", 0), Event("a", 1)])
    publisher = InThread(lambda: bus.publish(Event("a", 2)))
    asleep(listener)
    assert held(listener) == [0, 1]
    assert next(listener).data == 0
    assert publisher.result() is True
    assert [next(listener).data for _ in range(2)] == [1, 2]
    assert listener.dropped == 0


@pytest.mark.parametrize("end", ["close", "stop", "timeout"])
def test_the_wait_for_room_ends_with_the_listener_or_the_timeout(
    factory: BusFactory, end: str
) -> None:
    """The event was accepted, so `publish` returns True."""
    bus, seen = factory.bus(), Recorder()
    bus.subscribe("a", seen)
    listener = bus.listen("a", maxsize=1, policy="block")
    bus.publish(Event("a", 0))
    timeout = 0.01 if end == "timeout" else None
    publisher = InThread(lambda: bus.publish(Event("a", 1), timeout=timeout))
    if end != "timeout":
        asleep(listener)
        getattr(listener if end == "close" else bus, end)()
    assert publisher.result() is True
    assert listener.dropped == (end == "timeout")
    assert held(listener) == ([] if end == "close" else [0])
    assert bus.flush(HANG)
    assert seen.data == [0, 1]


def test_the_thread_that_iterates_does_not_wait_for_itself(factory: BusFactory) -> None:
    """What it publishes to its own full listener is dropped for it.

    Before the first `next`, the thread that made the listener is the one.
    """
    bus = factory.bus()
    listener = bus.listen("a", maxsize=1, policy="block")
    assert bus.publish_many([Event("a", 0), Event("a", 1)]) == 2
    assert (held(listener), listener.dropped) == ([0], 1)

    def iterate() -> list[Any]:
        seen = []
        for event in listener:
            seen.append(event.data)
            if event.data == 0:
                bus.publish_many([Event("a", "own"), Event("a", "dropped")])
            if event.data == "end":
                return seen
        raise AssertionError

    thread = InThread(iterate)
    poll(lambda: listener.dropped == 2)
    bus.publish(Event("a", "end"))  # this thread is one like any other now
    assert thread.result() == [0, "own", "end"]


def test_a_thread_that_comes_after_is_not_taken_for_the_one_that_listened(
    factory: BusFactory,
) -> None:
    """Systems give the identity of a thread that has ended to the next one."""
    bus = factory.bus()
    listener = InThread(lambda: bus.listen("a", maxsize=1, policy="block")).result()
    bus.publish(Event("a", 0))
    publishers = [InThread(lambda: bus.publish(Event("a", 1))) for _ in range(5)]
    poll(lambda: publishers_asleep(listener) == 5)
    assert listener.dropped == 0
    listener.close()
    assert [publisher.result() for publisher in publishers] == [True] * 5


def test_a_scheduled_event_waits_for_a_listener_without_holding_up_others(
    factory: BusFactory,
) -> None:
    """It stays scheduled; the timer thread goes on."""
    bus, seen = factory.bus(), Recorder()
    bus.subscribe("b", seen)
    listener = bus.listen("a", maxsize=1, policy="block")
    bus.publish(Event("a", 0))
    scheduled = [bus.publish_after(0, Event("a", number)) for number in (1, 2)]
    bus.publish_after(0.01, Event("b"))
    seen.wait_for(1)
    assert all(one.pending for one in scheduled)
    assert bus.stats().scheduled == 2
    assert [next(listener).data for _ in range(3)] == [0, 1, 2]
    assert listener.dropped == 0


def test_close_ends_the_iteration_of_another_thread(factory: BusFactory) -> None:
    """And the events that it held are let go of."""
    bus = factory.bus()
    listener = bus.listen("a")
    thread = InThread(lambda: list(listener))
    poll(lambda: takers_asleep(listener) > 0)
    listener.close()
    listener.close()
    assert thread.result() == []
    assert bus.publish(Event("a"))
    assert (listener.depth, types_listened_to(bus)) == (0, 0)
    assert bus.stats().unrouted == 1


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


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "block"])
def test_threads_that_publish_together_keep_the_bound(
    factory: BusFactory, frequent_switches: None, policy: str
) -> None:
    """Each event is taken, held or counted as dropped; with `block` none is dropped."""
    bus = factory.bus()
    listener = bus.listen("a", maxsize=3, policy=policy)
    too_many: list[int] = []

    def iterate() -> list[Any]:
        seen = []
        for event in listener:
            seen.append(event.data)
            if (depth := listener.depth) > 3:
                too_many.append(depth)
        return seen

    takers = [InThread(iterate) for _ in range(2)]
    poll(lambda: takers_asleep(listener) == 2)

    def work(thread: int) -> None:
        for number in range(300):
            bus.publish(Event("a", (thread, number)))

    run_together(4, work)
    bus.stop()
    seen = [data for taker in takers for data in taker.result()]
    assert not too_many
    assert len(set(seen)) == len(seen)
    assert len(seen) + listener.dropped == 1200
    assert (policy == "block") <= (listener.dropped == 0)


def test_handlers_wait_for_a_listener_that_blocks(factory: BusFactory) -> None:
    """They are publishers like others, and a stop lets them go on."""
    bus = factory.bus()
    listener = bus.listen("b", maxsize=1, policy="block")
    bus.subscribe("a", lambda event: bus.publish_many([Event("b"), Event("b"), Event("b")]))
    bus.publish(Event("a"))
    asleep(listener)
    assert bus.stop(timeout=HANG)
    assert listener.depth == 1


@needs_fork
@with_threads
def test_in_a_forked_child_a_listener_has_ended(factory: BusFactory) -> None:
    """What it held can be iterated over; a publisher there does not wait for it."""
    bus = factory.bus()
    listener = bus.listen("a", maxsize=1, policy="block")
    bus.publish(Event("a", 1))

    def child() -> None:
        assert listener.closed
        InThread(lambda: bus.publish(Event("a", 2))).result()
        assert [event.data for event in listener] == [1]
        assert bus.stats().unrouted == 1
        with bus.listen("a") as own:
            bus.publish(Event("a", 3))
            assert next(own).data == 3

    assert in_child(child) == 0
    assert not listener.closed
    assert next(listener).data == 1


@needs_fork
@with_threads
def test_a_wait_that_a_fork_has_left_behind_ends_in_the_child(factory: BusFactory) -> None:
    """The parent goes on waiting."""
    bus = factory.bus()
    codes: list[int] = []

    def where(event: Event) -> bool:
        if event.data == "fork":
            pid = os.fork()
            if not pid:
                return False  # goes on waiting, in the child
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            return False
        return True

    def wait() -> Any:
        me = os.getpid()
        try:
            return bus.wait_for("a", where)
        except BusClosed:
            os._exit(7 if os.getpid() != me else 1)

    thread = waiting(bus, wait)
    bus.publish(Event("a", "fork"))
    poll(lambda: bool(codes))
    bus.publish(Event("a", "end"))
    assert thread.result().data == "end"
    assert codes == [7]


def test_what_changes_while_a_thread_goes_to_sleep_is_not_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between its look and its sleep nobody could wake it, so it looks again."""
    monkeypatch.setattr(sleepers, "OTHER_SLICE_NS", int(10 * HANG * 1e9))
    looks = iter([False, True, True])
    assert InThread(lambda: sleepers.Sleepers().wait_until(lambda: next(looks), None)).result()


# ---- interrupts ------------------------------------------------------------------------------


def interrupt_everywhere(call: Callable[[], object], check: Callable[[], object]) -> int:
    """Interrupt a call at one opcode after the other; how many there are."""
    for k in range(1, 20_000):
        at = At(k, lambda: signal.default_int_handler(signal.SIGINT, None))
        try:
            at.during(call)
        except KeyboardInterrupt:
            assert at.where
        if not at.where:
            return k
        try:
            check()
        except AssertionError as error:
            raise AssertionError(f"struck in {at.where}") from error
    raise AssertionError


def test_wait_for_interrupted_anywhere_leaves_no_tap(factory: BusFactory) -> None:
    """Else each later publish would hand over to nobody."""
    bus = factory.bus()

    def wait() -> None:
        with contextlib.suppress(TimeoutError):
            bus.wait_for("a", timeout=0.0001)

    def check() -> None:
        assert types_listened_to(bus) == 0

    assert interrupt_everywhere(wait, check) > 100


def test_a_publish_interrupted_anywhere_leaves_the_listener_whole(factory: BusFactory) -> None:
    """It still holds at most what it may, and gets what comes next."""
    bus = factory.bus()
    listener = bus.listen("a", maxsize=2)

    def check() -> None:
        assert listener.depth <= 2
        bus.publish(Event("a", "next"))
        assert held(listener)[-1] == "next"

    assert interrupt_everywhere(lambda: bus.publish(Event("a")), check) > 50
