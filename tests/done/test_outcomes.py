"""`on_done` is called once for each event, with its outcome."""

import os
import threading
from collections import Counter
from typing import Any

import pytest

from brummerbus import DropReason, Event, Outcome, QueueFull
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest, assert_balance
from helpers.handlers import Gate, Outcomes
from helpers.outcomes import Failure, quiet_bus
from helpers.processes import in_child, run_python
from helpers.threads import InThread, run_together
from helpers.waiting import HANG, poll


def fail(event: Any) -> None:
    """Raise."""
    raise Failure


# ---- in a worker ---------------------------------------------------------------------------------


def test_an_event_whose_handlers_return_is_handled(factory: BusFactory, done: Outcomes) -> None:
    """One outcome for all of its deliveries, in a worker."""
    bus = factory.bus()
    threads: list[str] = []
    for _ in range(3):
        bus.subscribe("a", lambda event: None)
    event = Event("a")

    def on_done(outcome: Outcome) -> None:
        threads.append(threading.current_thread().name)
        done(outcome)

    assert bus.publish(event, on_done=on_done)
    assert bus.flush(HANG)
    assert done == [Outcome(event, 3, (), ())]
    assert threads == ["bus-worker-1"]


def test_an_outcome_names_who_failed_and_why(factory: BusFactory, done: Outcomes) -> None:
    """And counts those that did not."""
    bus = quiet_bus(factory)
    bus.subscribe("a", lambda event: None)
    failing = [bus.subscribe("a", fail), bus.subscribe("a", int)]
    assert bus.publish(Event("a"), on_done=done)
    assert bus.flush(HANG)
    (outcome,) = done
    assert outcome.handled == 1
    assert outcome.dropped == ()
    assert [subscription for subscription, _ in outcome.failed] == failing
    assert [type(error) for _, error in outcome.failed] == [Failure, TypeError]


def test_a_result_that_nobody_awaits_is_a_failure(factory: BusFactory, done: Outcomes) -> None:
    """As without the hook."""
    bus = quiet_bus(factory)
    bus.subscribe("a", lambda event: (n for n in ()))
    bus.publish(Event("a"), on_done=done)
    assert bus.flush(HANG)
    assert [type(error) for _, error in done[0].failed] == [TypeError]


def test_any_object_can_be_published_with_it(factory: BusFactory, done: Outcomes) -> None:
    """The outcome has the object."""
    bus = factory.bus()
    bus.subscribe(list, lambda event: None)
    published = [1]
    bus.publish(published, on_done=done)
    assert bus.flush(HANG)
    assert done[0].event is published


def test_the_last_delivery_calls_it(factory: BusFactory, done: Outcomes) -> None:
    """Not before the slowest has ended, in the thread of the slowest."""
    bus = factory.bus(workers=2)
    slow, quick = factory.gate(), factory.gate()
    threads: dict[str, int] = {}
    for name, gate in (("slow", slow), ("quick", quick)):

        def handler(event: Event, name: str = name, gate: Gate = gate) -> None:
            threads[name] = threading.get_ident()
            gate(event)

        bus.subscribe("a", handler)
    bus.publish(Event("a"), on_done=lambda outcome: done(outcome) or threads.update(done=0))
    slow.wait_entered()
    quick.wait_entered()
    quick.open()
    poll(lambda: bus.stats().processed == 1)
    assert not done
    slow.open()
    done.wait_for(1)
    assert bus.flush(HANG)
    assert done[0].handled == 2


def test_the_statistics_count_the_event_when_it_is_called(
    factory: BusFactory, done: Outcomes
) -> None:
    """As processed, with its failure; nothing of it runs any more."""
    bus = quiet_bus(factory)
    bus.subscribe("a", lambda event: None)
    bus.subscribe("a", fail)
    seen: list[Any] = []
    bus.publish(Event("a"), on_done=lambda outcome: seen.append(bus.stats()))
    assert bus.flush(HANG)
    (stats,) = seen
    assert_balance(stats)
    assert (stats.processed, stats.failed, stats.running) == (2, 1, 0)


@pytest.mark.parametrize("wait", ["flush", "barrier", "stop", "with"])
def test_whoever_waits_for_the_event_waits_for_the_hook(factory: BusFactory, wait: str) -> None:
    """`flush`, `barrier` and `stop` return after `on_done` has."""
    bus = factory.bus()
    gate, called = factory.gate(), []
    bus.subscribe("a", lambda event: None)

    def on_done(outcome: Outcome) -> None:
        gate(outcome)
        called.append(outcome)

    def leave() -> bool:
        with bus:
            return True

    bus.publish(Event("a"), on_done=on_done)
    gate.wait_entered()
    assert bus.stats().processed == 1
    assert not bus.flush(0)
    assert not bus.barrier(0)
    waiting = InThread(leave if wait == "with" else getattr(bus, wait))
    gate.open()
    assert waiting.result()
    assert len(called) == 1


def test_each_event_of_publish_many_has_an_outcome(factory: BusFactory, done: Outcomes) -> None:
    """Of a list, a tuple and an iterator; also of those that nobody receives."""
    bus = quiet_bus(factory, queue_size=100)
    bus.subscribe("a", lambda event: None)
    bus.subscribe("b", fail)
    events = [Event(kind, n) for n in range(5) for kind in ("a", "b", "nobody")]
    for published in (events, tuple(events), iter(events)):
        done.clear()
        assert bus.publish_many(published, on_done=done) == 15
        assert bus.flush(HANG)
        assert sorted(outcome.event.id for outcome in done) == [event.id for event in events]
        assert Counter((o.handled, len(o.failed)) for o in done) == {
            (1, 0): 5,
            (0, 1): 5,
            (0, 0): 5,
        }


def test_publish_many_that_is_refused_has_outcomes_of_what_it_tried(
    factory: BusFactory, done: Outcomes
) -> None:
    """Of those accepted and of the one that was not; what comes after was never published."""
    bus = factory.bus(queue_size=2, policy="reject")
    gate = factory.hold(bus)
    bus.subscribe("a", lambda event: None)
    with pytest.raises(QueueFull) as refused:
        bus.publish_many([Event("a", n) for n in range(5)], on_done=done)
    assert refused.value.accepted == 2
    assert [(outcome.event.data, outcome.dropped[0][1]) for outcome in done] == [
        (2, DropReason.REFUSED)
    ]
    gate.open()
    assert bus.flush(HANG)
    assert [outcome.event.data for outcome in done] == [2, 0, 1]


# ---- the hook itself -----------------------------------------------------------------------------


def test_each_of_many_events_is_done_once(factory: BusFactory, frequent_switches: None) -> None:
    """Several publishers and workers, several deliveries each, evicting each other."""
    bus = quiet_bus(factory, workers=3, queue_size=20)
    for handler in (lambda event: None, fail, lambda event: None):
        bus.subscribe("a", handler)
    done = Outcomes()

    def publish(number: int) -> None:
        for n in range(300):
            bus.publish(Event("a", (number, n)), on_done=done, priority=1 + n % 3)

    run_together(4, publish)
    assert_at_rest(bus)
    assert Counter(outcome.event.data for outcome in done) == Counter(
        (number, n) for number in range(4) for n in range(300)
    )
    assert all(o.handled + len(o.failed) + len(o.dropped) == 3 for o in done)
    stats = bus.stats()
    assert sum(o.handled for o in done) == stats.processed - stats.failed
    assert sum(len(o.failed) for o in done) == stats.failed
    assert sum(len(o.dropped) for o in done) == stats.dropped


# ---- other processes -----------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_the_child_of_a_fork_is_told_of_its_own_events_only(
    factory: BusFactory, done: Outcomes
) -> None:
    """Those of the parent are the parent's, which is called once."""
    bus = factory.bus()
    gate = factory.hold(bus)
    bus.subscribe("a", lambda event: None)
    bus.publish(Event("a", "parent"), on_done=done)

    def child() -> None:
        bus.publish(Event("a", "child"), on_done=done)
        assert bus.flush(HANG)
        assert [outcome.event.data for outcome in done] == ["child"]

    assert in_child(child) == 0
    gate.open()
    assert bus.flush(HANG)
    assert [outcome.event.data for outcome in done] == ["parent"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_handler_that_forks_ends_once() -> None:
    """Whose child returns from it as the parent does."""
    end = run_python(
        """
        bus = bus_of()
        def fork(event):
            pid = os.fork()
            if pid:
                os.waitpid(pid, 0)
        bus.subscribe("a", fork, retries=1)
        bus.publish(Event("a"), on_done=lambda outcome: say(os.getpid() == me))
        """,
        first="import os, warnings; me = os.getpid(); warnings.simplefilter('ignore')",
    )
    assert (end.code, end.lines, end.err) == (0, ["True"], "")
