"""KeyboardInterrupt before each opcode of what publishes with options, and of `barrier`.

As in `test_interrupts`; besides the bus being whole, what an event has acquired is given back: keys
are forgotten, and a subscription that takes one event takes exactly one.
"""

import logging
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, Event, EventBus, Subscription
from helpers.buses import BusFactory, Turnstile
from helpers.checks import assert_at_rest, assert_balance
from helpers.handlers import Gate, Outcomes, Recorder
from helpers.internals import keep_few_keys, lanes_of, subscriptions_of
from helpers.interrupts import SETTINGS, WAIT, strike_everywhere
from helpers.waiting import HANG

pytestmark = pytest.mark.slow

POLICIES = list(BackpressurePolicy)
by_policy_and_room = pytest.mark.parametrize(
    ("policy", "filled", "wait"),
    [
        (BackpressurePolicy.REJECT, 0, 0),
        *((policy, 4, 0) for policy in POLICIES),
        (BackpressurePolicy.DROP_OLDEST, 4, WAIT),
    ],
)

KINDS: tuple[dict[str, Any], ...] = ({}, {"key": "data"}, {"batch": 3, "key": "source"})


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be logged: the first drop of each streak would be, thousands of times."""
    monkeypatch.setattr(logging.getLogger("brummerbus"), "disabled", True)


def pins_of(subscription: Subscription) -> int:
    """Return how many deliveries the keys of a subscription seem to have."""
    return sum(lane.pins for lane in lanes_of(subscription).values())


def timeout_for(policy: BackpressurePolicy, wait: float) -> float | None:
    """Return a time-out where the publisher would wait for ever."""
    unlimited = (BackpressurePolicy.BLOCK, BackpressurePolicy.CALLER_RUNS)
    return wait if policy in unlimited else None


@by_policy_and_room
def test_publish_with_options_interrupted_anywhere_leaves_the_bus_whole(
    factory: BusFactory, policy: BackpressurePolicy, filled: int, wait: float
) -> None:
    """To subscriptions of all kinds; no key is held, and no event is done twice."""
    bus = factory.bus(**{**SETTINGS, "policy": policy, "publish_timeout": wait, "queue_size": 5})
    bus.subscribe("fill", lambda event: None)
    subscriptions = [bus.subscribe("a", lambda event: None, **kind) for kind in KINDS]
    turnstile, done = Turnstile(bus, factory.gate()), Outcomes()

    def check() -> None:
        turnstile.assert_whole()
        assert [pins_of(one) for one in subscriptions] == [0] * len(KINDS)
        assert len({outcome.event for outcome in done}) == len(done) <= 1
        done.clear()

    options: dict[str, Any] = {
        "on_done": done,
        "expires": HANG,
        "timeout": timeout_for(policy, wait),
    }
    opcodes = strike_everywhere(
        lambda: turnstile.hold(filled),
        lambda: bus.publish(Event("a", 1), **options),
        check,
        part=(POLICIES.index(policy), 3),
    )
    assert opcodes > 100


@pytest.mark.parametrize(
    ("policy", "filled"), [(BackpressurePolicy.REJECT, 0), *((policy, 5) for policy in POLICIES)]
)
def test_a_subscription_for_one_event_interrupted_anywhere_receives_one(
    factory: BusFactory, policy: BackpressurePolicy, filled: int
) -> None:
    """The interrupted one, or the next: never two, and never none; then it has ended."""
    bus = factory.bus(**{**SETTINGS, "policy": policy})
    bus.subscribe("fill", lambda event: None)
    turnstile, recorder = Turnstile(bus, factory.gate()), Recorder()
    subscriptions: list[Subscription] = []

    def prepare() -> None:
        turnstile.hold(filled)
        recorder.events.clear()
        subscriptions.append(bus.subscribe("a", recorder, once=True, key="source"))

    def check() -> None:
        accepted = subscriptions[-1].is_taken
        turnstile.let_go()
        assert bus.flush(HANG)
        for n in (1, 2):
            bus.publish(Event("a", n))
        assert_at_rest(bus)
        assert recorder.data == ([0] if accepted else [1])
        assert not [one for one in subscriptions_of(bus) if one.options.once]

    timeout = timeout_for(policy, 0)
    opcodes = strike_everywhere(
        prepare,
        lambda: bus.publish(Event("a", 0), timeout=timeout, priority=2),
        check,
        part=(POLICIES.index(policy), 3),
    )
    assert opcodes > 50


@pytest.mark.parametrize("room", [True, False])
def test_expired_deliveries_interrupted_anywhere_leave_the_bus_whole(
    factory: BusFactory, room: bool
) -> None:
    """While a publisher drops them, and reports each."""
    bus = factory.bus(**{**SETTINGS, "policy": "reject"})
    bus.subscribe("a", lambda event: None)
    bus.subscribe("fill", lambda event: None)
    turnstile, done = Turnstile(bus, factory.gate()), Outcomes()
    done_of: list[Any] = []

    def prepare() -> None:
        turnstile.hold(0 if room else 3)
        done.clear()
        for n in range(5 if room else 2):
            bus.publish(Event("a", n), expires=1e-9, on_done=done_of.append)

    def check() -> None:
        turnstile.assert_whole()
        assert_balance(bus.stats())

    assert strike_everywhere(prepare, lambda: bus.publish(Event("a")), check) > 50


def test_barrier_interrupted_anywhere_leaves_the_bus_whole(factory: BusFactory) -> None:
    """While it waits without success."""
    bus = factory.bus(**SETTINGS)
    bus.subscribe("fill", lambda event: None)
    turnstile = Turnstile(bus, factory.gate())
    opcodes = strike_everywhere(
        lambda: turnstile.hold(5), lambda: bus.barrier(WAIT), turnstile.assert_whole
    )
    assert opcodes > 20


def test_a_table_of_keys_interrupted_anywhere_keeps_those_in_use(factory: BusFactory) -> None:
    """While it forgets the others."""
    bus = factory.bus(**{**SETTINGS, "queue_size": 100})
    gate, seen = Gate(), Recorder()
    subscription = bus.subscribe("a", seen, key="data")
    bus.subscribe("hold", gate)
    numbers = count()

    def prepare() -> None:
        assert bus.flush(HANG)
        seen.events.clear()
        bus.publish(Event("hold"))
        gate.wait_entered()
        keep_few_keys(bus, subscription, 0)
        bus.publish(Event("a", "kept"))

    def publish() -> None:
        bus.publish(Event("a", next(numbers)))
        bus.publish(Event("a", next(numbers)))

    def check() -> None:
        lane = lanes_of(subscription)["kept"]
        assert lane.pins == 1
        bus.publish(Event("a", "kept"))
        assert lane.pins == 2
        gate.let_through()
        assert_at_rest(bus)
        assert [data for data in seen.data if data == "kept"] == ["kept"] * 2
        assert pins_of(subscription) == 0

    assert strike_everywhere(prepare, publish, check) > 50


def _kinds(bus: EventBus, handler: Callable[[Any], object]) -> list[Subscription]:
    return [bus.subscribe("a", handler, **kind) for kind in KINDS]


def test_publish_many_with_options_interrupted_anywhere_leaves_the_bus_whole(
    factory: BusFactory,
) -> None:
    """With events of several, one and no deliveries, and too many for the queue."""
    bus = factory.bus(**{**SETTINGS, "policy": "reject", "queue_size": 5})
    bus.subscribe("fill", lambda event: None)
    subscriptions = _kinds(bus, lambda event: None)
    turnstile, done = Turnstile(bus, factory.gate()), Outcomes()
    events = [Event(kind, 1) for kind in ("fill", "nobody", "a", "a")]

    def check() -> None:
        turnstile.assert_whole()
        assert sum(map(pins_of, subscriptions)) == 0
        assert len({outcome.event for outcome in done}) == len(done)
        done.clear()

    opcodes = strike_everywhere(
        lambda: turnstile.hold(0), lambda: bus.publish_many(events, on_done=done, timeout=0), check
    )
    assert opcodes > 200
