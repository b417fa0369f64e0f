"""What a failing handler or hook touches: nothing but the counts and the report."""

import logging
import threading
import weakref
from contextlib import suppress
from typing import Any

import pytest
from conftest import HANG, Bench, Drops, Logged, Recorder, assert_balance

from brummerbus import BackpressurePolicy, DropReason, Event, EventBus, QueueFull, Subscription

FAILURES = [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration, MemoryError]


class Odd(BaseException):
    """Something that is not even an `Exception`."""


class Untouchable:
    """A payload that must not be compared, hashed, copied, ordered or tested for truth."""

    def _refuse(self, *_: object) -> Any:
        raise AssertionError("the bus touched a payload")

    __eq__ = __ne__ = __lt__ = __gt__ = __le__ = __ge__ = _refuse
    __hash__ = __copy__ = __deepcopy__ = __reduce_ex__ = __reduce__ = _refuse  # type: ignore[assignment]
    __bool__ = __len__ = __iter__ = __str__ = __format__ = _refuse


class UntouchableEvent(Event, Untouchable):
    """An event of the kind."""


class Errors(list[tuple[Any, Subscription, BaseException]]):
    """An `on_error` hook that keeps its arguments."""

    def __call__(self, event: Any, subscription: Subscription, error: BaseException) -> None:
        """Keep the arguments."""
        self.append((event, subscription, error))


def fail_with(failure: BaseException | type[BaseException]) -> Any:
    """Return a handler that raises it."""

    def handler(_: Any) -> None:
        raise failure

    return handler


# ---- handlers --------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [*FAILURES, Odd])
def test_failure_ends_no_worker_and_touches_no_other_delivery(
    bench: Bench, failure: type[BaseException]
) -> None:
    """The same thread goes on with the next delivery, of the same event or another."""
    errors, recorder = Errors(), Recorder()
    bus = bench.bus(on_error=errors)
    threads: list[threading.Thread] = []
    bus.subscribe("a", lambda _: threads.append(threading.current_thread()))
    bus.subscribe("a", fail_with(failure))
    bus.subscribe("a", recorder)
    for data in range(3):
        assert bus.publish(Event("a", data))
    assert bus.flush(HANG)
    assert recorder.data == [0, 1, 2]
    assert len(threads) == 3
    assert len(set(threads)) == 1
    assert [type(error) for _, _, error in errors] == [failure] * 3
    stats = bus.stats()
    assert (stats.processed, stats.failed, stats.dropped) == (9, 3, 0)
    assert_balance(stats)


def test_on_error_is_called_with_event_subscription_and_exception(bench: Bench) -> None:
    """All three are the objects themselves; the exception has its traceback."""
    errors, failure = Errors(), ValueError("why")
    bus = bench.bus(on_error=errors)
    event = Event("a")
    subscription = bus.subscribe("a", fail_with(failure))
    assert bus.publish(event)
    assert bus.flush(HANG)
    [(got_event, got_subscription, got_error)] = errors
    assert got_event is event
    assert got_subscription is subscription
    assert got_error is failure
    assert got_error.__traceback__ is not None


@pytest.mark.parametrize("policy", [BackpressurePolicy.CALLER_RUNS, BackpressurePolicy.BLOCK])
@pytest.mark.parametrize("failure", FAILURES)
def test_failure_of_a_handler_inside_another_is_reported_in_the_same_way(
    bench: Bench, failure: type[BaseException], policy: BackpressurePolicy
) -> None:
    """A handler that is run by a worker that publishes does not fail the one that publishes."""
    errors = Errors()
    bus, recorder = bench.bus(queue_size=1, policy=policy, on_error=errors), Recorder()
    bus.subscribe("leaf", fail_with(failure))

    def root(event: Event) -> None:
        for _ in range(5):
            assert bus.publish(Event("leaf"))
        recorder(event)

    bus.subscribe("root", root)
    assert bus.publish(Event("root", 1))
    assert bus.flush(HANG)
    assert recorder.data == [1]
    assert [event.type for event, _, _ in errors] == ["leaf"] * 5
    assert bus.stats().failed == 5


@pytest.mark.parametrize("failure", FAILURES)
def test_failure_in_the_publishing_thread_does_not_reach_the_publisher(
    bench: Bench, failure: type[BaseException]
) -> None:
    """With CALLER_RUNS the handler's own `raise` is reported, and publish returns True."""
    errors = Errors()
    bus = bench.bus(queue_size=1, policy=BackpressurePolicy.CALLER_RUNS, on_error=errors)
    bench.hold(bus)
    recorder = Recorder()
    for handler in (fail_with(failure), recorder):
        bus.subscribe("a", handler)
    assert bus.publish(Event("a", 1)) is True
    assert recorder.data == [1]
    assert [type(error) for _, _, error in errors] == [failure]
    stats = bus.stats()
    assert (stats.processed, stats.failed, stats.running) == (2, 1, 1)


def test_failure_is_logged_with_its_traceback_by_default(bench: Bench, logged: Logged) -> None:
    """On the logger `brummerbus`, as an error that names bus, subscription and event."""
    bus = bench.bus(name="night")

    def careless(_: Event) -> None:
        raise ValueError("the reason")

    bus.subscribe("a.*", careless)
    assert bus.publish(Event("a.b", "payload"))
    assert bus.flush(HANG)
    [record] = logged.records
    assert (record.name, record.levelname) == ("brummerbus", "ERROR")
    for part in ("night", "careless", "a.*", "payload", "Traceback", "ValueError: the reason"):
        assert part in logged.text


def test_failure_is_not_logged_if_there_is_a_hook(bench: Bench, logged: Logged) -> None:
    """The hook takes the place of the log."""
    bus = bench.bus(on_error=Errors())
    bus.subscribe("a", fail_with(ValueError))
    assert bus.publish(Event("a"))
    assert bus.flush(HANG)
    assert logged.records == []


def test_event_whose_repr_fails_is_reported_nonetheless(bench: Bench) -> None:
    """The log gives up, the worker does not."""

    class Unprintable:
        def __repr__(self) -> str:
            raise ValueError("no")

    bus, recorder = bench.bus(), Recorder()
    bus.subscribe("a", fail_with(ValueError))
    bus.subscribe("a", recorder)
    raising, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        for _ in range(2):
            assert bus.publish(Event("a", Unprintable()))
        assert bus.flush(HANG)
    finally:
        logging.raiseExceptions = raising
    assert len(recorder.events) == 2
    assert bus.stats().failed == 2


# ---- hooks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [ValueError, SystemExit, KeyboardInterrupt, Odd])
def test_on_error_that_raises_is_logged(
    bench: Bench, logged: Logged, failure: type[BaseException]
) -> None:
    """The worker goes on."""

    def on_error(*_: object) -> None:
        raise failure("from the hook")

    bus, recorder = bench.bus(on_error=on_error), Recorder()
    bus.subscribe("a", fail_with(KeyError))
    bus.subscribe("a", recorder)
    for data in (1, 2):
        assert bus.publish(Event("a", data))
    assert bus.flush(HANG)
    assert recorder.data == [1, 2]
    assert len(logged.records) == 2
    assert "from the hook" in logged.text


@pytest.mark.parametrize("failure", [ValueError, Odd])
def test_on_drop_that_raises_is_logged(
    bench: Bench, logged: Logged, failure: type[BaseException]
) -> None:
    """Publish answers as if it had not."""

    def on_drop(*_: object) -> None:
        raise failure("from the hook")

    bus = bench.bus(queue_size=1, on_drop=on_drop)
    gate, recorder = bench.hold(bus), Recorder()
    bus.subscribe("a", recorder)
    assert [bus.publish(Event("a", data)) for data in range(3)] == [True] * 3
    gate.open()
    assert bus.flush(HANG)
    assert recorder.data == [2]
    assert sum("from the hook" in str(record.exc_info) for record in logged.records) == 2


# ---- payloads --------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", BackpressurePolicy)
def test_payloads_are_never_touched(bench: Bench, policy: BackpressurePolicy) -> None:
    """Not on the way through, not when they overtake, give way, fail or are left over."""
    drops, errors = Drops(), Errors()
    bus = bench.bus(queue_size=3, policy=policy, on_drop=drops, on_error=errors)
    gate, seen = bench.hold(bus), Recorder()
    bus.subscribe(Untouchable, seen)
    bus.subscribe("a", seen)
    bus.subscribe("a", fail_with(ValueError))
    things: list[Any] = [Event("a", Untouchable()), UntouchableEvent("b"), Untouchable()]
    for level in (1, 3, 2, 1, 3):
        for thing in things:
            try:
                bus.publish(thing, priority=level, timeout=0)
            except QueueFull:
                continue
    gate.open()
    assert bus.flush(HANG)
    assert bus.publish_many(things[:1]) == 1
    assert bus.flush(HANG)
    assert bus.stats().dropped == len(drops)
    assert len(seen.events) + len(errors) == bus.stats().processed - 1
    assert all("touched" not in str(error) for _, _, error in errors)


# ---- release ---------------------------------------------------------------------------------


class Heavy:
    """A payload that can be weakly referenced."""


def publish_heavy(bus: EventBus, references: "list[weakref.ref[Heavy]]") -> None:
    """Publish one and keep nothing but a weak reference."""
    heavy = Heavy()
    references.append(weakref.ref(heavy))
    bus.publish(Event("heavy", heavy))


@pytest.mark.parametrize("fails", [False, True], ids=["handled", "failed"])
@pytest.mark.parametrize("deliveries", [1, 3])
@pytest.mark.parametrize("monitoring", [False, True])
def test_event_is_released_at_once_after_handling(
    bench: Bench, fails: Any, deliveries: int, monitoring: Any
) -> None:
    """When the worker is idle again, not when the slot or the worker is used again."""
    bus = bench.bus(on_error=lambda *_: None, monitoring=monitoring)
    for _ in range(deliveries):
        bus.subscribe("heavy", fail_with(ValueError) if fails else lambda _: None)
    references: list[weakref.ref[Heavy]] = []
    publish_heavy(bus, references)
    assert bus.flush(HANG)
    assert references[0]() is None


def test_event_is_released_before_the_delivery_is_finished(bench: Bench) -> None:
    """Its finalizer may publish, and flush waits for what it publishes."""
    bus, recorder = bench.bus(), Recorder()

    class Last:
        def __del__(self) -> None:
            bus.publish(Event("last"))

    bus.subscribe("a", lambda _: None)
    bus.subscribe("last", recorder)
    assert bus.publish(Event("a", Last()))
    assert bus.flush(HANG)
    assert len(recorder.events) == 1


@pytest.mark.parametrize("policy", list(BackpressurePolicy)[:4])
def test_dropped_event_is_released_at_once(bench: Bench, policy: BackpressurePolicy) -> None:
    """The bus keeps nothing of what gave way, or was refused."""
    bus = bench.bus(queue_size=1, policy=policy)
    bench.hold(bus)
    bus.subscribe("*", Recorder())
    references = []
    for _ in range(4):  # the first drop is logged, and logging keeps what it likes
        with suppress(QueueFull):
            bus.publish(Event("light"))
        with suppress(QueueFull):
            publish_heavy(bus, references)
    with suppress(QueueFull):
        bus.publish(Event("light"))
    assert [reference() for reference in references[1:]] == [None] * 3


def test_event_left_over_at_shutdown_is_released(bench: Bench) -> None:
    """Once stop has returned."""
    bus = bench.bus()
    gate = bench.hold(bus)
    bus.subscribe("heavy", lambda _: None)
    references: list[weakref.ref[Heavy]] = []
    publish_heavy(bus, references)
    assert bus.stop(drain=False, timeout=0) is False
    assert references[0]() is None
    assert bus.stats().dropped_by[DropReason.SHUTDOWN][2] == 1
    gate.open()


def test_publish_many_keeps_no_event_while_its_source_is_asked(bench: Bench) -> None:
    """What was handled is released even if the next event takes long to come."""
    bus = bench.bus(queue_size=300)
    bus.subscribe("heavy", lambda _: None)
    references: list[weakref.ref[Heavy]] = []

    def source() -> Any:
        for _ in range(256):
            heavy = Heavy()
            references.append(weakref.ref(heavy))
            yield Event("heavy", heavy)
            del heavy
        assert bus.flush(HANG)
        assert [reference for reference in references if reference() is not None] == []

    assert bus.publish_many(source()) == 256
