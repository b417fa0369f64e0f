"""Handlers and hooks that fail in a publishing thread: what is propagated to the publisher."""

from typing import Any

import pytest

from brummerbus import BackpressurePolicy, DropReason, Event, EventBus
from helpers.buses import BusFactory
from helpers.checks import assert_balance
from helpers.handlers import Drops, Logged, Recorder
from helpers.waiting import HANG

REPORTED = [ValueError, StopIteration, MemoryError]


class Odd(BaseException):
    """A BaseException that is no `Exception`."""


GOING_ON = [SystemExit, KeyboardInterrupt, GeneratorExit, Odd]


class Errors(list[BaseException]):
    """An `on_error` hook that records the exceptions."""

    def __call__(self, _event: Any, _subscription: Any, error: BaseException) -> None:
        """Record the exception."""
        self.append(error)


def fail_with(failure: type[BaseException]) -> Any:
    """Return a handler that raises it."""

    def handler(_: Any) -> None:
        raise failure

    return handler


def brim(factory: BusFactory, *handlers: Any, **more: Any) -> EventBus:
    """Return a bus whose worker is blocked and whose queue is full, with handlers of `a`."""
    bus = factory.bus(queue_size=1, policy=BackpressurePolicy.CALLER_RUNS, **more)
    factory.hold(bus)
    bus.subscribe("filler", lambda _: None)
    assert bus.publish(Event("filler"))
    for handler in handlers:
        bus.subscribe("a", handler)
    return bus


@pytest.mark.parametrize("failure", REPORTED)
def test_exception_is_reported_and_does_not_reach_the_publisher(
    factory: BusFactory, failure: type[Exception]
) -> None:
    """Publish returns True, and the event's other handlers run."""
    errors, recorder = Errors(), Recorder()
    bus = brim(factory, fail_with(failure), recorder, on_error=errors)
    assert bus.publish(Event("a", 1)) is True
    assert recorder.data == [1]
    assert [type(error) for error in errors] == [failure]
    stats = bus.stats()
    assert (stats.processed, stats.failed, stats.running) == (2, 1, 1)
    assert_balance(stats)


@pytest.mark.parametrize("failure", GOING_ON)
def test_what_is_no_exception_goes_on_to_the_publisher_counted(
    factory: BusFactory, failure: type[BaseException]
) -> None:
    """A Ctrl-C is propagated to the publisher; remaining deliveries are dropped and reported."""
    errors, drops, before, after = Errors(), Drops(), Recorder(), Recorder()
    handlers = (before, fail_with(failure), after, after)
    bus = brim(factory, *handlers, on_error=errors, on_drop=drops)
    with pytest.raises(failure):
        bus.publish(Event("a", 1))
    assert (before.data, after.data) == ([1], [])
    assert errors == []
    assert [(event.data, reason) for event, _, reason in drops] == [(1, DropReason.REFUSED)] * 2
    stats = bus.stats()
    assert (stats.processed, stats.failed, stats.dropped) == (2, 1, 2)
    assert_balance(stats)
    assert bus.publish(Event("filler")) is True  # the bus is consistent


@pytest.mark.parametrize("failure", GOING_ON)
def test_what_is_no_exception_in_the_last_handler_loses_nothing(
    factory: BusFactory, failure: type[BaseException]
) -> None:
    """All deliveries were made."""
    bus = brim(factory, lambda _: None, fail_with(failure))
    with pytest.raises(failure):
        bus.publish(Event("a"))
    stats = bus.stats()
    assert (stats.processed, stats.failed, stats.dropped) == (2, 1, 0)
    assert_balance(stats)


@pytest.mark.parametrize("failure", [*REPORTED, *GOING_ON])
def test_on_error_that_fails_in_a_publishing_thread(
    factory: BusFactory, logged: Logged, failure: type[BaseException]
) -> None:
    """An `Exception` is logged, anything else is propagated to the publisher."""

    def on_error(*_: object) -> None:
        raise failure

    bus = brim(factory, fail_with(KeyError), on_error=on_error)
    if failure in GOING_ON:
        with pytest.raises(failure):
            bus.publish(Event("a"))
    else:
        assert bus.publish(Event("a")) is True
        assert failure.__name__ in logged.text
    stats = bus.stats()
    assert (stats.processed, stats.failed) == (1, 1)
    assert_balance(stats)


@pytest.mark.parametrize("failure", [*REPORTED, *GOING_ON])
def test_failure_inside_a_handler_that_publishes(
    factory: BusFactory, failure: type[BaseException]
) -> None:
    """The handler is a publisher: an `Exception` is not propagated to it, anything else is."""
    errors, recorder = Errors(), Recorder()
    bus = factory.bus(
        queue_size=1,
        handler_reserve=0,
        policy=BackpressurePolicy.CALLER_RUNS,
        on_error=errors,
    )
    bus.subscribe("leaf", fail_with(failure))
    bus.subscribe("filler", lambda _: None)

    def root(event: Event) -> None:
        assert bus.publish(Event("filler"))
        bus.publish(Event("leaf"))
        recorder(event)

    bus.subscribe("root", root)
    assert bus.publish(Event("root", 1))
    assert bus.flush(HANG)
    goes_on = failure in GOING_ON
    assert recorder.data == ([] if goes_on else [1])
    assert [type(error) for error in errors] == [failure]
    assert bus.stats().failed == (2 if goes_on else 1)
    assert bus.stats().by_type["leaf"].failed == 1
    assert_balance(bus.stats())
