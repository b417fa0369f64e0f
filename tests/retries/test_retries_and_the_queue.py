"""Deliveries that wait for a retry have a slot; stops and exit wait for them."""

from typing import Any

import pytest

from brummerbus import DropReason, Event
from helpers.buses import BusFactory
from helpers.checks import assert_at_rest, assert_balance
from helpers.handlers import Drops, Logged, Outcomes
from helpers.processes import run_python
from helpers.retrying import Flaky, bus_of, wait_for_timer
from helpers.threads import run_together
from helpers.waiting import HANG, poll


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


@pytest.mark.slow
def test_exit_waits_for_retries_within_the_shutdown_timeout() -> None:
    """That comes first; a retry that comes later is dropped, and reported."""
    end = run_python(
        """
        def handler(event):
            say("try", event.data)
            raise Retry(after=event.data)
        bus = EventBus(
            workers=1, shutdown_timeout=2, on_error=lambda *_: say("failed"),
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
