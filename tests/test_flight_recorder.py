"""The flight recorder: why an event was not delivered, and what happened last."""

import os
import re
import signal
from io import StringIO
from pathlib import Path
from threading import Event as Event_

import pytest

from brummerbus import BackpressurePolicy, BusError, Event, EventBus, QueueFull
from helpers.buses import BusFactory
from helpers.handlers import Recorder
from helpers.waiting import HANG


def words(text: str) -> list[str]:
    """Return the decisions of an explanation, without times and labels."""
    lines = text.splitlines()[1:]
    return [re.sub(r"^\S+  level (\d)  ", r"\1 ", line).partition(": ")[0] for line in lines]


def test_an_event_that_was_handled_is_explained(factory: BusFactory) -> None:
    """Accepted, begun, handled, each with its subscription."""
    bus = factory.bus(flight_recorder=100)
    bus.subscribe("a", Recorder())
    event = Event("a")
    bus.publish(event, priority=3)
    assert bus.flush()
    text = bus.explain(event.id)
    assert words(text) == ["3 accepted", "3 began", "3 handled"]
    assert text.count("a -> Recorder object") == 2


def test_an_evicted_event_names_the_one_that_took_its_place(factory: BusFactory) -> None:
    """With it one finds out who floods the queue."""
    bus = factory.bus(flight_recorder=100, queue_size=1, policy=BackpressurePolicy.DROP_OLDEST)
    factory.hold(bus)
    bus.subscribe("a", Recorder())
    first, second = Event("a"), Event("a")
    bus.publish(first)
    bus.publish(second, timeout=0)
    assert words(bus.explain(first.id)) == ["2 accepted", f"2 evicted by event {second.id}"]


def test_a_refused_event_is_explained(factory: BusFactory) -> None:
    """It was never queued."""
    bus = factory.bus(flight_recorder=100, queue_size=1, policy=BackpressurePolicy.REJECT)
    factory.hold(bus)
    bus.subscribe("a", Recorder())
    bus.publish(Event("a"))
    refused = Event("a")
    with pytest.raises(QueueFull):
        bus.publish(refused, timeout=0)
    assert words(bus.explain(refused.id)) == ["2 refused"]


def test_failures_and_retries_are_explained(factory: BusFactory) -> None:
    """Each attempt has its lines."""
    bus = factory.bus(flight_recorder=100, on_error=lambda *_: None)

    def fail(event: Event) -> None:
        raise ValueError

    bus.subscribe("a", fail, retries=1, backoff=0)
    event = Event("a")
    bus.publish(event)
    assert bus.flush()
    assert words(bus.explain(event.id)) == [
        "2 accepted",
        "2 began",
        "2 failed, to be retried",
        "2 began",
        "2 failed",
    ]


def test_what_is_dropped_at_the_end_is_explained(factory: BusFactory) -> None:
    """And so is what had expired."""
    bus = factory.bus(flight_recorder=100)
    gate = factory.hold(bus)
    bus.subscribe("a", Recorder())
    event = Event("a")
    bus.publish(event)
    bus.stop(drain=False, timeout=0)
    assert words(bus.explain(event.id)) == ["2 accepted", "2 dropped"]
    gate.open()


def test_only_the_last_decisions_are_kept(factory: BusFactory) -> None:
    """Of what is older it says so."""
    bus = factory.bus(flight_recorder=3)
    bus.subscribe("a", Recorder())
    first, second = Event("a"), Event("a")
    for event in (first, second):
        bus.publish(event)
        assert bus.flush()
    assert "nothing is recorded" in bus.explain(first.id)
    assert words(bus.explain(second.id)) == ["2 accepted", "2 began", "2 handled"]


def test_a_dump_has_the_decisions_and_the_stacks_of_handlers(
    factory: BusFactory, tmp_path: Path
) -> None:
    """To a path and to an open file alike."""
    bus = factory.bus(flight_recorder=100, name="orders")
    factory.hold(bus)
    event = Event("a")
    bus.subscribe("a", Recorder())
    bus.publish(event)
    bus.dump(tmp_path / "dump.txt")
    text = (tmp_path / "dump.txt").read_text(encoding="utf-8")
    assert f"event {event.id} (a)  level 2  accepted" in text
    assert "orders: runs: <Subscription gate" in text
    assert ", in " in text  # a frame of the handler
    stream = StringIO()
    bus.dump(stream)
    assert f"event {event.id} (a)" in stream.getvalue()


def test_a_dump_has_all_events_of_a_batch_that_runs(factory: BusFactory) -> None:
    """Not only the first; also of one that is larger than what fits at once."""
    bus = factory.bus(flight_recorder=10_000, queue_size=1_000)
    gate = factory.hold(bus)
    running, go_on = Event_(), Event_()

    def handle(events: list[Event]) -> None:
        running.set()
        go_on.wait(HANG)

    bus.subscribe("a", handle, batch=700)
    events = [Event("a", n) for n in range(700)]
    bus.publish_many(events)
    gate.open()
    assert running.wait(HANG)
    stream = StringIO()
    bus.dump(stream)
    text = stream.getvalue()
    explained = [words(bus.explain(event.id)) for event in events]
    go_on.set()
    assert text.count("runs: <Subscription a -> ") == 1
    assert "with a batch of 700, the first <Event #" in text
    for event in events:
        assert f"  with <Event #{event.id} a {event.data}>\n" in text
    assert explained == [["2 accepted", "2 began"]] * 700
    assert bus.flush()
    assert words(bus.explain(events[-1].id)) == ["2 accepted", "2 began", "2 handled"]


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no such signal")
def test_a_dump_can_be_written_in_a_signal_handler(factory: BusFactory, tmp_path: Path) -> None:
    """Also in one that interrupts a publish."""
    bus = factory.bus(flight_recorder=100)
    bus.subscribe("a", Recorder())
    previous = signal.signal(signal.SIGUSR1, lambda *_: bus.dump(tmp_path / "dump.txt"))
    try:
        bus.publish(Event("a"))
        os.kill(os.getpid(), signal.SIGUSR1)
        bus.publish(Event("a"))
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert "accepted" in (tmp_path / "dump.txt").read_text(encoding="utf-8")


def test_without_a_recorder_there_is_nothing_to_explain(factory: BusFactory) -> None:
    """The error says how to turn it on."""
    bus: EventBus = factory.bus()
    for call in (lambda: bus.explain(1), lambda: bus.dump(StringIO())):
        with pytest.raises(BusError, match=r"flight_recorder=n"):
            call()


@pytest.mark.parametrize("event_id", [0, -1, "1", True])
def test_what_is_no_event_id_is_refused(factory: BusFactory, event_id: object) -> None:
    """The message names the argument."""
    bus = factory.bus(flight_recorder=10)
    with pytest.raises((TypeError, ValueError), match="event_id"):
        bus.explain(event_id)  # type: ignore[arg-type]
