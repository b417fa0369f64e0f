"""`publish(..., on_done=...)`: called once for each event, when all of its deliveries are over."""

import os
import signal
import threading
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest

from brummerbus import (
    BackpressurePolicy,
    BusClosed,
    BusError,
    DropReason,
    Event,
    EventBus,
    Outcome,
    QueueFull,
)
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest, assert_balance
from helpers.handlers import Gate, Logged, Outcomes, Recorder
from helpers.processes import in_child, run_python
from helpers.threads import InThread, run_together
from helpers.waiting import HANG, poll

POLICIES = list(BackpressurePolicy)
by_policy = pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.value)


class Failure(Exception):
    """What handlers raise on purpose."""


def fail(event: Any) -> None:
    """Raise."""
    raise Failure


@pytest.fixture
def done() -> Outcomes:
    """Return an `on_done` hook that keeps what it was called with."""
    return Outcomes()


def quiet_bus(factory: BusFactory, **settings: Any) -> EventBus:
    """Make a bus that does not log what fails."""
    return factory.bus(on_error=lambda *_: None, **settings)


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


# ---- drops ---------------------------------------------------------------------------------------


def test_an_event_that_nobody_receives_is_done_at_once(factory: BusFactory, done: Outcomes) -> None:
    """In the publisher's thread, before `publish` returns."""
    bus = factory.bus()
    event = Event("nobody")
    threads: list[int] = []
    assert bus.publish(event, on_done=lambda outcome: threads.append(threading.get_ident()))
    assert threads == [threading.get_ident()]
    assert bus.publish(event, on_done=done, expires=1)
    assert done == [Outcome(event, 0, (), ())]
    assert bus.stats().unrouted == 2


@by_policy
@pytest.mark.parametrize("subscribers", [1, 3])
def test_an_event_without_room_ends_by_the_policy_and_once(
    factory: BusFactory, done: Outcomes, policy: BackpressurePolicy, subscribers: int
) -> None:
    """Refused or run before `publish` returns; evicted by a later one; what is left is handled."""
    bus = factory.bus(queue_size=6, policy=policy)
    gate = factory.hold(bus)
    subscriptions = [bus.subscribe("a", lambda event: None) for _ in range(subscribers)]
    rooms = 6 // subscribers
    for n in range(rooms):
        assert bus.publish(Event("a", n), on_done=done, priority=2)
    assert not done
    with suppress(QueueFull):
        bus.publish(Event("a", "new"), on_done=done, priority=2, timeout=0)
    (outcome,) = done
    reasons = {
        BackpressurePolicy.DROP_OLDEST: (0, DropReason.EVICTED),
        BackpressurePolicy.CALLER_RUNS: ("new", None),
    }
    data, reason = reasons.get(policy, ("new", DropReason.REFUSED))
    assert outcome.event.data == data
    assert outcome.failed == ()
    if reason is None:
        assert (outcome.handled, outcome.dropped) == (subscribers, ())
    else:
        assert outcome.handled == 0
        assert outcome.dropped == tuple((one, reason) for one in subscriptions)
    gate.open()
    assert bus.flush(HANG)
    assert sorted(str(outcome.event.data) for outcome in done) == sorted(
        map(str, [*range(rooms), "new"])
    )
    assert_at_rest(bus)


def test_an_event_evicted_in_part_is_done_when_the_rest_has_ended(
    factory: BusFactory, done: Outcomes
) -> None:
    """With what became of each."""
    bus = factory.bus(queue_size=3)
    gate = factory.hold(bus)
    first, second = (bus.subscribe("a", lambda event: None) for _ in range(2))
    bus.subscribe("b", lambda event: None)
    bus.publish(Event("a"), on_done=done)
    bus.publish_many([Event("b"), Event("b")])
    assert not done
    gate.open()
    assert bus.flush(HANG)
    (outcome,) = done
    assert outcome.handled == 1
    assert outcome.dropped == ((first, DropReason.EVICTED),)
    assert second.label


@pytest.mark.parametrize("drain", [True, False])
def test_what_a_stop_drops_is_done(factory: BusFactory, done: Outcomes, drain: bool) -> None:
    """Before `stop` returns."""
    bus = factory.bus()
    factory.hold(bus)
    subscription = bus.subscribe("a", lambda event: None)
    bus.publish_many([Event("a", n) for n in range(3)], on_done=done)
    assert not bus.stop(drain=drain, timeout=0)
    assert [(o.event.data, o.handled, o.failed) for o in done] == [(n, 0, ()) for n in range(3)]
    assert all(o.dropped == ((subscription, DropReason.SHUTDOWN),) for o in done)


def test_what_a_closed_bus_refuses_was_never_published(factory: BusFactory, done: Outcomes) -> None:
    """So it has no outcome: whether somebody would receive it or not, at once or from the line."""
    bus = factory.bus(queue_size=1, policy="block")
    factory.hold(bus)
    bus.subscribe("a", lambda event: None)
    bus.publish(Event("a"))
    waiting = InThread(lambda: bus.publish(Event("a"), on_done=done))
    waiting.await_waiter(bus)
    assert not bus.stop(drain=False, timeout=0)
    with pytest.raises(BusClosed):
        waiting.result()
    for kind in ("a", "nobody"):
        with pytest.raises(BusClosed):
            bus.publish(Event(kind), on_done=done)
    assert not done


def test_an_interrupted_wait_has_no_outcome(factory: BusFactory, done: Outcomes) -> None:
    """A Ctrl-C that ends it: the bus does not know the event."""
    bus = factory.bus(queue_size=1, policy="block")
    gate = factory.hold(bus)
    bus.subscribe("a", lambda event: None)
    bus.publish(Event("a"))

    def interrupt() -> None:
        poll(lambda: bus.stats().waiting == 1)
        os.kill(os.getpid(), signal.SIGINT)

    helper = InThread(interrupt)
    with pytest.raises(KeyboardInterrupt):
        bus.publish(Event("a"), on_done=done)
    helper.result()
    gate.open()
    assert_at_rest(bus)
    assert not done
    assert bus.stats().published == 2


@pytest.mark.parametrize("raised", [Failure, KeyboardInterrupt, SystemExit])
def test_handlers_that_raise_in_the_caller_are_counted_there(
    factory: BusFactory, done: Outcomes, raised: type[BaseException]
) -> None:
    """What is no `Exception` goes on to the publisher; the rest is refused, and it is done."""
    bus = quiet_bus(factory, queue_size=1, policy="caller_runs")
    gate = factory.hold(bus)
    bus.publish(Event("fill"))
    bus.subscribe("fill", lambda event: None)
    bus.publish(Event("fill"))

    def raising(event: Event) -> None:
        raise raised

    first = bus.subscribe("a", raising)
    second = bus.subscribe("a", lambda event: None)
    if raised is Failure:
        assert bus.publish(Event("a"), on_done=done)
    else:
        with pytest.raises(raised):
            bus.publish(Event("a"), on_done=done)
    (outcome,) = done
    assert [(one, type(error)) for one, error in outcome.failed] == [(first, raised)]
    goes_on = raised is not Failure
    assert outcome.handled == (0 if goes_on else 1)
    assert outcome.dropped == (((second, DropReason.REFUSED),) if goes_on else ())
    gate.open()
    assert_at_rest(bus)


# ---- the hook itself -----------------------------------------------------------------------------


def raising(error: BaseException) -> Any:
    """Return a hook that raises."""

    def hook(outcome: Outcome) -> None:
        raise error

    return hook


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
