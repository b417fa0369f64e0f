"""A bus without threads: the test runs it, and a seed draws the order."""

import gc
import inspect
import os
import threading
import weakref
from contextvars import ContextVar
from typing import Any

import pytest

from brummerbus import BusClosed, BusError, DropReason, Event, EventBus
from brummerbus.testing import TestBus
from helpers.checks import assert_balance
from helpers.internals import queue_of
from helpers.waiting import HANG


def order_of(seed: int, **options: Any) -> list[int]:
    """Return the order in which six events of two keys are handled."""
    handled: list[int] = []
    with TestBus(seed=seed) as bus:
        bus.subscribe("a", lambda event: handled.append(event.data), **options)
        for number in range(6):
            bus.publish(Event("a", number))
        assert handled == []
        assert bus.run_until_idle() == 6
    return handled


def test_publishing_queues_and_running_runs() -> None:
    with TestBus(seed=0) as bus:
        handled: list[Any] = []
        bus.subscribe("*", handled.append)
        event = Event("a")
        assert bus.publish(event)
        assert (bus.depth, handled) == (1, [])
        assert bus.run_until_idle() == 1
        assert (bus.depth, handled) == (0, [event])
        assert bus.run_until_idle() == 0


def test_no_thread_is_started() -> None:
    before = set(threading.enumerate())
    with TestBus(seed=0) as bus:
        names = []
        bus.subscribe("a", lambda event: names.append(threading.current_thread()), retries=1)
        bus.publish_after(1, Event("a"))
        bus.advance(2)
        assert set(threading.enumerate()) == before
    assert names == [threading.current_thread()]


def test_the_same_seed_gives_the_same_order() -> None:
    assert [order_of(seed) for seed in range(20)] == [order_of(seed) for seed in range(20)]


def test_different_seeds_find_an_order_that_is_not_that_of_publishing() -> None:
    orders = {tuple(order_of(seed)) for seed in range(50)}
    assert tuple(range(6)) in {tuple(sorted(order)) for order in orders}
    assert len(orders) > 20


def test_no_seed_finds_an_inversion_behind_a_key() -> None:
    for seed in range(50):
        order = order_of(seed, key=lambda event: event.data % 2)
        assert [n for n in order if n % 2] == [1, 3, 5]
        assert [n for n in order if not n % 2] == [0, 2, 4]


def test_a_single_worker_runs_in_the_order_of_levels_and_of_publishing() -> None:
    for seed in range(20):
        with TestBus(seed=seed, workers=1) as bus:
            handled: list[int] = []
            bus.subscribe("a", lambda event, handled=handled: handled.append(event.data))
            for number in range(6):
                bus.publish(Event("a", number), priority=1 + number % 3)
            bus.run_until_idle()
            assert handled == [2, 5, 1, 4, 0, 3]


def test_no_more_handlers_have_begun_than_a_limit_allows() -> None:
    for seed in range(20):
        with TestBus(seed=seed, workers=4) as bus:
            running: list[int] = []
            stats = bus.stats
            bus.subscribe(
                "a",
                lambda _, running=running, stats=stats: running.append(stats().running),
                max_concurrency=2,
            )
            bus.publish_many(Event("a") for _ in range(10))
            bus.run_until_idle()
            assert max(running) <= 2


def test_a_reserved_worker_takes_only_the_highest_level() -> None:
    for seed in range(20):
        with TestBus(seed=seed, workers=2, reserved_workers=1) as bus:
            running: list[int] = []
            stats = bus.stats
            bus.subscribe("a", lambda _, r=running, stats=stats: r.append(stats().running))
            bus.publish_many((Event("a") for _ in range(6)), priority=1)
            bus.run_until_idle()
            assert running == [1] * 6


def test_handlers_do_not_run_inside_each_other() -> None:
    inside: list[str] = []
    depths = []

    def first(event: Event) -> None:
        inside.append("first")
        bus.publish(Event("second"))
        with pytest.raises(BusError, match="run_until_idle"):
            bus.run_until_idle()
        with pytest.raises(BusError, match="flush"):
            bus.flush()
        inside.pop()

    with TestBus(seed=3, on_error=lambda *args: pytest.fail(str(args))) as bus:
        bus.subscribe("first", first)
        bus.subscribe("second", lambda event: depths.append(len(inside)))
        bus.publish(Event("first"))
        assert bus.run_until_idle() == 2
    assert depths == [0]


def test_each_worker_has_an_empty_context_of_its_own() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="none")
    seen = []
    variable.set("test")
    with TestBus(seed=0, workers=1) as bus:
        bus.subscribe("a", lambda event: seen.append(variable.get()))
        bus.publish(Event("a"))
        bus.run_until_idle()
    with TestBus(seed=0, workers=1, propagate_context=True) as bus:
        bus.subscribe("a", lambda event: seen.append(variable.get()))
        bus.publish(Event("a"))
        bus.run_until_idle()
    assert seen == ["none", "test"]


def test_a_failure_is_reported_and_the_others_run() -> None:
    failed = []
    with TestBus(
        seed=1, on_error=lambda event, _, error: failed.append((event.data, error))
    ) as bus:
        bus.subscribe("number", lambda event: 1 / event.data)
        outcomes: list[Any] = []
        for number in (0, 1):
            bus.publish(Event("number", number), on_done=outcomes.append)
        assert bus.run_until_idle() == 2
        stats = bus.stats()
    assert (stats.processed, stats.failed) == (2, 1)
    assert [data for data, _ in failed] == [0]
    assert isinstance(failed[0][1], ZeroDivisionError)
    assert sorted(outcome.handled for outcome in outcomes) == [0, 1]


@pytest.mark.parametrize("options", [{}, {"retries": 2}, {"batch": 2}])
def test_a_ctrl_c_in_a_handler_is_reported_and_raised(options: Any) -> None:
    failed = []

    def handler(_: Any) -> None:
        raise KeyboardInterrupt

    with TestBus(seed=1, on_error=lambda *args: failed.append(args[2])) as bus:
        bus.subscribe("a", handler, **options)
        bus.publish(Event("a"))
        with pytest.raises(KeyboardInterrupt):
            bus.run_until_idle()
        stats = bus.stats()
        assert_balance(stats)
        assert (stats.processed, stats.failed, stats.running) == (1, 1, 0)
        assert bus.run_until_idle() == 0
    assert [type(error) for error in failed] == [KeyboardInterrupt]


def test_a_ctrl_c_in_a_handler_ends_a_stop_which_drops_the_rest() -> None:
    dropped: list[Any] = []

    def handler(event: Event) -> None:
        raise KeyboardInterrupt

    bus = TestBus(seed=1, workers=1, on_drop=lambda *args: dropped.append(args[2]))
    bus.subscribe("a", handler)
    bus.publish_many([Event("a"), Event("a")])
    with pytest.raises(KeyboardInterrupt):
        bus.stop()
    assert dropped == [DropReason.SHUTDOWN]
    assert_balance(bus.stats())
    with pytest.raises(BusClosed):
        bus.publish(Event("a"))


def test_another_thread_may_not_run_it() -> None:
    errors: list[BaseException] = []
    with TestBus(seed=0) as bus:
        bus.subscribe("a", lambda event: None)
        bus.publish(Event("a"))

        def run() -> None:
            try:
                bus.run_until_idle()
            except BusError as error:
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join(HANG)
    assert "the thread that made it" in str(errors[0])


def test_handlers_that_publish_to_each_other_without_end_are_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("brummerbus._core.stepped.MAX_STEPS", 100)
    with TestBus(seed=0) as bus:
        subscription = bus.subscribe("a", lambda event: bus.publish(Event("a")))
        bus.publish(Event("a"))
        with pytest.raises(BusError, match="always more to do"):
            bus.run_until_idle()
        subscription.cancel()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_has_the_time_and_the_subscriptions_and_an_empty_queue() -> None:
    handled: list[int] = []
    with TestBus(seed=0) as bus:
        bus.subscribe("a", lambda event: handled.append(event.data))
        bus.advance(5)
        bus.publish(Event("a", 1))
        pid = os.fork()
        if pid == 0:
            bus.publish(Event("a", 2))
            right = bus.run_until_idle() == 1 and handled == [2] and bus.now == 5
            os._exit(0 if right else 1)
        assert os.waitpid(pid, 0)[1] == 0
        bus.run_until_idle()
    assert handled == [1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("options", [{}, {"retries": 1}])
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_handler_that_forks_has_one_end_in_the_parent(options: Any) -> None:
    pids = []
    with TestBus(seed=0) as bus:
        bus.subscribe("a", lambda event: pids.append(os.fork()), **options)
        bus.publish(Event("a"))
        bus.publish(Event("a"))
        calls = bus.run_until_idle()
        if 0 in pids:  # the child: what is queued is the parent's
            os._exit(0 if calls <= 2 and bus.stats().processed == 0 and bus.depth == 0 else 1)
        assert calls == 2
        assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0]
        assert bus.stats().processed == 2


def test_a_bus_that_is_collected_drops_what_it_holds() -> None:
    dropped: list[Any] = []

    class Payload:
        """Something that can be referred to weakly."""

    bus = TestBus(seed=0, workers=2, on_drop=lambda *args: dropped.append(args[2]))
    bus.subscribe("a", lambda event: None)
    payload = Payload()
    bus.publish(Event("a", payload))
    bus.publish(Event("a", payload))
    bus._steps().step(runs=False)  # one of them is taken
    alive = weakref.ref(payload)
    del bus, payload
    gc.collect()
    assert dropped == [DropReason.SHUTDOWN]
    assert alive() is None


def test_a_bus_is_collected_with_a_taken_event_that_refers_to_it() -> None:
    bus = TestBus(seed=0, workers=1)
    bus.subscribe("a", lambda event: None)
    bus.publish(Event("a", bus))
    bus._steps().step(runs=False)
    alive = weakref.ref(bus)
    del bus
    gc.collect()
    assert alive() is None


def test_hooks_of_workers_are_called_for_each() -> None:
    called: list[str] = []
    with TestBus(
        seed=0,
        workers=3,
        on_worker_start=lambda: called.append("start"),
        on_worker_stop=lambda: called.append("stop"),
    ) as bus:
        bus.run_until_idle()
        assert called == ["start"] * 3
        bus.resize(1)
        bus.run_until_idle()
        assert called == ["start"] * 3 + ["stop"] * 2
        bus.resize(2)
        bus.run_until_idle()
    assert called == ["start"] * 3 + ["stop"] * 2 + ["start"] + ["stop"] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed must be"),
        ({"seed": 2**64}, "seed must be"),
        ({"workers": (1, 4)}, r"workers must be a number, got \(1, 4\)"),
        ({"slow_handler_after": 1.0}, "slow_handler_after must be None, got 1.0"),
    ],
)
def test_what_needs_threads_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TestBus(**arguments)
    with TestBus(seed=0) as bus, pytest.raises(BusError, match="advise"):
        bus.advise()


def test_sizes_do_not_depend_on_the_machine() -> None:
    with TestBus() as bus:
        assert (bus.workers, bus.config.queue_size) == (4, 1000)


def test_it_takes_all_that_a_bus_takes() -> None:
    def parameters(cls: type) -> list[str]:
        return [name for name in inspect.signature(cls).parameters if name != "seed"]

    assert parameters(TestBus) == parameters(EventBus)


def test_a_bus_that_was_stopped_is_no_garbage() -> None:
    gc.collect()
    gc.disable()
    try:
        bus = TestBus(seed=0)
        bus.run_until_idle()
        bus.stop()
        queue = weakref.ref(queue_of(bus))
        del bus
        assert queue() is None
    finally:
        gc.enable()
