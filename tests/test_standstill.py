"""The standstill rule: `publish_timeout` is how long nothing moves, not how long it takes."""

import os
import signal
import sys
from collections.abc import Callable
from time import monotonic

import pytest

from brummerbus import BackpressurePolicy, Event, EventBus, QueueFull
from helpers.buses import BusFactory
from helpers.handlers import Recorder
from helpers.processes import ended, start_python
from helpers.threads import InThread, run_together
from helpers.waiting import HANG, pause

PUBLISHERS = 50


def slow_into(recorder: Recorder, seconds: float) -> Callable[[Event], None]:
    """Return a handler that waits that long, like one that writes to a network."""

    def slow(event: Event) -> None:
        pause(seconds)
        recorder(event)

    return slow


# ---- what moves, however slowly --------------------------------------------------------------


@pytest.mark.parametrize("policy", BackpressurePolicy)
def test_slow_handlers_pace_fifty_publishers_and_lose_nothing(policy: BackpressurePolicy) -> None:
    """With default settings, and far more events than slots."""
    recorder = Recorder()
    with EventBus(policy=policy) as bus:
        bus.subscribe("a", slow_into(recorder, 0.005))
        run_together(
            PUBLISHERS,
            lambda n: [bus.publish(Event("a", (n, i))) or pytest.fail("lost") for i in range(10)],
        )
        assert bus.flush(HANG)
        assert bus.stats().dropped == 0
    assert sorted(recorder.data) == [(n, i) for n in range(PUBLISHERS) for i in range(10)]


@pytest.mark.slow
@pytest.mark.parametrize("policy", BackpressurePolicy)
def test_publisher_may_wait_far_longer_than_the_timeout(
    factory: BusFactory, policy: BackpressurePolicy
) -> None:
    """As long as workers take: the last publisher waits for all the others."""
    bus, recorder = factory.bus(queue_size=1, policy=policy, publish_timeout=0.8), Recorder()
    bus.subscribe("a", slow_into(recorder, 0.1))
    began = monotonic()
    assert bus.publish(Event("a"))
    line = [InThread(lambda: bus.publish(Event("a"))) for _ in range(20)]
    assert [call.result() for call in line] == [True] * 20
    assert monotonic() - began > 2 * bus.config.publish_timeout
    assert bus.flush(HANG)
    assert (len(recorder.events), bus.stats().dropped) == (21, 0)


PUBLISHING = """
    bus = EventBus(workers=2, queue_size=4, publish_timeout=0.6)
    bus.subscribe("a", lambda event: time.sleep(0.02))
    def publish():
        for _ in range(20):
            bus.publish(Event("a"))
    threads = [threading.Thread(target=publish) for _ in range(8)]
    for thread in threads:
        thread.start()
    say("begun")
    for thread in threads:
        thread.join()
    bus.stop()
    say(bus.stats().published, bus.stats().processed, bus.stats().dropped)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_pause_of_the_whole_process_is_no_standstill() -> None:
    """Stopped for longer than the `publish_timeout`, repeatedly, it loses nothing."""
    began = monotonic()
    process = start_python(PUBLISHING)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    for _ in range(3):
        pause(0.2)  # until it publishes
        os.kill(process.pid, signal.SIGSTOP)
        pause(0.9)
        os.kill(process.pid, signal.SIGCONT)
    result = ended(process, began)
    assert (result.code, result.err) == (0, "")
    assert result.lines == ["160 160 0"]


WAITING = """
    bus, gate = bus_of(queue_size=1, publish_timeout=2.0), Gate()
    signal.signal(signal.SIGUSR1, lambda *_: gate.opened.set())
    bus.subscribe("a", gate)
    bus.publish(Event("a"))
    gate.entered.acquire()
    bus.publish(Event("a"))
    answers = []
    publish = lambda: answers.append(bus.publish(Event("a")))
    threads = [threading.Thread(target=publish) for _ in range(40)]
    for thread in threads:
        thread.start()
    while bus.stats().waiting < 40:
        time.sleep(0.001)
    say("waiting")
    gate.opened.wait()
    for thread in threads:
        thread.join()
    bus.stop()
    say(bus.stats().processed, bus.stats().dropped)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_several_pauses_are_no_standstill_however_many_publishers_wait() -> None:
    """Between the stops the process runs for less than the `publish_timeout` in total."""
    began = monotonic()
    process = start_python(WAITING)
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    for _ in range(3):
        os.kill(process.pid, signal.SIGSTOP)
        pause(2.2)
        os.kill(process.pid, signal.SIGCONT)
        pause(0.05)
    os.kill(process.pid, signal.SIGUSR1)
    result = ended(process, began)
    assert (result.code, result.err) == (0, "")
    assert result.lines == ["42 0"]


# ---- what does not move ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "policy", [p for p in BackpressurePolicy if p is not BackpressurePolicy.BLOCK]
)
def test_stuck_handlers_cost_fifty_publishers_one_timeout(
    factory: BusFactory, policy: BackpressurePolicy
) -> None:
    """Not one per event, nor one per publisher."""
    bus = factory.bus(queue_size=10, policy=policy, publish_timeout=0.5)
    factory.hold(bus)
    bus.subscribe("a", Recorder())
    slowest: list[float] = []

    def work(_: int) -> None:
        took = []
        for _ in range(20):
            began = monotonic()
            try:
                bus.publish(Event("a"))
            except QueueFull:
                assert policy is BackpressurePolicy.REJECT
            took.append(monotonic() - began)
        slowest.append(sum(took))

    run_together(PUBLISHERS, work)
    assert max(slowest) >= 0.5 * 0.99
    assert max(slowest) < 20 * 0.5


def test_timeout_begins_with_the_last_take(factory: BusFactory) -> None:
    """Not with the wait: a publisher that has waited long still has all of it."""
    bus = factory.bus(queue_size=1, policy=BackpressurePolicy.REJECT, publish_timeout=0.4)
    gate = factory.hold(bus)
    bus.subscribe("a", gate)
    assert bus.publish(Event("a"))
    first = InThread(lambda: bus.publish(Event("a")))
    first.await_waiter(bus)
    second = InThread(lambda: bus.publish(Event("a")))
    second.await_waiter(bus, 2)
    pause(0.1)
    taken = monotonic()
    gate.let_through()  # the first gets the slot, the second continues to wait
    assert first.result() is True
    with pytest.raises(QueueFull):
        second.result()
    assert monotonic() - taken >= 0.4 * 0.99


@pytest.mark.slow
def test_wait_in_vain_of_one_ends_those_of_the_others(factory: BusFactory) -> None:
    """Nothing moves for any of them: a later publisher does not wait any longer."""
    bus = factory.bus(queue_size=1, policy=BackpressurePolicy.DROP_NEWEST, publish_timeout=4.0)
    factory.hold(bus)
    bus.subscribe("a", Recorder())
    assert bus.publish(Event("a"))
    first = InThread(lambda: bus.publish(Event("a")))
    first.await_waiter(bus)
    pause(3.0)
    began = monotonic()
    assert bus.publish(Event("a")) is False
    assert monotonic() - began < 4.0
    assert first.result() is False


def test_block_is_not_ended_by_the_rule(factory: BusFactory) -> None:
    """It was asked to wait without a limit."""
    bus = factory.bus(queue_size=1, policy=BackpressurePolicy.BLOCK, publish_timeout=0.01)
    gate = factory.hold(bus)
    bus.subscribe("a", Recorder())
    assert bus.publish(Event("a"))
    call = InThread(lambda: bus.publish(Event("a")))
    call.await_waiter(bus)
    pause(0.5)
    call.await_waiter(bus)
    gate.open()
    assert call.result() is True


# ---- order of admission ----------------------------------------------------------------------


def test_urgent_publishers_are_let_in_first_and_first_come_first_served_within_a_level(
    factory: BusFactory,
) -> None:
    """The queue has one slot, so that its own order does not matter."""
    bus = factory.bus(queue_size=1, policy=BackpressurePolicy.BLOCK)
    gate, recorder = factory.hold(bus), Recorder()
    bus.subscribe("a", recorder)
    assert bus.publish(Event("a", "queued"))
    calls = []
    for number, level in enumerate([1, 3, 2, 3, 1, 2]):
        calls.append(
            InThread(lambda n=number, p=level: bus.publish(Event("a", f"{p} from {n}"), priority=p))
        )
        calls[-1].await_waiter(bus, len(calls))
    gate.open()
    assert all(call.result() for call in calls)
    assert bus.flush(HANG)
    assert recorder.data == [
        "queued",
        *["3 from 1", "3 from 3", "2 from 2", "2 from 5", "1 from 0", "1 from 4"],
    ]


def test_urgent_publisher_does_not_wait_behind_a_hundred_others(factory: BusFactory) -> None:
    """It is admitted next, whatever the policy would do."""
    bus, recorder = factory.bus(queue_size=1, publish_timeout=HANG), Recorder()
    gate = factory.hold(bus)
    bus.subscribe("a", recorder)
    assert bus.publish(Event("a", "queued"))
    low = [InThread(lambda: bus.publish(Event("a", "low"), priority=1)) for _ in range(100)]
    low[-1].await_waiter(bus, 100)
    urgent = InThread(lambda: bus.publish(Event("a", "urgent"), priority=3))
    urgent.await_waiter(bus, 101)
    gate.open()
    assert urgent.result() is True
    assert all(call.result() for call in low)
    assert bus.flush(HANG)
    assert recorder.data[:3] == ["queued", "urgent", "low"]


@pytest.mark.parametrize(("level", "enters"), [(3, True), (2, False), (1, False)])
def test_room_that_others_wait_for_is_for_the_more_urgent_only(
    factory: BusFactory, level: int, enters: object
) -> None:
    """One slot is free, and a publisher at level 2 waits for two."""
    bus = factory.bus(queue_size=2, policy=BackpressurePolicy.DROP_NEWEST, publish_timeout=HANG)
    gate = factory.hold(bus)
    bus.subscribe("a", gate)
    assert bus.publish(Event("a"))
    for _ in range(2):
        bus.subscribe("wide", lambda _: None)
    wide = InThread(lambda: bus.publish(Event("wide"), priority=2))
    wide.await_waiter(bus)
    assert bus.depth == 1
    late = InThread(lambda: bus.publish(Event("a"), priority=level))
    if enters:
        assert late.result() is True
        assert (bus.depth, bus.stats().waiting) == (2, 1)
    else:
        late.await_waiter(bus, 2)
        assert bus.depth == 1
    gate.open()
    assert wide.result() is True
    assert late.result() is True


def test_waiting_publishers_are_in_the_stats(factory: BusFactory) -> None:
    """From joining the wait queue until leaving it."""
    bus = factory.bus(queue_size=1, policy=BackpressurePolicy.BLOCK)
    gate = factory.hold(bus)
    bus.subscribe("a", Recorder())
    assert bus.publish(Event("a"))
    assert bus.stats().waiting == 0
    calls = [InThread(lambda: bus.publish(Event("a"))) for _ in range(3)]
    calls[0].await_waiter(bus, 3)
    assert bus.stats().waiting == 3
    gate.open()
    assert all(call.result() for call in calls)
    assert bus.stats().waiting == 0
