"""`subscribe(..., max_concurrency=...)`: that many calls at once; no worker waits for the rest."""

import threading
from typing import Any

import pytest

from brummerbus import Event
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest, assert_balance
from helpers.handlers import Gate, Recorder
from helpers.threads import run_together
from helpers.waiting import HANG, poll


class Counted:
    """A handler that counts how many of its calls run at once."""

    def __init__(self, gate: Gate | None = None) -> None:
        self.running = self.peak = self.calls = 0
        self._lock = threading.Lock()
        self._gate = gate

    def __call__(self, event: Any) -> None:
        """Count, and wait at the gate, if there is one."""
        with self._lock:
            self.calls += 1
            self.running += 1
            self.peak = max(self.peak, self.running)
        if self._gate is not None:
            self._gate(event)
        with self._lock:
            self.running -= 1


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_no_more_calls_run_at_once(factory: BusFactory, limit: int) -> None:
    """But as many as are allowed do."""
    bus = factory.bus(workers=4, queue_size=100)
    gate = factory.gate()
    handler = Counted(gate)
    bus.subscribe("a", handler, max_concurrency=limit)
    bus.publish_many([Event("a", n) for n in range(30)])
    gate.wait_entered(limit)
    assert bus.stats().running == limit
    gate.open()
    assert_at_rest(bus)
    assert (handler.peak, handler.calls) == (limit, 30)


def test_the_other_workers_take_other_deliveries(factory: BusFactory) -> None:
    """Also less urgent ones, published later; none of them waits for the slow handler."""
    bus = factory.bus(workers=2, queue_size=200)
    gate, other = factory.gate(), Recorder()
    bus.subscribe("slow", gate, max_concurrency=1)
    bus.subscribe("other", other)
    bus.publish_many([Event("slow", n) for n in range(50)], priority=3)
    gate.wait_entered()
    bus.publish_many([Event("other", n) for n in range(100)], priority=1)
    other.wait_for(100)
    assert bus.stats().running == 1
    assert bus.stats().queued == 49
    gate.open()
    assert_at_rest(bus)


def test_a_limit_beyond_the_workers_is_none(factory: BusFactory) -> None:
    """All workers take them."""
    bus = factory.bus(workers=3, queue_size=100)
    gate = factory.gate()
    bus.subscribe("a", gate, max_concurrency=4096)
    bus.publish_many([Event("a", n) for n in range(10)])
    gate.wait_entered(3)
    gate.open()
    assert_at_rest(bus)


def test_with_one_at_a_time_events_come_in_order(factory: BusFactory) -> None:
    """Within a level; urgent ones first, as without a limit."""
    bus = factory.bus(workers=4, queue_size=100)
    gate, recorder = factory.hold(bus), Recorder()
    bus.subscribe("a", recorder, max_concurrency=1)
    for n in range(30):
        bus.publish(Event("a", (n % 3, n)), priority=1 + n % 3)
    gate.open()
    assert_at_rest(bus)
    assert recorder.data == sorted(recorder.data, key=lambda data: (-data[0], data[1]))


def test_each_subscription_has_a_limit_of_its_own(factory: BusFactory) -> None:
    """Of the same handler and the same events."""
    bus = factory.bus(workers=4, queue_size=100)
    gate = factory.gate()
    one, two = Counted(gate), Counted(gate)
    bus.subscribe("a", one, max_concurrency=1)
    bus.subscribe("a", two, max_concurrency=2)
    bus.publish_many([Event("a", n) for n in range(10)])
    gate.wait_entered(3)
    assert bus.stats().running == 3
    gate.open()
    assert_at_rest(bus)
    assert (one.peak, two.peak) == (1, 2)


def test_one_that_raises_gives_its_place_to_the_next(factory: BusFactory) -> None:
    """As one that returns."""
    bus = factory.bus(workers=3, queue_size=100, on_error=lambda *_: None)
    calls: list[Any] = []

    def fail(event: Event) -> None:
        calls.append(event)
        raise ValueError

    bus.subscribe("a", fail, max_concurrency=1)
    bus.publish_many([Event("a", n) for n in range(50)])
    assert_at_rest(bus)
    assert len(calls) == bus.stats().failed == 50


def test_a_delivery_that_waits_for_its_retry_takes_no_place(factory: BusFactory) -> None:
    """The next one runs concurrently."""
    bus = factory.bus(workers=2, queue_size=100)
    recorder, failed = Recorder(), threading.Event()

    def handler(event: Event) -> None:
        if event.data == "late" and not failed.is_set():
            failed.set()
            raise ValueError
        recorder(event)

    bus.subscribe("a", handler, max_concurrency=1, retries=1, backoff=HANG)
    bus.publish_many([Event("a", data) for data in ("late", 1, 2)])
    recorder.wait_for(2)
    assert recorder.data == [1, 2]
    assert bus.stats().queued == 1


def test_limits_and_keys_go_together(factory: BusFactory, frequent_switches: None) -> None:
    """At most two calls, of different keys, each key in order."""
    bus = factory.bus(workers=4, queue_size=1000, policy="block")
    handler, seen = Counted(), Recorder()

    def handle(event: Event) -> None:
        handler(event)
        seen(event)

    bus.subscribe("a", handle, max_concurrency=2, key=lambda event: event.data[0])
    run_together(
        3, lambda number: [bus.publish(Event("a", ((number, n % 4), n))) for n in range(300)]
    )
    assert_at_rest(bus)
    assert handler.peak <= 2
    for key in {data[0] for data in seen.data}:
        numbers = [n for k, n in seen.data if k == key]
        assert numbers == sorted(numbers)
    assert len(seen.data) == 900


def test_the_limit_holds_while_publishers_evict(
    factory: BusFactory, frequent_switches: None
) -> None:
    """The counts balance at every moment."""
    bus = factory.bus(workers=4, queue_size=7)
    handler = Counted()
    bus.subscribe("a", handler, max_concurrency=2)

    def publish(number: int) -> None:
        for n in range(300):
            bus.publish(Event("a", n), priority=1 + n % 3)
            if n % 30 == 0:
                assert_balance(bus.stats())

    run_together(3, publish)
    assert_at_rest(bus)
    assert handler.peak <= 2
    stats = bus.stats()
    assert handler.calls == stats.processed == 900 - stats.dropped


def test_workers_that_come_later_do_not_exceed_it(factory: BusFactory) -> None:
    """Nor do fewer workers forget what waits."""
    bus = factory.bus(workers=1, queue_size=100)
    gate = factory.gate()
    handler = Counted(gate)
    bus.subscribe("a", handler, max_concurrency=2)
    bus.publish_many([Event("a", n) for n in range(20)])
    gate.wait_entered()
    bus.resize(6)
    gate.wait_entered()
    assert bus.stats().running == 2
    bus.resize(1)
    gate.open()
    assert_at_rest(bus)
    assert (handler.peak, handler.calls) == (2, 20)


def test_a_handler_that_publishes_to_itself_is_not_run_inside_itself(factory: BusFactory) -> None:
    """It comes again after it has returned."""
    bus = factory.bus(workers=3)
    handler = Counted()
    bus.subscribe(
        "a",
        lambda event: (
            handler(event) or (event.data < 50 and bus.publish(Event("a", event.data + 1)))
        ),
        max_concurrency=1,
    )
    bus.publish(Event("a", 0))
    poll(lambda: handler.calls == 51)
    assert_at_rest(bus)
    assert handler.peak == 1


@pytest.mark.parametrize(
    ("bad", "error"),
    [(0, ValueError), (-1, ValueError), (4097, ValueError), (1.5, TypeError), (True, TypeError)],
)
def test_what_is_no_limit_is_refused(factory: BusFactory, bad: Any, error: type[Exception]) -> None:
    """The message names the option."""
    bus = factory.bus()
    with pytest.raises(error, match="max_concurrency"):
        bus.subscribe("a", print, max_concurrency=bad)
