"""KeyboardInterrupt before each opcode that a call executes in the package.

A tracer counts the opcodes in the package's files and raises before the k-th; k increases until the
call completes. After each interrupt the bus has to be consistent. A real signal is handled only
between some opcodes, so this is stricter than reality.
"""

import logging
from itertools import count
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, Event, EventBus
from helpers.buses import BusFactory, Turnstile
from helpers.checks import assert_at_rest, assert_balance
from helpers.handlers import Gate, Recorder
from helpers.internals import subscriptions_of, workers_of
from helpers.interrupts import SETTINGS, WAIT, strike_everywhere
from helpers.waiting import HANG

pytestmark = pytest.mark.slow

POLICIES = list(BackpressurePolicy)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable the log: the first drop of each streak would be logged, thousands of times."""
    monkeypatch.setattr(logging.getLogger("brummerbus"), "disabled", True)


def bus_with_handlers(factory: BusFactory, policy: BackpressurePolicy, **settings: Any) -> EventBus:
    """Create a bus with a subscription to "one" and "fill" and three to "three"."""
    bus = factory.bus(**{**SETTINGS, "policy": policy, **settings})
    for event_type in ("fill", "one", "three", "three", "three"):
        bus.subscribe(event_type, lambda event: None)
    return bus


@pytest.mark.parametrize(
    ("filled", "event_type", "wait"),
    [
        (0, "one", 0),
        (0, "three", 0),
        (3, "three", 0),
        (5, "three", 0),
        (5, "one", WAIT),
    ],
)
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.value)
def test_publish_interrupted_anywhere_leaves_the_bus_whole(
    factory: BusFactory, policy: BackpressurePolicy, filled: int, event_type: str, wait: float
) -> None:
    """Whatever the policy, the free slots and the number of deliveries."""
    bus = bus_with_handlers(factory, policy, publish_timeout=wait)
    turnstile = Turnstile(bus, factory.gate())
    timeout = wait if policy is BackpressurePolicy.BLOCK else None
    opcodes = strike_everywhere(
        lambda: turnstile.hold(filled),
        lambda: bus.publish(Event(event_type), timeout=timeout),
        turnstile.assert_whole,
        part=(POLICIES.index(policy), 3),
    )
    assert opcodes > 20


@pytest.mark.parametrize(
    ("filled", "types"), [(0, ("one", "nobody", "three", "three")), (5, ("one", "three"))]
)
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.value)
def test_publish_many_interrupted_anywhere_leaves_the_bus_whole(
    factory: BusFactory, policy: BackpressurePolicy, filled: int, types: tuple[str, ...]
) -> None:
    """With events of one, three and no deliveries; the last or all of them find no free slots."""
    bus = bus_with_handlers(factory, policy)
    turnstile = Turnstile(bus, factory.gate())
    events = [Event(event_type) for event_type in types]
    opcodes = strike_everywhere(
        lambda: turnstile.hold(filled),
        lambda: bus.publish_many(events, timeout=0),
        turnstile.assert_whole,
        part=(POLICIES.index(policy), 3),
    )
    assert opcodes > 100


def test_first_publish_of_a_type_interrupted_anywhere_leaves_the_bus_whole(
    factory: BusFactory,
) -> None:
    """While its route is computed: for an event, a class, and an explicit priority."""
    bus = bus_with_handlers(factory, BackpressurePolicy.REJECT)
    bus.subscribe(int, lambda number: None)
    turnstile = Turnstile(bus, factory.gate())
    names = count()

    def prepare() -> None:
        turnstile.hold()
        bus.subscribe("nothing.*", print).cancel()  # the cache of routes is emptied

    for call in (
        lambda: bus.publish(Event("one")),
        lambda: bus.publish(7),
        lambda: bus.publish(Event("three"), priority=3),
        lambda: bus.publish(Event(f"nobody.{next(names)}")),
    ):
        assert strike_everywhere(prepare, call, turnstile.assert_whole) > 100


def test_handlers_that_run_in_an_interrupted_caller_leave_the_bus_whole(
    factory: BusFactory,
) -> None:
    """CALLER_RUNS with handlers that fail, and with handlers that publish themselves."""
    bus = bus_with_handlers(
        factory, BackpressurePolicy.CALLER_RUNS, handler_reserve=0, on_error=lambda *_: None
    )

    def fail(event: Event) -> None:
        raise ValueError

    bus.subscribe("many", fail)
    bus.subscribe("many", lambda event: bus.publish(Event("one")))
    turnstile = Turnstile(bus, factory.gate())
    opcodes = strike_everywhere(
        lambda: turnstile.hold(5), lambda: bus.publish(Event("many")), turnstile.assert_whole
    )
    assert opcodes > 200


def test_flush_interrupted_anywhere_leaves_the_bus_whole(factory: BusFactory) -> None:
    """While it waits, until it times out."""
    bus = bus_with_handlers(factory, BackpressurePolicy.REJECT)
    turnstile = Turnstile(bus, factory.gate())
    opcodes = strike_everywhere(
        lambda: turnstile.hold(5), lambda: bus.flush(WAIT), turnstile.assert_whole
    )
    assert opcodes > 20


def test_stats_interrupted_anywhere_leave_the_bus_whole(factory: BusFactory) -> None:
    """They only read; with one level, to be brief."""
    bus = bus_with_handlers(factory, BackpressurePolicy.REJECT, priority_levels=1)
    turnstile = Turnstile(bus, factory.gate())
    opcodes = strike_everywhere(lambda: turnstile.hold(5), bus.stats, turnstile.assert_whole)
    assert opcodes > 100


@pytest.mark.parametrize("event_type", ["*", "one", Event])
def test_subscribe_interrupted_anywhere_subscribes_to_all_or_nothing(
    factory: BusFactory, event_type: str | type
) -> None:
    """No event type receives what another does not, and the rest of the bus works."""
    bus = bus_with_handlers(factory, BackpressurePolicy.REJECT, queue_size=10)
    old, new = Event("one"), [Event("one"), Event("three")]
    matching = new[:1] if event_type == "one" else new
    recorders: list[Recorder] = []

    def prepare() -> None:
        assert bus.publish(old)  # its route is cached when the subscription is added
        assert bus.flush(HANG)
        recorders.append(Recorder())

    def check() -> None:
        assert bus.publish_many(new) == 2
        assert_at_rest(bus)
        assert recorders[-1].events in ([], matching)
        recorders[-1].events.clear()
        for one in subscriptions_of(bus):
            if one.handler is recorders[-1]:
                one.cancel()  # the caller has no reference to it

    assert strike_everywhere(prepare, lambda: bus.subscribe(event_type, recorders[-1]), check) > 100


def test_cancel_interrupted_anywhere_can_be_made_again(factory: BusFactory) -> None:
    """If it was interrupted, it may have taken effect or not; repeated, it has."""
    bus = bus_with_handlers(factory, BackpressurePolicy.REJECT)
    recorder = Recorder()
    subscriptions = []

    def prepare() -> None:
        subscriptions.append(bus.subscribe("one", recorder))
        assert bus.publish(Event("one"))
        assert bus.flush(HANG)
        recorder.events.clear()

    def check() -> None:
        subscriptions[-1].cancel()
        assert bus.publish(Event("one"))
        assert_at_rest(bus)
        assert recorder.events == []

    assert strike_everywhere(prepare, lambda: subscriptions[-1].cancel(), check) > 5


STOPS = [("idle", True), ("held", False), ("held_and_full", True), ("held_and_full", False)]


@pytest.mark.parametrize(
    ("state", "drain"),
    STOPS,
)
def test_stop_interrupted_anywhere_can_be_made_again(
    factory: BusFactory, state: str, drain: bool
) -> None:
    """Then it ends all threads, and everything accepted is handled or counted as dropped."""
    made: list[tuple[EventBus, Turnstile]] = []

    def prepare() -> None:
        bus = bus_with_handlers(factory, BackpressurePolicy.REJECT)
        made.append((bus, Turnstile(bus, Gate())))
        if state != "idle":
            made[-1][1].hold(5 if state == "held_and_full" else 0)

    def check() -> None:
        bus, turnstile = made[-1]
        turnstile.let_go()
        bus.stop(timeout=HANG)
        stats = bus.stats()
        assert_balance(stats)
        assert (stats.queued, stats.running) == (0, 0)
        assert not any(thread.is_alive() for thread in workers_of(bus))

    timeout = HANG if state == "idle" else WAIT
    opcodes = strike_everywhere(
        prepare,
        lambda: made[-1][0].stop(drain=drain, timeout=timeout),
        check,
        part=(STOPS.index((state, drain)), 2),
    )
    assert opcodes > 50


def test_resize_interrupted_anywhere_leaves_the_bus_with_workers(factory: BusFactory) -> None:
    """Some of the requested workers may be missing, but it handles events, and can resize."""
    buses: list[EventBus] = []

    def prepare() -> None:
        buses.append(factory.bus(workers=2))
        buses[-1].subscribe("one", lambda event: None)

    def check() -> None:
        bus = buses.pop()
        assert bus.publish(Event("one"))
        assert_at_rest(bus)
        bus.resize(1)
        assert bus.publish(Event("one"))
        assert_at_rest(bus)
        assert bus.stop()

    assert strike_everywhere(prepare, lambda: buses[-1].resize(4), check) > 50
