"""Stopping while others publish, wait, or stop too, and from handlers."""

import threading

import pytest

from brummerbus import BackpressurePolicy, BusClosed, Event, EventBus
from helpers.buses import BusFactory, accepts, fill, inside
from helpers.checks import assert_balance, assert_closed
from helpers.handlers import Drops, Recorder
from helpers.threads import InThread, run_together
from helpers.waiting import HANG, poll


@pytest.mark.parametrize("drain", [True, False])
def test_stop_sends_waiting_publishers_home(factory: BusFactory, drain: bool) -> None:
    """Waiters, with whatever time-out, get BusClosed immediately."""
    bus = factory.bus(policy=BackpressurePolicy.BLOCK, queue_size=2)
    bus.subscribe("a", lambda event: None)
    gate = factory.hold(bus)
    fill(bus, 2)
    event = Event("a")
    waiting = [
        InThread(lambda: bus.publish(event)),
        InThread(lambda: bus.publish(event, timeout=10 * HANG)),
        InThread(lambda: bus.publish_many([event, event])),
    ]
    for publisher in waiting:
        publisher.await_waiter(bus)
    stop = InThread(lambda: bus.stop(drain=drain))
    for publisher in waiting:
        with pytest.raises(BusClosed):
            publisher.result()
    assert bus.stats().published == 3
    gate.open()
    assert stop.result() is drain


def test_handlers_may_publish_while_draining(factory: BusFactory) -> None:
    """All that follows from what was accepted is handled; also more than the queue can hold."""
    bus, recorder = factory.bus(queue_size=5, workers=2, publish_timeout=HANG), Recorder()

    def branch(event: Event) -> None:
        recorder(event)
        if event.data:
            bus.publish(Event("a", event.data - 1))
            assert bus.publish_many([Event("a", event.data - 1)]) == 1

    bus.subscribe("a", branch)
    gate = factory.hold(bus)
    bus.publish(Event("a", 7))
    stop = InThread(bus.stop)
    poll(lambda: bus.closed and not accepts(bus))
    gate.open()
    assert stop.result() is True
    assert len(recorder.events) == 2**8 - 1
    assert bus.stats().dropped == 0


def test_handlers_may_not_publish_when_it_does_not_drain(factory: BusFactory) -> None:
    """There would be no worker to handle it."""
    bus = factory.bus()

    def stop_and_publish() -> None:
        bus.stop(drain=False)
        bus.publish(Event("a"))

    bus.subscribe("a", print)
    with pytest.raises(BusClosed):
        inside(bus, stop_and_publish)


@pytest.mark.parametrize("drain", [True, False])
def test_stop_in_a_handler_begins_it_and_returns(factory: BusFactory, drain: bool) -> None:
    """Without waiting for itself; another thread can wait, and the threads end by themselves."""
    before = threading.active_count()
    bus, recorder = factory.bus(workers=2), Recorder()
    bus.subscribe("a", recorder)
    assert inside(bus, lambda: bus.stop(drain=drain, timeout=None)) is False
    assert bus.closed
    assert_closed(bus)
    poll(lambda: threading.active_count() == before)
    assert bus.stop() is True


def test_stop_in_a_handler_still_drains(factory: BusFactory) -> None:
    """What was queued when the handler called it is handled."""
    bus, recorder = factory.bus(), Recorder()
    gate = factory.hold(bus)
    bus.subscribe("stop", lambda event: bus.stop())
    bus.subscribe("a", recorder)
    bus.publish(Event("stop"), priority=3)
    fill(bus, 8)
    gate.open()
    recorder.wait_for(8)
    assert bus.stop() is True


def test_stop_in_a_handler_keeps_to_its_time(factory: BusFactory) -> None:
    """What is still queued afterwards is dropped, although no thread outside waits."""
    drops = Drops()
    bus = factory.bus(on_drop=drops)
    bus.subscribe("stop", lambda event: bus.stop(timeout=0))
    gate = factory.hold(bus)
    bus.subscribe("a", print)
    bus.publish(Event("stop"), priority=3)
    fill(bus, 8)
    gate.open()
    poll(lambda: len(drops) == 8)
    assert_balance(bus.stats())


def test_stop_from_several_threads_stops_once(factory: BusFactory) -> None:
    """All of them wait for the end, and all get the result."""
    bus, recorder = factory.bus(queue_size=20), Recorder()
    gate = factory.hold(bus)
    bus.subscribe("a", recorder)
    fill(bus, 20)
    stops = [InThread(bus.stop) for _ in range(4)]
    poll(lambda: bus.closed)
    gate.open()
    assert [stop.result() for stop in stops] == [True] * 4
    assert len(recorder.events) == 20


def test_stop_amid_publishers_loses_nothing(factory: BusFactory, frequent_switches: None) -> None:
    """What publish accepted is handled, what it refused is not."""
    for _ in range(20):
        bus, recorder = factory.bus(workers=2, queue_size=1000), Recorder()
        bus.subscribe("a", recorder)
        accepted: list[int] = []

        def work(number: int, bus: EventBus = bus, accepted: list[int] = accepted) -> None:
            if number == 0:
                assert bus.stop()
                return
            for sent in range(number * 1000, number * 1000 + 200):
                try:
                    bus.publish(Event("a", sent))
                except BusClosed:
                    return
                accepted.append(sent)

        run_together(4, work)
        assert sorted(recorder.data) == sorted(accepted)
