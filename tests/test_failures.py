"""What a failing handler or hook affects: only the counts and the report."""

import threading
from typing import Any

import pytest

from brummerbus import Event, Subscription
from helpers.buses import BusFactory
from helpers.checks import assert_balance
from helpers.handlers import Logged, Recorder
from helpers.waiting import HANG

FAILURES = [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration, MemoryError]


class Odd(BaseException):
    """A BaseException that is no `Exception`."""


class Errors(list[tuple[Any, Subscription, BaseException]]):
    """An `on_error` hook that records its arguments."""

    def __call__(self, event: Any, subscription: Subscription, error: BaseException) -> None:
        """Record the arguments."""
        self.append((event, subscription, error))


def fail_with(failure: BaseException | type[BaseException]) -> Any:
    """Return a handler that raises it."""

    def handler(_: Any) -> None:
        raise failure

    return handler


# ---- handlers --------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [*FAILURES, Odd])
def test_failure_ends_no_worker_and_touches_no_other_delivery(
    factory: BusFactory, failure: type[BaseException]
) -> None:
    """The same thread continues with the next delivery, of the same event or another."""
    errors, recorder = Errors(), Recorder()
    bus = factory.bus(on_error=errors)
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


def test_on_error_is_called_with_event_subscription_and_exception(factory: BusFactory) -> None:
    """All three are the objects themselves; the exception has its traceback."""
    errors, failure = Errors(), ValueError("why")
    bus = factory.bus(on_error=errors)
    event = Event("a")
    subscription = bus.subscribe("a", fail_with(failure))
    assert bus.publish(event)
    assert bus.flush(HANG)
    [(got_event, got_subscription, got_error)] = errors
    assert got_event is event
    assert got_subscription is subscription
    assert got_error is failure
    assert got_error.__traceback__ is not None


def test_failure_is_logged_with_its_traceback_by_default(
    factory: BusFactory, logged: Logged
) -> None:
    """On the logger `brummerbus`, as an error that names bus, subscription and event."""
    bus = factory.bus(name="night")

    def careless(_: Event) -> None:
        raise ValueError("the reason")

    bus.subscribe("a.*", careless)
    assert bus.publish(Event("a.b", "payload"))
    assert bus.flush(HANG)
    [record] = logged.records
    assert (record.name, record.levelname) == ("brummerbus", "ERROR")
    for part in ("night", "careless", "a.*", "payload", "Traceback", "ValueError: the reason"):
        assert part in logged.text


def test_failure_is_not_logged_if_there_is_a_hook(factory: BusFactory, logged: Logged) -> None:
    """The hook replaces the log."""
    bus = factory.bus(on_error=Errors())
    bus.subscribe("a", fail_with(ValueError))
    assert bus.publish(Event("a"))
    assert bus.flush(HANG)
    assert logged.records == []


def nested(value: object) -> list[Any]:
    """Return payloads with others nested in them."""
    return [value, [value], {"key": value}, {value: 1}, ([value],), {value}]


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("drop", [False, True], ids=["failed", "dropped"])
def test_log_runs_no_code_of_the_payload(
    factory: BusFactory, logged: Logged, place: int, drop: object
) -> None:
    """A repr may raise, publish, block, or take a lock: it is not called."""
    called = []

    class Loud:
        def __repr__(self) -> str:
            called.append("repr")
            raise ValueError("no")

        __str__ = __repr__

        def __format__(self, spec: str) -> str:
            return repr(self)

    bus = factory.bus(queue_size=1)
    bus.subscribe("a", fail_with(KeyError))
    gate = factory.hold(bus)
    for _ in range(2 if drop else 1):
        assert bus.publish(Event("a", nested(Loud())[place]))
    gate.open()
    assert bus.flush(HANG)
    assert len(logged.records) == (2 if drop else 1)
    assert all("Loud object" in record.getMessage() for record in logged.records)
    assert called == []


LARGE: list[Any] = [
    "x" * 100_000,
    b"x" * 100_000,
    ["x" * 1000] * 1000,
    {str(n): "x" * 1000 for n in range(1000)},
    [[[["x" * 1000] * 100] * 100] * 100] * 100,
    range(10**9),
    10**5000,
]


@pytest.mark.parametrize("data", LARGE, ids=range(len(LARGE)))
@pytest.mark.parametrize("kind", ["a", "a" * 10_000], ids=["short_type", "long_type"])
def test_log_shows_an_event_shortened(
    factory: BusFactory, logged: Logged, data: object, kind: str
) -> None:
    """Type, id and the beginning of the payload: 200 characters of the event at most."""
    bus = factory.bus(on_drop=lambda *_: None, queue_size=1)
    with bus.subscribe("*", fail_with(KeyError)):
        gate = factory.hold(bus)
        events = [Event(kind, data), Event(kind, data)]
        for event in events:
            assert bus.publish(event)
    gate.open()
    assert bus.flush(HANG)
    dropped, failed = (record.getMessage() for record in logged.records[-2:])
    for text, event in ((dropped, events[0]), (failed, events[1])):
        shown = text[text.index("<Event #") :].partition(" for <Subscription")[0]
        assert shown.startswith(f"<Event #{event.id} {kind[:80]}")
        assert len(shown) <= 200


# ---- hooks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [ValueError, SystemExit, KeyboardInterrupt, Odd])
def test_on_error_that_raises_is_logged(
    factory: BusFactory, logged: Logged, failure: type[BaseException]
) -> None:
    """The worker continues."""

    def on_error(*_: object) -> None:
        raise failure("from the hook")

    bus, recorder = factory.bus(on_error=on_error), Recorder()
    bus.subscribe("a", fail_with(KeyError))
    bus.subscribe("a", recorder)
    for data in (1, 2):
        assert bus.publish(Event("a", data))
    assert bus.flush(HANG)
    assert recorder.data == [1, 2]
    assert len(logged.records) == 2
    assert "from the hook" in logged.text


def test_on_drop_that_raises_is_logged(factory: BusFactory, logged: Logged) -> None:
    """Publish returns as if it had not."""

    def on_drop(*_: object) -> None:
        raise ValueError("from the hook")

    bus = factory.bus(queue_size=1, on_drop=on_drop)
    gate, recorder = factory.hold(bus), Recorder()
    bus.subscribe("a", recorder)
    assert [bus.publish(Event("a", data)) for data in range(3)] == [True] * 3
    gate.open()
    assert bus.flush(HANG)
    assert recorder.data == [2]
    assert sum("from the hook" in str(record.exc_info) for record in logged.records) == 2


# ---- results ---------------------------------------------------------------------------------


class Awaitable:
    """An object that would do its work only if it were awaited."""

    def __await__(self) -> Any:
        yield


async def coroutine() -> None:
    """Do nothing, and only when awaited."""


def generator() -> Any:
    yield


async def async_generator() -> Any:
    yield


@pytest.mark.parametrize("make", [coroutine, generator, async_generator, Awaitable])
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_handler_that_returns_undone_work_has_failed(factory: BusFactory, make: Any) -> None:
    """A lambda hides a coroutine function from the check when it is subscribed."""
    errors = Errors()
    bus = factory.bus(on_error=errors)
    bus.subscribe("a", lambda _: make())
    assert bus.publish(Event("a"))
    assert bus.flush(HANG)
    [(_, _, error)] = errors
    assert isinstance(error, TypeError)
    assert "nobody awaits or iterates over" in str(error)
    assert make.__name__ in str(error) or type(make()).__name__ in str(error)
    assert bus.stats().failed == 1


@pytest.mark.parametrize("result", [1, "text", [], iter([]), object(), NotImplemented])
def test_any_other_result_is_ignored(factory: BusFactory, result: object) -> None:
    """Handlers are functions that are used elsewhere as well."""
    bus = factory.bus()
    bus.subscribe("a", lambda _: result)
    assert bus.publish(Event("a"))
    assert bus.flush(HANG)
    assert (bus.stats().processed, bus.stats().failed) == (1, 0)
