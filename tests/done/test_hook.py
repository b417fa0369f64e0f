"""What the function given as `on_done` may do, and what becomes of what it raises."""

import threading
from typing import Any

import pytest

from brummerbus import BusError, Event, Outcome
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest
from helpers.handlers import Logged, Outcomes, Recorder
from helpers.outcomes import Failure, raising
from helpers.waiting import HANG, poll


@pytest.mark.parametrize("where", ["worker", "publisher"])
def test_an_exception_that_it_raises_is_logged(
    factory: BusFactory, logged: Logged, where: str
) -> None:
    """The worker goes on, and so does the publisher."""
    bus, recorder = factory.bus(), Recorder()
    if where == "worker":
        bus.subscribe("a", recorder)
    assert bus.publish(Event("a", 1), on_done=raising(Failure("by the hook")))
    assert bus.publish(Event("a", 2))
    assert_at_rest(bus)
    assert recorder.data == ([1, 2] if where == "worker" else [])
    assert "bus: a hook raised" in logged.text
    assert "by the hook" in logged.text


@pytest.mark.parametrize("raised", [SystemExit, KeyboardInterrupt])
def test_what_is_no_exception_goes_on_to_the_publisher(
    factory: BusFactory, done: Outcomes, logged: Logged, raised: type[BaseException]
) -> None:
    """In its thread, as with other hooks, once the rest was reported; a worker logs it."""
    bus = factory.bus(queue_size=2)
    gate, recorder = factory.hold(bus), Recorder()
    with pytest.raises(raised):
        bus.publish(Event("nobody"), on_done=raising(raised()))
    bus.subscribe("a", recorder)
    bus.publish(Event("a", 1), on_done=raising(raised()))
    bus.publish(Event("a", 2), on_done=done)
    bus.subscribe("a", lambda event: None)
    with pytest.raises(raised):
        bus.publish(Event("a", 3))
    assert [outcome.event.data for outcome in done] == [2]
    gate.open()
    bus.publish(Event("a", 4), on_done=raising(raised()), timeout=HANG)
    assert_at_rest(bus)
    assert recorder.data == [3, 4]
    assert logged.text.count("bus: a hook raised") == 1


def test_in_a_caller_that_runs_the_handlers_it_goes_on_to_the_publisher(
    factory: BusFactory,
) -> None:
    """After all of them; a handler's own comes first."""
    bus = factory.bus(queue_size=1, policy="caller_runs")
    gate, seen = factory.hold(bus), []
    bus.subscribe("fill", lambda event: None)
    bus.publish(Event("fill"))
    bus.subscribe("a", seen.append)

    def leave(event: Event) -> None:
        raise SystemExit("the handler")

    bus.subscribe("b", leave)
    with pytest.raises(SystemExit, match="the hook"):
        bus.publish(Event("a"), on_done=raising(SystemExit("the hook")))
    with pytest.raises(SystemExit, match="the handler"):
        bus.publish(Event("b"), on_done=raising(SystemExit("the hook")))
    assert len(seen) == 1
    gate.open()
    assert_at_rest(bus)


def test_it_can_publish_with_a_hook_again(factory: BusFactory) -> None:
    """In a worker and in the publisher, as often as it likes."""
    bus = factory.bus()
    bus.subscribe("a", lambda event: None)
    ended: list[int] = []
    done = threading.Event()

    def again(outcome: Outcome) -> None:
        ended.append(outcome.event.data)
        if outcome.event.data == 50:
            done.set()
        else:
            kind = "a" if outcome.event.data % 2 else "nobody"
            bus.publish(Event(kind, outcome.event.data + 1), on_done=again)

    bus.publish(Event("a", 0), on_done=again)
    assert done.wait(HANG)
    assert_at_rest(bus)
    assert ended == list(range(51))


def test_one_that_publishes_into_the_full_queue_comes_to_an_end(
    factory: BusFactory, done: Outcomes, logged: Logged
) -> None:
    """Each refusal calls it again: Python ends the recursion, and the bus is whole."""
    bus = factory.bus(queue_size=1, policy="drop_newest")
    gate = factory.hold(bus)
    bus.subscribe("a", lambda event: None)
    bus.publish(Event("a"))
    calls: list[Outcome] = []

    def again(outcome: Outcome) -> None:
        calls.append(outcome)
        if len(calls) < 5000:
            bus.publish(Event("a"), on_done=again)

    assert not bus.publish(Event("a"), on_done=again)
    assert len(calls) > 3
    assert len({id(outcome.event) for outcome in calls}) == len(calls)
    gate.open()
    assert_at_rest(bus)
    assert bus.publish(Event("a"), on_done=done)
    assert bus.flush(HANG)
    assert len(done) == 1


def test_it_must_not_wait_for_its_own_worker(factory: BusFactory) -> None:
    """`flush` and `barrier` raise there, and `stop` returns at once."""
    bus = factory.bus()
    bus.subscribe("a", lambda event: None)
    outcomes: list[object] = []

    def waiting(outcome: Outcome) -> None:
        for call in (bus.flush, bus.barrier):
            with pytest.raises(BusError):
                call()
        outcomes.append(bus.stop())

    bus.publish(Event("a"), on_done=waiting)
    poll(lambda: bool(outcomes))
    assert outcomes == [False]
    assert bus.stop(timeout=HANG)


def test_it_runs_outside_every_lock(factory: BusFactory) -> None:
    """While it waits, other threads publish, look and subscribe."""
    bus = factory.bus(workers=2)
    gate = factory.gate()
    recorder = Recorder()
    bus.subscribe("a", lambda event: None)
    bus.subscribe("b", recorder)
    bus.publish(Event("a"), on_done=gate)
    gate.wait_entered()
    bus.subscribe("c", lambda event: None)
    bus.publish(Event("b"))
    recorder.wait_for(1)
    assert bus.stats().processed >= 1
    gate.open()


@pytest.mark.parametrize(
    ("bad", "error"), [(1, TypeError), ("f", TypeError), (len.__self__, TypeError)]
)
def test_what_cannot_be_called_is_refused(
    factory: BusFactory, bad: Any, error: type[Exception]
) -> None:
    """Before anything is published."""
    bus = factory.bus()
    with pytest.raises(error, match="on_done"):
        bus.publish(Event("a"), on_done=bad)
    with pytest.raises(error, match="on_done"):
        bus.publish_many([Event("a")], on_done=bad)
    assert bus.stats().published == bus.stats().unrouted == 0
