"""The queue of an executor is bounded: what it refuses, drops and lets wait."""

import threading
from concurrent.futures import CancelledError, Future, wait
from typing import Any

import pytest

from brummerbus import BusClosed, QueueFull
from helpers.buses import BusFactory
from helpers.executors import SHARED, Make, either, hold
from helpers.handlers import Recorder
from helpers.waiting import HANG, poll


@SHARED
def test_a_full_queue_refuses_a_task_without_waiting(
    make: Make, factory: BusFactory, shared: bool
) -> None:
    """Although the bus may wait: a blocked submit would hold an event loop up."""
    executor = either(make, factory, shared=shared, **({"publish_timeout": 1e6} if shared else {}))
    assert executor.capacity == 10
    gate = hold(factory, executor)
    futures = [executor.submit(int) for _ in range(10)]
    with pytest.raises(QueueFull, match="10 slots"):
        executor.submit(int)
    gate.open()
    assert [future.result(HANG) for future in futures] == [0] * 10
    assert not executor._pool.waiting


def test_a_task_may_submit_into_its_own_full_queue(make: Make, factory: BusFactory) -> None:
    """Into the reserve for handlers."""
    executor = make(queue_size=1)
    gate = factory.gate()

    def submit_more() -> list[Future[int]]:
        gate(None)
        return [executor.submit(int) for _ in range(5)]

    outer = executor.submit(submit_more)
    gate.wait_entered()
    executor.submit(int)
    gate.open()
    assert [future.result(HANG) for future in outer.result(HANG)] == [0] * 5


@pytest.mark.parametrize("policy", ["drop_newest", "drop_oldest", "drop_lowest"])
@SHARED
def test_a_task_that_the_policy_drops_is_cancelled(
    make: Make, factory: BusFactory, policy: str, shared: bool
) -> None:
    """And those who wait for it are notified."""
    settings = {"policy": policy, "queue_size": 1}
    executor = make(None, bus=factory.bus(**settings)) if shared else make(**settings)
    hold(factory, executor)
    first = executor.with_priority(1).submit(int)
    second = executor.submit(int)
    lost = second if policy == "drop_newest" else first
    assert wait([lost], HANG).done == {lost}
    assert lost.cancelled()
    with pytest.raises(CancelledError):
        lost.result(HANG)


def test_futures_end_although_the_callback_of_each_submits_and_evicts_another(
    make: Make, factory: BusFactory
) -> None:
    """However deep, and on whatever executor: hooks of a bus are only called some levels deep."""
    executor, futures = make(queue_size=1, policy="drop_oldest"), list[Future[Any]]()
    refusing = make(queue_size=1, policy="drop_newest")
    gate, second = hold(factory, executor), hold(factory, refusing)

    def submit(_: object) -> None:
        if len(futures) < 40:
            futures.extend([executor.submit(int), refusing.submit(int)])
            futures[-2].add_done_callback(submit)

    submit(None)
    submit(None)
    gate.open()
    second.open()
    assert not wait(futures, HANG).not_done


def test_a_policy_that_waits_can_be_asked_for(make: Make, factory: BusFactory) -> None:
    """Then `submit` returns once there is room."""
    executor = make(policy="block", queue_size=1)
    gate = hold(factory, executor)
    submitted = Recorder()

    def submit() -> None:
        for _ in range(3):
            submitted(executor.submit(int))

    thread = threading.Thread(target=submit)
    thread.start()
    poll(lambda: executor.bus.stats().waiting == 1)
    assert len(submitted.events) == 1
    gate.open()
    thread.join(HANG)
    assert [future.result(HANG) for future in submitted.events] == [0] * 3


@SHARED
def test_a_view_with_a_priority_overtakes(make: Make, factory: BusFactory, shared: bool) -> None:
    """In the same pool."""
    executor = either(make, factory, shared=shared)
    gate, seen = hold(factory, executor), list[str]()
    for name, priority in (("low", 1), ("high", 3), ("medium", 2)):
        executor.with_priority(priority).submit(seen.append, name)
    executor.submit(seen.append, "plain")
    gate.open()
    assert executor.bus.flush(HANG)
    assert seen == ["high", "medium", "plain", "low"]
    view = executor.with_priority(3)
    assert view.capacity == executor.capacity
    assert view._threads == executor._threads
    view.shutdown()
    with pytest.raises(BusClosed):
        executor.submit(int)
