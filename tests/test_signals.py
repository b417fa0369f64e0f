"""Signals, finalizers and logging: publishing wherever Python may be interrupted."""

import gc
import logging
import signal
import weakref
from time import monotonic
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, DropReason, Event
from helpers.buses import BusFactory, Turnstile
from helpers.checks import assert_at_rest, assert_balance
from helpers.handlers import Recorder
from helpers.processes import ended, start_python
from helpers.waiting import HANG

BLOCKED = """
    bus, gate = bus_of(queue_size=2, policy=BackpressurePolicy.BLOCK), Gate()
    bus.subscribe("gate", gate)
    bus.subscribe("a", lambda event: None)
    bus.publish(Event("gate"))
    gate.entered.acquire()
    bus.publish(Event("a"))
    bus.publish(Event("a"))
    struck = []
    def strike(number, frame):
        struck.append(time.monotonic())
        raise KeyboardInterrupt
    signal.signal(signal.SIGINT, strike)
    sent = time.monotonic() + 0.3
    try:
        threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()
        {call}
        say("not interrupted")
    except KeyboardInterrupt:
        say(time.monotonic() - sent)
    gate.opened.set()
    {after}
    stats = bus.stats()
    say(stats.published == stats.processed + stats.dropped, stats.queued, stats.running)
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timer")
@pytest.mark.parametrize(
    ("call", "after"),
    [
        ('bus.publish(Event("a"))', "assert bus.flush(20)"),
        ('bus.publish_many([Event("a")] * 5)', "assert bus.flush(20)"),
        ("bus.flush()", "assert bus.flush(20)"),
    ],
    ids=["publish", "publish_many", "flush"],
)
def test_ctrl_c_in_a_blocked_call_is_answered_and_leaves_the_bus_whole(
    call: str, after: str
) -> None:
    """Within 0.1 s on an idle machine; the bound here is generous."""
    began = monotonic()
    process = start_python(BLOCKED.format(call=call, after=after))
    end = ended(process, began)
    assert (end.code, end.err) == (0, "")
    delay, books = end.lines
    assert float(delay) < 10
    assert books == "True 0 0"


def test_ctrl_c_in_a_drain_drops_the_rest_and_says_how_much() -> None:
    """Answered as fast; the running handler ends, and a later stop reports the drops."""
    began = monotonic()
    after = "say(bus.stop(), bus.stats().dropped_by[DropReason.SHUTDOWN])"
    end = ended(start_python(BLOCKED.format(call="bus.stop()", after=after)), began)
    assert end.code == 0
    delay, stopped, books = end.lines
    assert float(delay) < 10
    assert stopped == "False {1: 0, 2: 2, 3: 0}"
    assert books == "True 0 0"
    first, *others = end.err.splitlines()
    assert first.startswith("bus: stopped with 2 deliveries dropped and 1 handler still running: ")
    assert others == ["bus: stopped with 2 deliveries dropped and 0 handlers still running"]


def test_the_queue_has_all_its_places_after_an_interrupted_wait(factory: BusFactory) -> None:
    """The publisher left the wait queue."""
    bus = factory.bus(queue_size=3, policy=BackpressurePolicy.BLOCK)
    bus.subscribe("fill", lambda event: None)
    turnstile = Turnstile(bus, factory.gate())
    turnstile.hold(3)
    previous = signal.getsignal(signal.SIGALRM)

    def strike(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, strike)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            bus.publish(Event("fill"))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    turnstile.assert_whole()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timer")
@pytest.mark.parametrize("policy", list(BackpressurePolicy), ids=lambda policy: policy.value)
def test_a_signal_handler_may_publish_whatever_it_interrupts(
    factory: BusFactory, policy: BackpressurePolicy
) -> None:
    """Every millisecond, during many publishes."""
    bus, seen = factory.bus(queue_size=50, policy=policy, publish_timeout=0.1), Recorder()
    counted: list[int] = []
    bus.subscribe("a", counted.append)
    bus.subscribe("alarm", seen)
    results: list[bool] = []

    def alarm(number: int, frame: Any) -> None:
        results.append(bus.publish(Event("alarm"), timeout=1))  # alarms interrupt alarms

    previous = signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        published = sum(bus.publish(Event("a"), timeout=1) for _ in range(20_000))
        published += bus.publish_many((Event("a") for _ in range(20_000)), timeout=1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert_at_rest(bus)
    accepted = sum(results)
    evicted = bus.stats().dropped_by[DropReason.EVICTED]
    assert accepted > 0
    assert len(counted) + len(seen.events) + sum(evicted.values()) == published + accepted


class Ghost:
    """Publishes when it is released."""

    def __init__(self, bus: Any) -> None:
        self.bus = bus
        self.cycle = self

    def __del__(self) -> None:
        self.bus.publish(Event("ghost"))


def test_finalizers_and_weakref_callbacks_may_publish_during_collection(
    factory: BusFactory,
) -> None:
    """At any allocation, also of the bus itself."""
    bus, seen = factory.bus(queue_size=100, policy=BackpressurePolicy.BLOCK), Recorder()
    bus.subscribe("ghost", seen)
    bus.subscribe("a", lambda event: None)
    called: list[int] = []

    def gone(reference: Any) -> None:
        called.append(1)
        bus.publish(Event("ghost"))

    thresholds = gc.get_threshold()
    references = []
    gc.set_threshold(7, 2, 2)
    try:
        for _ in range(300):
            ghost = Ghost(bus)
            references.append(weakref.ref(ghost, gone))
            del ghost
            bus.publish(Event("a"))
        gc.collect()
    finally:
        gc.set_threshold(*thresholds)
    assert_at_rest(bus)
    assert len(seen.events) == 300 + len(called)


def test_a_logging_handler_that_publishes_every_record_ends_no_loop(factory: BusFactory) -> None:
    """Including the bus's own records: of failures, and of drops."""

    class Publishing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            bus.publish(Event("record", record))

    bus = factory.bus(queue_size=4, publish_timeout=0)
    failures: list[Any] = []

    def fail(event: Any) -> None:
        failures.append(event)
        raise ValueError

    bus.subscribe("record", fail)
    handler = Publishing()
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        logging.getLogger("elsewhere").warning("one")
        assert bus.flush(HANG)
        with bus.subscribe("gate", factory.gate()) as subscription:
            bus.publish(Event("gate"))
            subscription.handler.wait_entered()
            for _ in range(20):
                logging.getLogger("elsewhere").warning("many")
            subscription.handler.open()
        assert bus.flush(HANG)
    finally:
        root.removeHandler(handler)
    assert_balance(bus.stats())
    assert 1 <= len(failures) < 200


def test_a_logging_handler_that_raises_ends_no_worker(factory: BusFactory) -> None:
    """Nor does it reach the thread that publishes or stops: the report has no other receiver."""

    class Raising(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise SystemExit

    def fail(event: Any) -> None:
        raise ValueError

    bus = factory.bus(queue_size=1)
    bus.subscribe("a", fail)
    handler = Raising()
    logging.getLogger("brummerbus").addHandler(handler)
    try:
        for _ in range(3):
            assert bus.publish(Event("a"), timeout=HANG)
            assert bus.flush(HANG)
        gate = factory.hold(bus)
        assert [bus.publish(Event("a")) for _ in range(3)] == [True] * 3  # two are dropped
        assert bus.stop(timeout=0) is False
    finally:
        logging.getLogger("brummerbus").removeHandler(handler)
    gate.open()
    assert bus.stats().failed == 3


@pytest.mark.parametrize("error", [SystemExit, ValueError])
@pytest.mark.parametrize("hook", ["on_error", "on_drop"])
def test_a_hook_that_raises_and_is_logged_on_the_bus_ends_no_loop(
    factory: BusFactory, hook: str, error: type[BaseException]
) -> None:
    """The report makes the hook raise, that is logged, and the record is published."""

    class Publishing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            bus.publish(Event("record", record))

    calls: list[Any] = []

    def fail(event: Any) -> None:
        raise LookupError

    def leave(*arguments: Any) -> None:
        calls.append(arguments)
        raise error

    bus = factory.bus(queue_size=1, **{hook: leave})
    bus.subscribe("record", fail)
    handler = Publishing()
    logging.getLogger().addHandler(handler)
    try:
        assert drop_or_fail(factory, bus, hook, error) == (
            hook == "on_error" or error is ValueError
        )
        assert bus.flush(HANG)
    finally:
        logging.getLogger().removeHandler(handler)
    assert_at_rest(bus)
    assert 1 <= len(calls) < 50


def drop_or_fail(factory: BusFactory, bus: Any, hook: str, error: type[BaseException]) -> bool:
    """Have a handler fail, or an event dropped here; whether the hook's exception was contained."""
    if hook == "on_error":
        logging.getLogger("elsewhere").warning("one")
        return True
    gate = factory.hold(bus)
    try:
        for _ in range(2):
            logging.getLogger("elsewhere").warning("one")
    except error:
        return False
    finally:
        gate.open()
    return True
