"""A signal every millisecond whose handler publishes, during a hundred thousand publishes.

With `BRUMMERBUS_LONG=1` in the environment it is a million. Each event has a number, and for each
number it is known at the end whether it was accepted, how often it was handled, and how often it
was dropped.
"""

import os
import signal
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from brummerbus import BackpressurePolicy, DropReason, Event, EventBus
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not hasattr(signal, "setitimer"), reason="this system has no interval timer"
    ),
]

EVENTS = 1_000_000 if os.environ.get("BRUMMERBUS_LONG") == "1" else 50_000
MIN_ALARMS = 300
PERIOD = 0.001


class Ledger:
    """The results of each event, by its number."""

    def __init__(self) -> None:
        room = 100 * EVENTS  # the number needed for enough alarms depends on the machine
        self.accepted = bytearray(room)
        self.handled = bytearray(room)
        self.evicted = bytearray(room)
        self.alarms = 0
        self.in_alarm = False
        self._numbers = iter(range(room))

    def events(self, event_type: str) -> Any:
        """Create events endlessly, numbered."""
        return (Event(event_type, number) for number in self._numbers)

    def next(self, event_type: str) -> Event:
        """Make one event."""
        return Event(event_type, next(self._numbers))

    def handle(self, event: Event) -> None:
        """Record that an event is handled."""
        self.handled[event.data] += 1

    def drop(self, event: Event, subscription: Any, reason: DropReason) -> None:
        """Record that an accepted event is dropped."""
        self.evicted[event.data] += reason is DropReason.EVICTED

    def assert_each_accepted_once(self) -> None:
        """Check that what was accepted was handled or evicted, once, and nothing else was."""
        used = next(self._numbers)
        handled, evicted = self.handled[:used], self.evicted[:used]
        ended = bytes(map(sum, zip(handled, evicted, strict=True)))
        assert ended == bytes(self.accepted[:used])
        assert sum(self.accepted) >= EVENTS / 2


def publish(bus: EventBus, ledger: Ledger) -> None:
    """Publish a thousand events, one by one."""
    for event in islice(ledger.events("a"), 1000):
        ledger.accepted[event.data] = bus.publish(event)


def publish_many(bus: EventBus, ledger: Ledger) -> None:
    """Publish a thousand events, all of which are accepted, in one call."""
    events = list(islice(ledger.events("a"), 1000))
    assert bus.publish_many(events) == 1000
    for event in events:
        ledger.accepted[event.data] = True


def publish_and_look(bus: EventBus, ledger: Ledger) -> None:
    """Publish a thousand events, and read statistics or flush after every 50."""
    for event in islice(ledger.events("a"), 1000):
        ledger.accepted[event.data] = bus.publish(event)
        if event.data % 50 == 0:
            stats = bus.stats()
            assert stats.published >= stats.processed + stats.dropped
        if event.data % 100 == 0:
            assert bus.flush()


@pytest.mark.parametrize("call", [publish, publish_many, publish_and_look])
@pytest.mark.parametrize(
    "policy",
    [BackpressurePolicy.BLOCK, BackpressurePolicy.DROP_OLDEST],
    ids=lambda policy: policy.value,
)
def test_each_event_is_accounted_for_when_alarms_publish_too(
    factory: BusFactory, policy: BackpressurePolicy, call: Callable[[EventBus, Ledger], None]
) -> None:
    """Whatever the alarm interrupts: another publish, a wait for free slots, a snapshot."""
    ledger = Ledger()
    bus = factory.bus(
        workers=2,
        queue_size=60,
        policy=policy,
        on_drop=ledger.drop,
        priorities={"a": 1, "alarm": 2},  # alarms may evict, and are not evicted
    )
    bus.subscribe("*", ledger.handle)

    def alarm(number: int, frame: Any) -> None:
        # On a busy machine an alarm interrupts the last one, in a hook of a hook of a hook, which
        # is where drops are no longer reported.
        if ledger.in_alarm:
            return
        ledger.in_alarm = True
        ledger.alarms += 1
        event = ledger.next("alarm")
        ledger.accepted[event.data] = bus.publish(event)
        ledger.in_alarm = False

    previous = signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, PERIOD, PERIOD)
    try:
        rounds = 0
        while rounds < EVENTS / 1000 or ledger.alarms < MIN_ALARMS:
            call(bus, ledger)
            rounds += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert_at_rest(bus)
    ledger.assert_each_accepted_once()
    assert any(ledger.evicted) is (policy is BackpressurePolicy.DROP_OLDEST)
    assert bus.stats().published == sum(ledger.accepted)
