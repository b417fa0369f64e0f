"""When an elastic pool grows and shrinks: in virtual time, then once for real."""

import threading
from time import monotonic

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brummerbus import BackpressurePolicy, Event
from brummerbus.sizing._autoscale import (
    GROW_PAUSE,
    LONG_WAIT,
    MAX_SHRINK_PAUSE,
    SHRINK_PAUSE,
    AutoscalePolicy,
    LoadSample,
)
from elastic_simulation import Handler, Pool
from helpers.buses import BusFactory
from helpers.checks import assert_balance
from helpers.handlers import Recorder
from helpers.internals import autoscaler_of, oldest_wait
from helpers.waiting import HANG, poll

WAITING = Handler(wait=0.010)
MIXED = Handler(wait=0.007, compute=0.0003)
COMPUTING = Handler(wait=0.0, compute=0.002)


def pool(handler: Handler = WAITING, workers: int = 4, most: int = 32, **more: float) -> Pool:
    """Return an idle elastic pool, with 4 workers at least."""
    return Pool(AutoscalePolicy(4, most), workers, handler, **more)  # type: ignore[arg-type]


def sample(time: float, queued: int = 0, running: int = 0, workers: int = 4) -> LoadSample:
    """Return a sample of handlers that wait, on an idle machine."""
    return LoadSample(time, queued, 100, running, workers, 0.001, 1.5, 0.1, 1, 0.9)


# ---- the rule --------------------------------------------------------------------------------


def test_a_queue_over_half_full_grows_by_one_and_says_why() -> None:
    """With handlers that wait."""
    decision = AutoscalePolicy(4, 8).decide(sample(0, queued=51, running=4))
    assert decision == (5, "the queue is 51% full, and handlers wait for 90% of their time")


def test_a_queue_just_half_full_does_not_grow() -> None:
    """The rule: over 50 %."""
    assert AutoscalePolicy(4, 8).decide(sample(0, queued=50, running=4)) is None


def test_a_delivery_that_has_waited_long_grows_a_pool_whose_workers_are_busy() -> None:
    """Even if the queue is short relative to its capacity."""
    waited = sample(0, queued=1, running=4)._replace(oldest_wait=0.06)
    decision = AutoscalePolicy(4, 8).decide(waited)
    assert decision == (
        5,
        "a delivery has waited for 0.06 s, and handlers wait for 90% of their time",
    )


@pytest.mark.parametrize(
    "change",
    [
        {"oldest_wait": LONG_WAIT},
        {"running": 3},
        {"workers": 8, "running": 8},
        {"cpu_used": 0.95},
        {"cpu_free": 0.1, "wait_share": 0.4},
    ],
    ids=["not long", "a worker is idle", "as many as may be", "busy GIL", "busy machine"],
)
def test_a_long_wait_alone_is_no_reason_to_grow(change: dict[str, float]) -> None:
    """The limits of growing by the queue are those of growing by waits, too."""
    waited = sample(0, queued=1, running=4)._replace(oldest_wait=1.0)
    assert AutoscalePolicy(4, 8).decide(waited) is not None
    assert AutoscalePolicy(4, 8).decide(waited._replace(**change)) is None  # type: ignore[arg-type]


def test_idle_workers_and_an_empty_queue_shrink_by_one_and_say_why() -> None:
    """After some time, not immediately."""
    policy = AutoscalePolicy(4, 8)
    assert policy.decide(sample(0, queued=9, running=3, workers=6)) is None
    assert policy.decide(sample(SHRINK_PAUSE - 0.01, running=3, workers=6)) is None
    decision = policy.decide(sample(SHRINK_PAUSE, running=3, workers=6))
    assert decision == (5, "the queue is 0% full, 3 of 6 workers are idle, some for 2.0 s")


@pytest.mark.parametrize("busy", [sample(1, queued=10, workers=6), sample(1, running=6, workers=6)])
def test_one_busy_moment_begins_the_wait_for_shrinking_anew(busy: LoadSample) -> None:
    """A queue of 10 %, or no idle worker."""
    policy = AutoscalePolicy(4, 8)
    assert policy.decide(sample(0, workers=6)) is None
    assert policy.decide(busy) is None
    assert policy.decide(sample(SHRINK_PAUSE + 0.5, workers=6)) is None
    assert policy.decide(sample(2 * SHRINK_PAUSE + 0.5, workers=6)) is not None


def test_slow_handlers_make_shrinking_wait_longer() -> None:
    """An idle worker is no evidence while each delivery takes seconds."""
    policy = AutoscalePolicy(4, 8)
    slow = sample(0, workers=6)._replace(processing_time=1.0)
    assert policy.decide(slow) is None
    assert policy.decide(slow._replace(time=19.9)) is None
    assert policy.decide(slow._replace(time=20.0)) is not None


def test_no_core_and_no_waiting_is_no_reason_to_grow() -> None:
    """Another worker would only compete with the others."""
    full = sample(0, queued=100, running=4)
    busy_machine = full._replace(cpu_free=0.1, wait_share=0.4)
    assert AutoscalePolicy(4, 8).decide(busy_machine) is None
    assert AutoscalePolicy(4, 8).decide(busy_machine._replace(cpu_free=0.3)) is not None
    assert AutoscalePolicy(4, 8).decide(busy_machine._replace(wait_share=0.6)) is not None


def test_a_busy_gil_is_a_reason_not_to_grow_whatever_else_there_is() -> None:
    """Waiting for the GIL looks like waiting; free cores do not help."""
    assert (
        AutoscalePolicy(4, 8).decide(sample(0, queued=100, running=4)._replace(cpu_used=0.95))
        is None
    )


@pytest.mark.parametrize(("minimum", "maximum"), [(0, 4), (5, 4), (-1, -1)])
def test_bounds_that_are_none_are_refused(minimum: int, maximum: int) -> None:
    """Named, with value and range."""
    with pytest.raises(ValueError, match=r"(min_workers|max_workers) must be an int of at least"):
        AutoscalePolicy(minimum, maximum)


looks = st.lists(
    st.tuples(st.floats(0.001, 3), st.integers(0, 100), st.floats(0, 1), st.floats(0, 1.2)),
    max_size=200,
)


@settings(deadline=None)
@given(looks, st.integers(1, 6), st.integers(0, 6))
def test_steps_stay_within_the_bounds_and_apart_whatever_is_seen(
    seen: list[tuple[float, int, float, float]], minimum: int, more: int
) -> None:
    """By one, up at most every 0.2 s, down at most every 2 s and never sooner after a step up."""
    policy, workers, time = AutoscalePolicy(minimum, minimum + more), minimum, 0.0
    last = float("-inf")
    for pause, queued, busy, used in seen:
        time += pause
        look = sample(time, queued, round(busy * workers), workers)._replace(cpu_used=used)
        decision = policy.decide(look)
        if decision is None:
            continue
        assert abs(decision[0] - workers) == 1
        assert minimum <= decision[0] <= minimum + more
        assert time - last >= (GROW_PAUSE if decision[0] > workers else SHRINK_PAUSE)
        workers, last = decision[0], time


# ---- loads in virtual time ---------------------------------------------------------------------


def test_a_step_in_the_load_is_answered_in_seconds_without_much_overshoot() -> None:
    """1,200/s at 10 ms need 12 workers; 4 can do 400/s."""
    answered = pool().run(lambda _: 1200, 30)
    grown = [time for time, size in answered.sizes if size == 12]
    assert grown[0] < 3
    assert max(size for _, size in answered.sizes) <= 18  # some to drain what has queued up
    assert answered.sizes[-1][0] < 30 - 2 * SHRINK_PAUSE or answered.turns <= 4
    assert answered.queued < answered.capacity / 2


def test_a_long_queue_does_not_hide_that_deliveries_wait() -> None:
    """1,200/s would fill half of its 32,000 slots in 20 s, and would wait as long."""
    answered = pool(capacity=32_000).run(lambda _: 1200, 30)
    assert next(time for time, size in answered.sizes if size == 12) < 3
    assert answered.queued / 1200 < 2 * LONG_WAIT


def test_a_ramp_is_followed_up_and_down() -> None:
    """From nothing to 2,000/s in 20 s, and back."""
    up = pool().run(lambda t: 100 * t, 20)
    assert up.workers >= 18
    assert up.turns <= 2
    down = up.run(lambda t: max(0.0, 100 * (40 - t)), 20).run(lambda _: 0, 90)
    assert down.workers == 4


def test_a_burst_is_answered_and_then_forgotten() -> None:
    """3,000/s for two seconds, then nothing."""
    burst = pool().run(lambda t: 3000 if t < 2 else 0, 2)
    assert 8 <= burst.workers <= 16
    after = burst.run(lambda _: 0, 60)
    assert (after.workers, after.queued, after.turns) == (4, 0, 1)


def test_an_idle_pool_does_nothing_and_looks_once_a_second() -> None:
    """No step, no more samples."""
    idle = pool().run(lambda _: 0, 60)
    assert idle.sizes == []
    assert idle.looks <= 61


@pytest.mark.slow
def test_a_load_between_two_sizes_does_not_make_the_pool_flap() -> None:
    """450/s at 10 ms: 4 workers are too few and 5 are sometimes idle."""
    between = pool().run(lambda _: 450, 600)
    assert len(between.sizes) <= 2 + 2 * 600 / MAX_SHRINK_PAUSE + 10
    assert {size for _, size in between.sizes} <= {4, 5, 6}


def test_a_load_that_swings_is_not_followed_in_every_swing() -> None:
    """A second of high load, a second of low: the pause before shrinking is longer than that."""
    swinging = pool().run(lambda t: 1500 if int(t) % 2 else 50, 60)
    assert swinging.turns <= 4


def test_computing_handlers_make_no_pool_grow() -> None:
    """600/s at 2 ms exceed one GIL; more workers would not help."""
    assert pool(COMPUTING).run(lambda _: 600, 30).sizes == []


def test_a_machine_busy_with_other_things_still_lets_waiting_handlers_grow() -> None:
    """They need no core."""
    assert pool(MIXED, others=2.0).run(lambda _: 1500, 10).workers >= 10


# ---- for real ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_real_pool_grows_under_load_and_shrinks_again(factory: BusFactory) -> None:
    """Blocked handlers fill the queue; once released, all is handled and the pool shrinks."""
    bus = factory.bus(
        workers=(1, 3), queue_size=10, policy=BackpressurePolicy.DROP_NEWEST, name="elastic"
    )
    assert (bus.workers, bus.config.min_workers, bus.config.max_workers) == (1, 1, 3)
    gate, seen = factory.gate(), Recorder()
    bus.subscribe("held", gate)
    bus.subscribe("a", seen)
    assert bus.publish(Event("held"))
    gate.wait_entered()  # by the only worker
    for event_type in ("held",) * 2 + ("a",) * 8:
        assert bus.publish(Event(event_type))
    gate.wait_entered(2)  # by two more
    poll(lambda: bus.workers == 3)
    gate.open()
    assert bus.flush(HANG)
    assert len(seen.events) == 8
    poll(lambda: len(bus.stats().sizing) == 4)
    steps = bus.stats().sizing
    assert [step.after for step in steps] == [2, 3, 2, 1]
    assert all("the queue is" in step.reason for step in steps)
    assert_balance(bus.stats())


def test_a_real_pool_grows_for_one_delivery_that_waits(factory: BusFactory) -> None:
    """A queue of a thousand slots, one of them taken, and the only worker in a long handler."""
    bus, gate = factory.bus(workers=(1, 2), queue_size=1000), factory.gate()
    bus.subscribe("held", gate)
    for _ in range(2):
        assert bus.publish(Event("held"))
    gate.wait_entered(2)  # one by the first worker, one by a new one
    poll(lambda: bool(bus.stats().sizing))  # the step is recorded once the worker has started
    (step,) = bus.stats().sizing
    assert (step.before, step.after) == (1, 2)
    assert step.reason.startswith("a delivery has waited for ")


@pytest.mark.parametrize("monitoring", [True, False])
def test_the_oldest_wait_is_that_of_the_delivery_that_waits_longest(
    factory: BusFactory, monitoring: bool
) -> None:
    """Whatever its level; 0 for an empty queue, and if nothing is timed."""
    bus = factory.bus(workers=(1, 2), monitoring=monitoring)
    gate = factory.hold(bus)
    growth = autoscaler_of(bus)
    bus.subscribe("a", Recorder())
    assert oldest_wait(growth) == 0
    before = monotonic()
    assert bus.publish(Event("a"), priority=1)
    after = monotonic()
    poll(lambda: monotonic() - after > 0.02)
    assert bus.publish(Event("a"), priority=3)
    least = monotonic() - after
    oldest = oldest_wait(growth)
    most = monotonic() - before
    assert least <= oldest <= most if monitoring else oldest == 0
    gate.open()
    assert bus.flush(HANG)
    assert oldest_wait(growth) == 0


def test_a_pool_of_equal_bounds_is_static(factory: BusFactory) -> None:
    """No monitor."""
    factory.bus(workers=(2, 2), name="equal")
    assert not any(thread.name == "equal-monitor" for thread in threading.enumerate())


def test_an_elastic_pool_has_a_queue_for_its_most_workers(factory: BusFactory) -> None:
    """Ten slots each."""
    assert factory.bus(workers=(2, 6), queue_size=None).config.queue_size == 60
