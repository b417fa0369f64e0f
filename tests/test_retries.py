"""`subscribe(..., retries=..., backoff=...)` and `Retry`: a delivery that failed comes back."""

import os
import threading
from itertools import pairwise
from time import monotonic
from typing import Any

import pytest

from brummerbus import DropReason, Event, Retry
from brummerbus._core import scheduler
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest, assert_balance
from helpers.handlers import Drops, Logged, Outcomes, Recorder
from helpers.internals import retry_delay
from helpers.processes import in_child, run_python
from helpers.threads import run_together
from helpers.waiting import HANG, poll

LONG = 1000.0
"""Seconds; no test takes so long."""

TOLERANCE = 1e-3
"""Seconds by which clocks may disagree."""


class Failure(Exception):
    """What handlers raise on purpose."""


class Flaky:
    """A handler that raises the first times that it is called with an event, and notes when."""

    def __init__(self, fails: int, error: BaseException | None = None) -> None:
        self.calls: list[tuple[Any, float]] = []
        self.ended: list[Any] = []
        self._fails = fails
        self._error = error or Failure()
        self._failed: dict[int, int] = {}
        self._called = threading.Semaphore(0)

    def __call__(self, event: Any) -> None:
        """Raise, or note that the event was handled."""
        self.calls.append((event.data, monotonic()))
        self._called.release()
        failed = self._failed.get(event.id, 0)
        if failed < self._fails:
            self._failed[event.id] = failed + 1
            raise self._error
        self.ended.append(event.data)

    def wait_called(self, times: int = 1) -> None:
        """Return when that many further calls were made."""
        for _ in range(times):
            assert self._called.acquire(timeout=HANG), "the handler was not called"

    @property
    def pauses(self) -> list[float]:
        """Seconds between the calls."""
        times = [time for _, time in self.calls]
        return [later - earlier for earlier, later in pairwise(times)]


@pytest.fixture
def errors() -> list[tuple[Any, Any, BaseException]]:
    """Return what `on_error` is called with."""
    return []


def bus_of(factory: BusFactory, errors: list[Any], **settings: Any) -> Any:
    """Make a bus that notes its failures."""
    return factory.bus(on_error=lambda *failure: errors.append(failure), **settings)


@pytest.mark.parametrize("fails", [0, 1, 3])
def test_a_delivery_that_fails_is_tried_again(
    factory: BusFactory, errors: list[Any], fails: int
) -> None:
    """Until it succeeds; then it has not failed at all, but for the number of retries."""
    bus, handler, done = bus_of(factory, errors), Flaky(fails), Outcomes()
    subscription = bus.subscribe("a", handler, retries=3, backoff=0.001)
    assert bus.publish(Event("a", 1), on_done=done)
    assert_at_rest(bus)
    stats = bus.stats()
    assert handler.ended == [1]
    assert (stats.published, stats.processed, stats.failed) == (1, 1, 0)
    assert stats.retried == fails
    assert stats.by_type["a"].retried == stats.by_level[2].retried == fails
    assert stats.by_subscription[subscription.label].retried == fails
    assert stats.as_dict()["retried"] == fails
    assert errors == []
    assert [(o.handled, o.failed, o.dropped) for o in done] == [(1, (), ())]


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_the_last_failure_is_reported(factory: BusFactory, errors: list[Any], retries: int) -> None:
    """Once, to `on_error` and to `on_done`; it is counted as one failure."""
    bus, handler, done = bus_of(factory, errors), Flaky(99), Outcomes()
    subscription = bus.subscribe("a", handler, retries=retries, backoff=0.001)
    event = Event("a")
    bus.publish(event, on_done=done)
    assert_at_rest(bus)
    assert len(handler.calls) == 1 + retries
    ((notified, who, error),) = errors
    assert (notified, who, type(error)) == (event, subscription, Failure)
    assert done[0].failed == ((subscription, error),)
    stats = bus.stats()
    assert (stats.processed, stats.failed, stats.retried) == (1, 1, retries)


def test_the_default_log_has_the_last_failure_only(factory: BusFactory, logged: Logged) -> None:
    """Without a hook."""
    bus = factory.bus()
    bus.subscribe("a", Flaky(2), retries=2, backoff=0.001)
    bus.subscribe("b", Flaky(9), retries=2, backoff=0.001)
    bus.publish(Event("a"))
    bus.publish(Event("b"))
    assert_at_rest(bus)
    assert logged.text.count("failed on") == 1


def test_it_comes_back_later_and_later(factory: BusFactory, errors: list[Any]) -> None:
    """After `backoff * 2**k` seconds, and never earlier; a quarter longer, at most, by itself."""
    bus, handler = bus_of(factory, errors), Flaky(3)
    bus.subscribe("a", handler, retries=3, backoff=0.05)
    bus.publish(Event("a"))
    assert_at_rest(bus)
    for k, pause in enumerate(handler.pauses):
        assert pause >= 0.05 * 2**k - TOLERANCE


def test_what_failed_together_does_not_come_back_together(
    factory: BusFactory, errors: list[Any]
) -> None:
    """The delays have a random part of up to a quarter."""
    bus = bus_of(factory, errors)
    subscription = bus.subscribe("a", print, retries=9, backoff=1.0)
    delays = [retry_delay(subscription, 1, Failure()) for _ in range(200)]
    assert 2e9 <= min(delays) < max(delays) <= 2.5e9
    assert len(set(delays)) > 100


def test_a_delay_is_never_beyond_what_can_be_counted(factory: BusFactory) -> None:
    """2**999 seconds are for ever, and no overflow."""
    bus = factory.bus()
    subscription = bus.subscribe("a", print, retries=1000, backoff=1e6)
    assert 0 < retry_delay(subscription, 999, Failure()) <= 2**60


DAY = 86_400 * 10**9
"""In nanoseconds."""


@pytest.mark.parametrize("attempt", [17, 63, 64, 999])
@pytest.mark.parametrize("backoff", [1.0, 0.1 * 86_400, 86_400.0])
def test_the_pause_doubles_up_to_a_day(factory: BusFactory, backoff: float, attempt: int) -> None:
    """And the random part comes on top."""
    subscription = factory.bus().subscribe("a", print, retries=1000, backoff=backoff)
    delays = [retry_delay(subscription, attempt, Failure()) for _ in range(50)]
    assert DAY <= min(delays) <= max(delays) <= 1.25 * DAY


@pytest.mark.parametrize("backoff", [100_000.0, 1e17])
def test_a_backoff_of_more_than_a_day_is_kept_and_does_not_grow(
    factory: BusFactory, backoff: float
) -> None:
    """As far as it can be counted."""
    subscription = factory.bus().subscribe("a", print, retries=1000, backoff=backoff)
    for attempt in (0, 5, 999):
        least = min(backoff * 1e9, 2**60)
        assert least <= retry_delay(subscription, attempt, Failure()) <= 1.25 * least


@pytest.mark.parametrize("backoff", [0, 0.0, 1e-12])
def test_no_backoff_is_at_once(factory: BusFactory, errors: list[Any], backoff: float) -> None:
    """As soon as the timer comes to it."""
    bus, handler = bus_of(factory, errors), Flaky(10)
    bus.subscribe("a", handler, retries=10, backoff=backoff)
    bus.publish(Event("a", 1))
    assert_at_rest(bus)
    assert handler.ended == [1]


def test_other_deliveries_go_on_meanwhile(factory: BusFactory, errors: list[Any]) -> None:
    """One worker, that does not sleep for it; without a key those of the same handler, too."""
    bus, recorder = bus_of(factory, errors), Recorder()

    def handler(event: Event) -> None:
        if event.data == "late":
            raise Failure
        recorder(event)

    bus.subscribe("a", handler, retries=1, backoff=LONG)
    bus.publish_many([Event("a", data) for data in ("late", 1, 2)])
    recorder.wait_for(2)
    poll(lambda: bus.stats().running == 0)
    stats = bus.stats()
    assert_balance(stats)
    assert (stats.queued, stats.retried) == (1, 1)
    assert bus.depth == 1
    assert not bus.flush(0.01)
    assert not bus.barrier(0.01)


def test_it_keeps_its_level(factory: BusFactory, errors: list[Any]) -> None:
    """Back again, it is taken before less urgent ones and before younger ones of its level."""
    bus = bus_of(factory, errors)
    recorder, gate = Recorder(), factory.gate()
    failed = threading.Event()

    def handler(event: Event) -> None:
        if event.data == "again" and not failed.is_set():
            failed.set()
            raise Failure
        recorder(event)

    bus.subscribe("a", handler, retries=1, backoff=0.001)
    bus.subscribe("gate", gate)
    bus.publish(Event("a", "again"), priority=2)
    assert failed.wait(HANG)
    bus.publish(Event("gate"), priority=3)
    gate.wait_entered()
    if recorder.data == ["again"]:  # it was faster
        return
    for data, priority in (("low", 1), ("young", 2), ("high", 3)):
        bus.publish(Event("a", data), priority=priority)
    wait_for_timer()
    gate.open()
    assert_at_rest(bus)
    assert recorder.data == ["high", "again", "young", "low"]


def wait_for_timer() -> None:
    """Return when the timer thread has come to what was due in the next moments."""
    done = threading.Event()
    scheduler.call_at(scheduler.clock() + 400_000_000, done.set)
    assert done.wait(HANG)


# ---- Retry ---------------------------------------------------------------------------------------


def test_a_handler_can_say_when(factory: BusFactory, errors: list[Any]) -> None:
    """By `Retry(after=...)`, whatever the backoff is."""
    bus, handler = bus_of(factory, errors), Flaky(2, Retry(after=0.03))
    bus.subscribe("a", handler, retries=2, backoff=LONG)
    bus.publish(Event("a", 1))
    assert_at_rest(bus)
    assert handler.ended == [1]
    assert all(pause >= 0.03 - TOLERANCE for pause in handler.pauses)


def test_a_retry_without_a_time_is_by_the_backoff(factory: BusFactory, errors: list[Any]) -> None:
    """As any other exception."""
    bus, handler = bus_of(factory, errors), Flaky(1, Retry())
    bus.subscribe("a", handler, retries=1, backoff=0.03)
    bus.publish(Event("a", 1))
    assert_at_rest(bus)
    assert handler.ended == [1]
    assert handler.pauses[0] >= 0.03 - TOLERANCE


@pytest.mark.parametrize("retries", [0, 2])
def test_a_retry_too_many_is_a_failure(
    factory: BusFactory, errors: list[Any], retries: int
) -> None:
    """Also where the subscription has no retries at all."""
    bus, handler = bus_of(factory, errors), Flaky(99, Retry(after=0))
    bus.subscribe("a", handler, retries=retries)
    bus.publish(Event("a", 1))
    assert_at_rest(bus)
    assert len(handler.calls) == 1 + retries
    assert [type(error) for _, _, error in errors] == [Retry]


@pytest.mark.parametrize(
    ("bad", "error"),
    [(-1, ValueError), (float("inf"), ValueError), (float("nan"), ValueError), ("1", TypeError)],
)
def test_a_retry_after_no_time_is_refused(bad: Any, error: type[Exception]) -> None:
    """Where it is made."""
    with pytest.raises(error, match="after"):
        Retry(after=bad)


@pytest.mark.parametrize("raised", [SystemExit, KeyboardInterrupt])
def test_what_is_no_exception_is_not_tried_again(
    factory: BusFactory, errors: list[Any], raised: type[BaseException]
) -> None:
    """It has failed, as without retries."""
    bus, handler = bus_of(factory, errors), Flaky(99, raised())
    bus.subscribe("a", handler, retries=3)
    bus.publish(Event("a"))
    assert_at_rest(bus)
    assert len(handler.calls) == len(errors) == 1


def test_an_awaitable_result_is_a_failure_that_is_tried_again(
    factory: BusFactory, errors: list[Any]
) -> None:
    """As any other."""
    bus = bus_of(factory, errors)
    results = iter([(n for n in ()), None])
    bus.subscribe("a", lambda event: next(results), retries=1, backoff=0)
    bus.publish(Event("a"))
    assert_at_rest(bus)
    assert (bus.stats().retried, bus.stats().failed) == (1, 0)


# ---- the queue -----------------------------------------------------------------------------------


def test_what_waits_for_its_retry_has_its_place(factory: BusFactory, errors: list[Any]) -> None:
    """It can be evicted, or keep others out; once evicted it does not come back."""
    drops, done = Drops(), Outcomes()
    bus = bus_of(factory, errors, queue_size=2, on_drop=drops)
    handler = Flaky(99)
    bus.subscribe("a", handler, retries=5, backoff=0.2)
    bus.publish(Event("a", "old"), on_done=done)
    handler.wait_called()
    poll(lambda: bus.stats().retried == 1)
    gate = factory.hold(bus)
    bus.subscribe("b", lambda event: None)
    for n in range(2):
        assert bus.publish(Event("b", n))
    assert [(event.data, reason) for event, _, reason in drops] == [("old", DropReason.EVICTED)]
    assert [(o.dropped[0][1], o.failed) for o in done] == [(DropReason.EVICTED, ())]
    gate.open()
    wait_for_timer()
    assert_at_rest(bus)
    assert len(handler.calls) == 1


def test_a_stop_waits_for_retries(factory: BusFactory, errors: list[Any]) -> None:
    """Draining has to finish what is queued."""
    bus, handler = bus_of(factory, errors), Flaky(2)
    bus.subscribe("a", handler, retries=2, backoff=0.02)
    bus.publish(Event("a", 1))
    assert bus.stop()
    assert handler.ended == [1]


@pytest.mark.parametrize("options", [{"drain": True, "timeout": 0.05}, {"drain": False}])
def test_a_stop_that_does_not_wait_drops_them(
    factory: BusFactory, errors: list[Any], options: dict[str, Any]
) -> None:
    """Counted and reported; the late timer then finds nothing."""
    drops, done = Drops(), Outcomes()
    bus = bus_of(factory, errors, on_drop=drops)
    handler = Flaky(99)
    bus.subscribe("a", handler, retries=2, backoff=0.3)
    bus.publish(Event("a", 1), on_done=done)
    handler.wait_called()
    poll(lambda: bus.stats().retried == 1)
    assert not bus.stop(**options)
    assert [(event.data, reason) for event, _, reason in drops] == [(1, DropReason.SHUTDOWN)]
    assert done[0].dropped[0][1] is DropReason.SHUTDOWN
    wait_for_timer()
    assert len(handler.calls) == 1
    assert_balance(bus.stats())


def test_a_drain_that_waits_for_retries_says_so(
    factory: BusFactory, errors: list[Any], logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No handler runs that it could name."""
    monkeypatch.setattr("brummerbus._core.engine.STILL_AFTER", 0.05)
    bus, handler = bus_of(factory, errors), Flaky(1)
    bus.subscribe("a", handler, retries=1, backoff=0.4)
    bus.publish(Event("a", 1))
    handler.wait_called()
    poll(lambda: bus.stats().retried == 1)
    assert bus.stop()  # in the main thread, which looks every 50 ms
    assert (
        "bus: waits for retries, none of which has come for 0.05 s: 1 delivery queued"
        in logged.text
    )


def test_a_bus_that_is_gone_finishes_its_retries(errors: list[Any]) -> None:
    """As it finishes what is queued."""
    end = run_python(
        """
        import gc
        tries = []
        def handler(event):
            tries.append(event)
            if len(tries) < 3:
                raise ValueError
            say("handled", len(tries))
        bus = bus_of()
        bus.subscribe("a", handler, retries=5, backoff=0.05)
        bus.publish(Event("a"))
        del bus
        gc.collect()
        """
    )
    assert (end.code, end.lines, end.err) == (0, ["handled 3"], "")


def test_exit_waits_for_retries_within_the_shutdown_timeout() -> None:
    """That comes first; a retry that comes later is dropped, and reported."""
    end = run_python(
        """
        def handler(event):
            say("try", event.data)
            raise Retry(after=event.data)
        bus = EventBus(
            workers=1, shutdown_timeout=0.5, on_error=lambda *_: say("failed"),
            on_drop=lambda event, subscription, reason: say(event.data, reason.value),
        )
        bus.subscribe("a", handler, retries=1)
        bus.publish(Event("a", 0.2))
        bus.publish(Event("a", 60))
        """
    )
    assert end.code == 0
    assert end.lines == ["try 0.2", "try 60", "try 0.2", "failed", "60 shutdown"]
    assert end.seconds < HANG


def test_retries_under_load_lose_nothing(
    factory: BusFactory, errors: list[Any], frequent_switches: None
) -> None:
    """Each event is handled, has failed, or was dropped, once; the counts balance."""
    drops, done, handler = Drops(), Outcomes(), Flaky(2)
    bus = bus_of(factory, errors, workers=3, queue_size=20, on_drop=drops)
    bus.subscribe("a", handler, retries=2, backoff=0.0002)
    bus.subscribe("a", Flaky(9), retries=1, backoff=0.0002, key="source")

    def publish(number: int) -> None:
        for n in range(150):
            bus.publish(Event("a", (number, n)), on_done=done, priority=1 + n % 3)
            if n % 30 == 0:
                assert_balance(bus.stats())

    run_together(3, publish)
    assert_at_rest(bus)
    stats = bus.stats()
    assert sorted(outcome.event.data for outcome in done) == sorted(
        (number, n) for number in range(3) for n in range(150)
    )
    assert all(o.handled + len(o.failed) + len(o.dropped) == 2 for o in done)
    assert len(handler.ended) == stats.processed - stats.failed
    assert len(errors) == stats.failed
    assert len(drops) == stats.dropped


# ---- other processes -----------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_the_child_of_a_fork_has_retries_of_its_own(factory: BusFactory, errors: list[Any]) -> None:
    """Those of the parent are the parent's, also of a key that waits there."""
    bus, handler = bus_of(factory, errors, queue_size=100), Flaky(1, Retry(after=0.3))
    bus.subscribe("a", handler, retries=1, key=lambda event: 0)
    bus.publish(Event("a", "parent"))
    bus.publish(Event("a", "parent too"))
    handler.wait_called()
    poll(lambda: bus.stats().retried == 1)

    def child() -> None:
        handler.ended.clear()
        handler._error = Failure()
        assert bus.depth == 0
        bus.publish(Event("a", "child"))
        assert bus.flush(HANG)
        assert handler.ended == ["child"]
        assert bus.stats().retried == 1
        assert bus.stop(timeout=HANG)

    assert in_child(child) == 0
    assert_at_rest(bus)
    assert handler.ended == ["parent", "parent too"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"retries": -1}, ValueError),
        ({"retries": 1001}, ValueError),
        ({"retries": 1.0}, TypeError),
        ({"retries": True}, TypeError),
        ({"backoff": -0.1}, ValueError),
        ({"backoff": float("inf")}, ValueError),
        ({"backoff": "1"}, TypeError),
    ],
)
def test_what_is_no_retry_is_refused(
    factory: BusFactory, options: dict[str, Any], error: type[Exception]
) -> None:
    """The message names the option."""
    bus = factory.bus()
    with pytest.raises(error, match=next(iter(options))):
        bus.subscribe("a", print, **options)
