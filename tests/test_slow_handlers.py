"""Slow handlers are reported: by `slow_handler_after`, and by a `stop` that gives up."""

import gc
import threading
import weakref
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, Event, EventBus
from helpers.buses import BusFactory
from helpers.handlers import Gate, Logged
from helpers.opcodes import PACKAGE
from helpers.threads import InThread
from helpers.waiting import HANG, poll

pytestmark = pytest.mark.slow  # tests here take a second and more


def slow(gate: Gate, event: Any) -> None:
    """Wait at a gate, under a name that can be found in a stack."""
    gate(event)


def monitors() -> list[str]:
    """Return the names of the monitor threads."""
    return [t.name for t in threading.enumerate() if t.name.endswith("-monitor")]


def warnings_of(logged: Logged) -> list[str]:
    """Return the messages about slow handlers."""
    messages = [record.getMessage() for record in logged.records]
    return [message for message in messages if "a handler is slow" in message]


@pytest.mark.parametrize("monitoring", [True, False])
def test_a_slow_handler_is_logged_once_with_all_that_helps(
    factory: BusFactory, logged: Logged, monitoring: bool
) -> None:
    """Subscription, event, thread, how long, and where the handler is."""
    bus, gate = (
        factory.bus(slow_handler_after=0.05, monitoring=monitoring, name="s"),
        factory.gate(),
    )

    def handle(event: Any) -> None:
        slow(gate, event)

    bus.subscribe("a", handle)
    assert bus.publish(Event("a", "payload"))
    gate.wait_entered()
    poll(lambda: warnings_of(logged))
    (message,) = warnings_of(logged)
    assert "s: a handler is slow: <Subscription a -> " in message
    assert "handle>" in message
    assert "payload" in message
    assert "in s-worker-1, for " in message
    assert "in slow\n    gate(event)" in message
    stack = message.partition(" so far, at\n")[2]
    assert stack.splitlines()[0].endswith(", in handle"), "frames that start a thread are of no use"
    assert stack.count(threading.__file__) >= 1, "the handler waits inside `threading`"
    assert PACKAGE not in message
    gate.open()
    assert bus.flush(HANG)
    assert len(warnings_of(logged)) == 1


def test_each_slow_delivery_has_a_line_of_its_own(factory: BusFactory, logged: Logged) -> None:
    """Two concurrently, then another in the same worker."""
    bus, gate = factory.bus(workers=2, slow_handler_after=0.05), factory.gate()
    bus.subscribe("a", gate)
    for data in ("first", "second"):
        assert bus.publish(Event("a", data))
    gate.wait_entered(2)
    poll(lambda: len(warnings_of(logged)) == 2)
    gate.let_through(2)
    assert bus.flush(HANG)
    assert bus.publish(Event("a", "third"))
    gate.wait_entered()
    poll(lambda: len(warnings_of(logged)) == 3)
    assert ["first" in t or "second" in t for t in warnings_of(logged)] == [True, True, False]
    assert "third" in warnings_of(logged)[2]


def test_a_handler_in_the_publishing_thread_is_seen_too(
    factory: BusFactory, logged: Logged
) -> None:
    """CALLER_RUNS runs it there."""
    bus = factory.bus(queue_size=1, policy=BackpressurePolicy.CALLER_RUNS, slow_handler_after=0.05)
    held, gate = factory.hold(bus), factory.gate()
    bus.subscribe("a", gate)
    assert bus.publish(Event("a", "queued"))
    publisher = InThread(lambda: bus.publish(Event("a", "run here")))
    gate.wait_entered()
    poll(lambda: any("run here" in message for message in warnings_of(logged)))
    held.open()
    gate.open()
    assert publisher.result()


def test_handlers_that_are_quick_are_never_logged(factory: BusFactory, logged: Logged) -> None:
    """Many of them one after the other in one worker are not one slow one."""
    bus = factory.bus(slow_handler_after=5.0, queue_size=2000)
    bus.subscribe("a", lambda _: None)
    bus.publish_many([Event("a")] * 2000)
    assert bus.flush(HANG)
    assert warnings_of(logged) == []


def test_looking_at_a_slow_handler_keeps_nothing_alive(factory: BusFactory, logged: Logged) -> None:
    """The event is released when the handler returns, while the worker waits for the next."""

    class Payload:
        pass

    bus, gate = factory.bus(slow_handler_after=0.05), factory.gate()
    bus.subscribe("a", gate)
    event = Event("a", Payload())
    alive = weakref.ref(event.data)
    assert bus.publish(event)
    del event
    gate.wait_entered()
    poll(lambda: warnings_of(logged))
    logged.records.clear()
    gate.open()
    assert bus.flush(HANG)
    gc.collect()
    assert alive() is None


def test_nobody_looks_on_unless_asked(factory: BusFactory) -> None:
    """A static bus without `slow_handler_after` has no thread for it."""
    factory.bus(name="plain")
    assert monitors() == []
    factory.bus(name="watched", slow_handler_after=1.0)
    assert monitors() == ["watched-monitor"]


@pytest.mark.parametrize("how", ["stop", "without draining", "forgotten"])
def test_the_monitor_ends_with_its_bus(factory: BusFactory, how: str) -> None:
    """Immediately, not at its next sample."""
    bus = EventBus(workers=1, name="short", slow_handler_after=60.0)
    assert monitors() == ["short-monitor"]
    if how == "forgotten":
        del bus
    else:
        bus.stop(drain=how == "stop")
    poll(lambda: monitors() == [])


def test_a_stop_that_gives_up_names_what_still_runs(factory: BusFactory, logged: Logged) -> None:
    """And how many deliveries were dropped."""
    bus, gate = factory.bus(workers=2, name="stuck"), factory.gate()
    bus.subscribe("a", gate)
    for data in ("one", "two", "three", "four", "five"):
        assert bus.publish(Event("a", data))
    gate.wait_entered(2)
    assert not bus.stop(timeout=0.05)
    (record,) = logged.records
    message = record.getMessage()
    assert message.startswith(
        "stuck: stopped with 3 deliveries dropped and 2 handlers still running"
    )
    assert message.count("<Subscription a -> ") == 2
    for part in ("'one'> in stuck-worker-", "'two'> in stuck-worker-", " s, <Subscription"):
        assert part in message


def test_a_stop_that_finishes_says_nothing(factory: BusFactory, logged: Logged) -> None:
    """There is nothing to report."""
    bus = factory.bus()
    bus.subscribe("a", lambda _: None)
    assert bus.publish(Event("a"))
    assert bus.stop(timeout=HANG)
    assert logged.records == []
