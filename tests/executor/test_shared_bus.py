"""An executor on a bus that others use too."""

from brummerbus import Event
from brummerbus.executor import BusExecutor
from brummerbus.testing import TestBus
from helpers.buses import BusFactory, inside
from helpers.executors import Make, hold
from helpers.handlers import Recorder
from helpers.waiting import HANG


def test_executors_share_a_bus_with_each_other_and_with_subscribers(
    make: Make, factory: BusFactory
) -> None:
    """Each runs its own tasks; globs see none of them; a shutdown ends its own only."""
    bus, seen = factory.bus(), Recorder()
    bus.subscribe("*", seen)
    one, other = make(None, bus=bus), make(None, bus=bus)
    assert one.submit(pow, 2, 3).result(HANG) == 8
    bus.publish(Event("a", 1))
    one.shutdown()
    assert len(bus.subscriptions()) == 2
    assert other.submit(pow, 3, 3).result(HANG) == 27
    assert bus.flush(HANG)
    assert seen.data == [1]
    stats = bus.stats()
    assert (stats.published, stats.processed) == (3, 3)


def test_shutdown_on_a_shared_bus_waits_for_no_stranger(make: Make, factory: BusFactory) -> None:
    """Only for the tasks of its executor."""
    bus = factory.bus(workers=2)
    executor, gate = make(None, bus=bus), factory.gate()
    bus.subscribe("a", gate)
    bus.publish(Event("a"))
    gate.wait_entered()
    executor.submit(int)
    executor.shutdown()
    assert bus.stats().running == 1
    assert not bus.closed


def test_on_a_shared_bus_it_occupies_so_many_workers_at_most(
    make: Make, factory: BusFactory
) -> None:
    """The others stay free for other events."""
    bus, seen = factory.bus(workers=3), Recorder()
    executor = make(2, bus=bus)
    assert executor._max_workers == 2
    assert len(executor._threads) == 3
    hold(factory, executor, 2)
    third = executor.submit(int)
    bus.subscribe("a", seen)
    bus.publish(Event("a"))
    seen.wait_for(1)
    assert not third.running()
    assert not third.done()


def test_a_forgotten_executor_leaves_nothing_on_a_shared_bus(factory: BusFactory) -> None:
    """Its subscription ends with it; what it had submitted is run."""
    bus = factory.bus()
    executor = BusExecutor(bus=bus)
    view = executor.with_priority(2)
    gate = hold(factory, executor)
    del executor
    future = view.submit(int)
    del view
    assert not bus.subscriptions()
    gate.open()
    assert future.result(HANG) == 0


def test_on_a_bus_without_threads_tasks_are_run_step_by_step() -> None:
    """As handlers are: when the test says so, and at the shutdown."""
    with TestBus(seed=1) as bus:
        executor = BusExecutor(bus=bus)
        first = executor.submit(pow, 2, 3)
        assert not first.done()
        bus.run_until_idle()
        assert first.result(0) == 8
        second = executor.submit(executor.shutdown)
        third = executor.submit(pow, 3, 3)
        executor.shutdown()
        assert (second.result(0), third.result(0)) == (None, 27)


def test_a_handler_can_submit_to_an_executor_of_its_bus(make: Make, factory: BusFactory) -> None:
    """The task uses the reserve for handlers, if the queue is full."""
    bus = factory.bus()
    executor = make(None, bus=bus)
    future = inside(bus, lambda: executor.submit(pow, 2, 3))
    assert future.result(HANG) == 8
