"""The bound of `starvation_after`, in deliveries and in time.

From the moment when a delivery has waited longer than `starvation_after`, whatever a worker takes
was accepted before it, oldest first, until it is taken itself: older deliveries starve as well.
So if k deliveries that were accepted before it are still queued then, it is at the latest the
(k + 1)-th to be taken, and k is less than `queue_size`. A free worker takes immediately, and one
that runs a handler does so when the handler returns; if no handler takes longer than H, it begins
within `starvation_after + ceil((k + 1) / workers) * H`.
"""

import random
import threading
from math import ceil
from time import monotonic
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, Event, EventBus
from helpers.buses import BusFactory
from helpers.checks import assert_balance
from helpers.handlers import Gate
from helpers.waiting import HANG, poll

LIMIT = 0.02


def let_starve(since: float) -> None:
    """Wait until everything that was accepted until `since` starves: the test depends on age."""
    poll(lambda: monotonic() > since + LIMIT)


def held(factory: BusFactory, bus: EventBus) -> Gate:
    """Block all workers of a bus with the first of a gate's events, "pass"."""
    gate = factory.gate()
    bus.subscribe("pass", gate)
    for _ in range(bus.workers):
        assert bus.publish(Event("pass"), timeout=HANG)
        gate.wait_entered()
    return gate


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("older", [0, 1, 7])
def test_starving_delivery_is_taken_after_those_accepted_before_it_and_no_other(
    factory: BusFactory, older: int, workers: int
) -> None:
    """It is the (k + 1)-th, with a queue full of later, more urgent ones."""
    bus = factory.bus(workers=workers, queue_size=100, starvation_after=LIMIT)
    gate, taken = held(factory, bus), []
    levels = random.Random(older).choices((1, 2, 3), k=older)
    for number, level in enumerate(levels):
        bus.subscribe(f"older.{number}", lambda event: taken.append(event.type))
        bus.publish(Event(f"older.{number}"), priority=level)
    bus.subscribe("it", lambda event: taken.append(event.type))
    bus.subscribe("later", lambda event: taken.append(event.type))
    bus.publish(Event("it"), priority=1)
    accepted = monotonic()
    for _ in range(50):
        bus.publish(Event("later"), priority=3)
    let_starve(accepted)
    gate.let_through()  # one worker continues, the others stay blocked
    poll(lambda: "it" in taken)
    assert taken[: older + 1] == [*(f"older.{number}" for number in range(older)), "it"]
    gate.open()
    assert bus.flush(HANG)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_starving_delivery_begins_within_as_many_rounds_as_the_bound_says(
    factory: BusFactory, workers: int
) -> None:
    """A round is the bound's H: every worker ends one handler and takes the next."""
    older = 5
    bus = factory.bus(workers=workers, queue_size=100, starvation_after=LIMIT)
    gate, begun = held(factory, bus), threading.Event()

    def begin(event: Any) -> None:
        begun.set()
        gate(event)

    bus.subscribe("it", begin)
    for _ in range(older):
        bus.publish(Event("pass"), priority=1)
    bus.publish(Event("it"), priority=1)
    accepted = monotonic()
    for _ in range(50):
        bus.publish(Event("pass"), priority=3)
    let_starve(accepted)
    rounds = 0
    while not begun.is_set():
        rounds += 1
        gate.let_through(workers)
        gate.wait_entered(workers)
    assert rounds == ceil((older + 1) / workers)
    gate.open()
    assert bus.flush(HANG)


class Flood:
    """Urgent events that are published as fast as they are handled, and faster."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self.begun: list[float] = []
        self.over = threading.Event()
        bus.subscribe("urgent", self._handle)

    def _handle(self, event: Any) -> None:
        self.begun.append(monotonic())
        while not self.over.is_set() and self._bus.publish(Event("urgent"), priority=3):
            pass


def test_no_flood_of_urgent_events_delays_a_starving_delivery(factory: BusFactory) -> None:
    """Once it starves, not one of them is taken before it."""
    limit = 0.3  # in which a hundred urgent events are handled also on a busy machine
    bus = factory.bus(queue_size=50, starvation_after=limit, policy=BackpressurePolicy.DROP_NEWEST)
    flood, got_through = Flood(bus), threading.Event()

    def get_through(event: Any) -> None:
        late.append(sum(moment > accepted + limit for moment in flood.begun))
        got_through.set()

    late: list[int] = []
    gate = held(factory, bus)
    bus.subscribe("it", get_through)
    assert bus.publish(Event("it"), priority=1)
    accepted = monotonic()
    assert bus.publish(Event("urgent"), priority=3)
    gate.open()
    assert got_through.wait(HANG)
    flood.over.set()
    # The worker reads the clock, takes, and then begins: it may have read it just in time.
    assert late[0] <= 1
    assert len(flood.begun) > 100
    assert bus.flush(HANG)
    assert_balance(bus.stats())


def test_without_a_limit_a_flood_delays_the_less_urgent_until_it_is_over(
    factory: BusFactory,
) -> None:
    """That is what strict priority means, and how the test above would look without the setting."""
    bus = factory.bus(queue_size=50, policy=BackpressurePolicy.DROP_NEWEST)
    flood, got_through = Flood(bus), threading.Event()
    gate = held(factory, bus)
    bus.subscribe("it", lambda event: got_through.set())
    assert bus.publish(Event("it"), priority=1)
    assert bus.publish(Event("urgent"), priority=3)
    gate.open()
    let_starve(monotonic())
    poll(lambda: len(flood.begun) > 1000)
    assert not got_through.is_set()
    flood.over.set()
    assert got_through.wait(HANG)
