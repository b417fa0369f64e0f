"""Deliveries that fail are tried again, later and later; a handler can say when."""

import os
import threading
from typing import Any

import pytest

from brummerbus import Event, Retry
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest, assert_balance
from helpers.handlers import Logged, Outcomes, Recorder
from helpers.internals import retry_delay
from helpers.processes import in_child
from helpers.retrying import Failure, Flaky, bus_of, wait_for_timer
from helpers.waiting import HANG, poll

LONG = 1000.0
"""Seconds; no test takes so long."""


TOLERANCE = 1e-3
"""Seconds by which clocks may disagree."""


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


def test_a_retry_of_ones_own_need_not_initialise_it(factory: BusFactory, errors: list[Any]) -> None:
    """It is a retry without a time."""

    class Throttled(Retry):
        def __init__(self, url: str) -> None:
            self.url = url

    bus, handler = bus_of(factory, errors), Flaky(1, Throttled("a.example"))
    bus.subscribe("a", handler, retries=1, backoff=0)
    bus.publish(Event("a", 1))
    assert_at_rest(bus)
    assert (handler.ended, errors) == ([1], [])


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
