"""The clock of a bus without threads, which only the test moves, and what would wait."""

from typing import Any

import pytest

from brummerbus import BusClosed, BusError, DropReason, Event, QueueFull
from brummerbus.testing import TestBus
from helpers.handlers import Drops, Recorder


def test_time_stands_still_until_it_is_moved() -> None:
    with TestBus(seed=0) as bus:
        bus.subscribe("a", lambda event: None)
        bus.publish(Event("a"))
        bus.run_until_idle()
        assert bus.now == 0
        bus.advance(1.5)
        assert bus.now == 1.5
        assert bus.stats().queue_wait.max == 0


def test_a_retry_comes_at_its_time() -> None:
    times: list[float] = []

    def handler(event: Event) -> None:
        times.append(bus.now)
        if len(times) < 3:
            raise ValueError

    with TestBus(seed=0) as bus:
        bus.subscribe("a", handler, retries=5, backoff=10)
        bus.publish(Event("a"))
        assert bus.run_until_idle() == 1
        assert bus.advance(9) == 0
        assert bus.advance(100) == 2
    assert times[0] == 0
    assert 10 <= times[1] <= 12.5
    assert 20 <= times[2] - times[1] <= 25


def test_the_pauses_before_retries_are_drawn_by_the_seed() -> None:
    def pauses(seed: int) -> list[float]:
        times: list[float] = []
        with TestBus(seed=seed, on_error=lambda *_: None) as bus:

            @bus.on("a", retries=3)
            def fail(event: Event) -> None:
                times.append(bus.now)
                raise ValueError

            bus.publish(Event("a"))
        return times

    assert pauses(1) == pauses(1) != pauses(2)


def test_scheduled_events_are_published_in_the_order_of_their_times() -> None:
    handled = []
    with TestBus(seed=0) as bus:
        bus.subscribe("a", lambda event: handled.append((event.data, bus.now)))
        for delay in (3, 1, 2):
            scheduled = bus.publish_after(delay, Event("a", delay))
            assert scheduled.due == delay
        cancelled = bus.publish_after(2.5, Event("a", "cancelled"))
        assert bus.run_until_idle() == 0
        assert cancelled.cancel()
        assert bus.advance(2) == 2
        assert bus.stats().scheduled == 1
        assert bus.advance(60) == 1
    assert handled == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize("policy", ["block", "caller_runs"])
def test_a_scheduled_event_takes_its_turn_at_a_full_queue(policy: str) -> None:
    """Behind the publisher that waits already; with each seed."""
    for seed in range(30):
        with TestBus(seed=seed, workers=1, queue_size=1, policy=policy) as bus:
            seen = Recorder()
            bus.subscribe("a", seen)
            bus.publish(Event("a", "first"))
            for name in ("scheduled", "too"):
                bus.publish_after(0, Event("a", name))
            bus.publish(Event("a", "last"))
            bus.run_until_idle()
            bus.advance(1)
            assert seen.data == ["first", "last", "scheduled", "too"]
            assert (bus.stats().scheduled, bus.stats().waiting) == (0, 0)


def test_a_delivery_expires_behind_a_handler_that_takes_long() -> None:
    drops = Drops()
    handled: list[Any] = []
    with TestBus(seed=0, workers=1, on_drop=drops) as bus:
        bus.subscribe("slow", lambda event: bus.advance(3))
        bus.subscribe("a", lambda event: handled.append(event.data))
        bus.publish(Event("slow"))
        bus.publish(Event("a", "short"), expires=2)
        bus.publish(Event("a", "long"), expires=4)
        assert bus.run_until_idle() == 2
        assert bus.stats().processing_time.max == 3
    assert handled == ["long"]
    assert [(event.data, reason) for event, _, reason in drops] == [("short", DropReason.EXPIRED)]


def test_a_batch_waits_to_be_full_or_for_its_time() -> None:
    batches = []
    with TestBus(seed=0) as bus:
        bus.subscribe(
            "a", lambda events: batches.append((bus.now, len(events))), batch=3, batch_wait=5
        )
        bus.publish(Event("a"))
        bus.run_until_idle()
        assert bus.stats().running == 1
        bus.advance(1)
        bus.publish(Event("a"))
        assert bus.run_until_idle() == 0
        assert bus.stats().running == 2
        bus.publish(Event("a"))
        assert bus.run_until_idle() == 1
        bus.publish(Event("a"))
        bus.advance(60)
    assert batches == [(1, 3), (6, 1)]


@pytest.mark.parametrize("batch", [40, 3])
def test_a_batch_without_a_wait_has_what_is_there(batch: int) -> None:
    sizes: list[int] = []
    with TestBus(seed=0, workers=1) as bus:
        bus.subscribe("a", lambda events: sizes.append(len(events)), batch=batch)
        bus.publish_many(Event("a") for _ in range(50))
        bus.run_until_idle()
    assert sum(sizes) == 50
    assert max(sizes) == batch


def test_flush_lets_time_pass_for_retries_and_gives_up_in_time() -> None:
    with TestBus(seed=0, on_error=lambda *_: None) as bus:
        bus.subscribe("a", lambda event: 1 / 0, retries=2, backoff=10)
        bus.publish(Event("a"))
        assert not bus.flush(timeout=0)
        assert bus.stats().processed == 0
        assert not bus.flush(timeout=5)
        assert bus.now == 5
        assert bus.flush()
        assert bus.now > 30
        assert bus.stats().failed == 1


def test_barrier_waits_for_what_was_accepted_before() -> None:
    with TestBus(seed=0) as bus:
        bus.subscribe("a", lambda event: 1 / 0 if bus.now < 8 else None, retries=1, backoff=10)
        bus.publish(Event("a"))
        assert not bus.barrier(timeout=5)
        bus.publish_after(60, Event("a"))
        assert bus.barrier()
        assert 10 <= bus.now < 13
        bus.stop()


def test_stop_drops_what_is_left_when_its_time_is_over() -> None:
    drops = Drops()
    bus = TestBus(seed=0, on_drop=drops)
    bus.subscribe("a", lambda event: 1 / 0, retries=1, backoff=10)
    bus.publish(Event("a"))
    bus.publish_after(60, Event("a"))
    assert not bus.stop(timeout=5)
    assert [reason for *_, reason in drops] == [DropReason.SHUTDOWN] * 2
    with pytest.raises(BusClosed):
        bus.subscribe("a", print)


def test_wait_for_runs_handlers_until_the_event_comes() -> None:
    with TestBus(seed=0) as bus:
        bus.subscribe("request", lambda event: bus.publish(Event("answer", event.data + 1)))
        bus.publish_after(3, Event("request", 41))
        answer = bus.wait_for("answer", timeout=5)
        assert (answer.data, bus.now) == (42, 3)
        with pytest.raises(TimeoutError, match="no 'answer' within 5 s"):
            bus.wait_for("answer", timeout=5)
        assert bus.now == 8
        with pytest.raises(BusError, match="nothing is left to do"):
            bus.wait_for("answer")


def test_a_listener_runs_what_publishes_to_it() -> None:
    with TestBus(seed=0) as bus, bus.listen("b") as listener:
        bus.subscribe("a", lambda event: bus.publish(Event("b", event.data)))
        bus.publish(Event("a", 1))
        bus.publish_after(2, Event("a", 2))
        assert next(listener).data == 1
        assert next(listener).data == 2
        assert bus.now == 2
        with pytest.raises(BusError, match="nothing is left to do"):
            next(listener)
        bus.stop()
        assert list(listener) == []


def test_wait_for_in_a_handler_lets_time_pass_and_runs_no_other() -> None:
    seen: list[Any] = []

    def handler(event: Event) -> None:
        seen.append(bus.wait_for("tick", timeout=5).data)
        with pytest.raises(TimeoutError):
            bus.wait_for("answer", timeout=5)
        seen.append(bus.now)

    with TestBus(seed=0, on_error=lambda *args: seen.append(args[2])) as bus:
        bus.subscribe("a", handler)
        bus.subscribe("tick", lambda event: bus.publish(Event("answer")))
        bus.publish(Event("a"))
        bus.publish_after(1, Event("tick", "tick"))
        bus.run_until_idle()
    assert seen == ["tick", 6]


# ---- a full queue ------------------------------------------------------------------------------


def test_a_publisher_that_waits_runs_deliveries_until_there_is_room() -> None:
    handled: list[int] = []
    with TestBus(seed=5, policy="block", queue_size=2) as bus:
        bus.subscribe("a", lambda event: handled.append(event.data))
        for number in range(20):
            bus.publish(Event("a", number))
            assert bus.depth <= 2
        assert bus.now == 0
        assert handled
        bus.run_until_idle()
    assert sorted(handled) == list(range(20))


def test_a_publisher_without_room_waits_for_its_time_out() -> None:
    with TestBus(seed=0, policy="block", queue_size=1, workers=1, on_error=lambda *_: None) as bus:
        bus.subscribe("a", lambda event: 1 / 0, retries=1, backoff=100)
        bus.publish(Event("a"))
        bus.run_until_idle()
        with pytest.raises(QueueFull, match="after a wait of 7 s"):
            bus.publish(Event("a"), timeout=7)
        assert bus.now == 7
        assert bus.publish(Event("a"))
        assert 100 <= bus.now <= 125


def test_a_standstill_ends_the_wait_of_a_policy_that_drops() -> None:
    drops = Drops()
    options: Any = {"policy": "drop_oldest", "queue_size": 1, "publish_timeout": 2.0}
    with TestBus(seed=0, workers=1, on_drop=drops, on_error=lambda *_: None, **options) as bus:
        bus.subscribe("a", lambda event: 1 / 0, retries=1, backoff=100)
        bus.publish(Event("a", 1))
        bus.run_until_idle()
        assert bus.publish(Event("a", 2))
        assert 2 <= bus.now <= 2.1
        assert [(event.data, reason) for event, _, reason in drops] == [(1, DropReason.EVICTED)]
        assert bus.run_until_idle() == 1


@pytest.mark.parametrize(
    ("policy", "left"),
    [("drop_oldest", [1, 2]), ("drop_newest", [0, 1]), ("drop_lowest", [0, 1])],
)
def test_policies_that_do_not_wait_drop_at_once(policy: Any, left: list[int]) -> None:
    handled: list[int] = []
    with TestBus(seed=0, policy=policy, queue_size=2, publish_timeout=0) as bus:
        bus.subscribe("a", lambda event: handled.append(event.data))
        for number in range(3):
            bus.publish(Event("a", number))
        bus.run_until_idle()
    assert sorted(handled) == left


def test_a_caller_runs_its_own_event() -> None:
    handled: list[int] = []
    with TestBus(seed=0, policy="caller_runs", queue_size=1, publish_timeout=0) as bus:
        bus.subscribe("a", lambda event: handled.append(event.data))
        bus.publish_many(Event("a", number) for number in range(3))
        assert handled == [1, 2]
        bus.run_until_idle()
    assert handled == [1, 2, 0]


def test_a_handler_waits_for_its_time_out_and_runs_no_other() -> None:
    refused: list[float] = []
    active: list[str] = []

    def publish(event: Event) -> None:
        active.append("publish")
        try:
            while True:
                bus.publish(Event("b"))
        except QueueFull:
            refused.append(bus.now)
        active.pop()

    options: Any = {"policy": "block", "queue_size": 2, "handler_reserve": 1, "workers": 3}
    for seed in range(10):
        refused.clear()
        with TestBus(seed=seed, **options) as bus:
            bus.subscribe("a", publish)
            bus.subscribe("b", lambda event: active and pytest.fail("inside another"))
            bus.publish(Event("a"))
            bus.run_until_idle()
            stats = bus.stats()
            # Three slots, and two idle workers, which took one each.
            assert stats.processed == 1 + 5
        assert 0.1 <= refused[0] <= 0.2


def test_a_handler_in_the_only_worker_does_not_wait() -> None:
    refused: list[str] = []

    def publish(event: Event) -> None:
        with pytest.raises(QueueFull) as caught:
            while True:
                bus.publish(Event("b"))
        refused.append(str(caught.value))

    options: Any = {"policy": "block", "queue_size": 1, "handler_reserve": 0, "workers": 1}
    with TestBus(seed=0, **options) as bus:
        bus.subscribe("a", publish)
        bus.subscribe("b", lambda event: None)
        bus.publish(Event("a"))
        bus.run_until_idle()
        assert bus.now == 0
    assert len(refused) == 1
