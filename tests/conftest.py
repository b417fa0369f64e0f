"""What the tests share: gates that hold a worker, recorders, threads, buses that are stopped."""

import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import pytest

from brummerbus import Event, EventBus, EventBusConfig, Subscription
from brummerbus._core import scheduler

HOOKS = ("name", "on_error", "on_drop")
"""What a bus takes beside its settings."""

HANG = 30.0
"""Seconds after which something hangs; on an idle machine everything takes far less."""


def pytest_configure() -> None:
    """Take signals as a terminal delivers them.

    What is started in the background or by nohup ignores some, and so would whatever a test starts.
    """
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_IGN:
            default = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
            signal.signal(getattr(signal, name), default)


class Gate:
    """A handler that says when it is entered, and returns only when it is opened."""

    def __init__(self) -> None:
        self._entered = threading.Semaphore(0)
        self._passes = threading.Semaphore(0)
        self._open = False

    def __call__(self, event: Any) -> None:
        """Say so, and wait."""
        self._entered.release()
        if not self._open:
            assert self._passes.acquire(timeout=HANG), "the gate was never opened"

    def wait_entered(self, times: int = 1) -> None:
        """Return when so many further calls have been entered."""
        for _ in range(times):
            assert self._entered.acquire(timeout=HANG), "the handler was not called"

    def let_through(self, times: int = 1) -> None:
        """Let so many calls return."""
        self._passes.release(times)

    def open(self) -> None:
        """Let all calls return, now and later."""
        self._open = True
        self._passes.release(10_000)


class Recorder:
    """A handler that keeps what it was called with, in order."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self._changed = threading.Condition()

    def __call__(self, event: Any) -> None:
        """Keep the event."""
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    @property
    def data(self) -> list[Any]:
        """The payloads of the events."""
        return [event.data for event in self.events]

    def wait_for(self, count: int) -> None:
        """Return when so many events were received."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.events) >= count, HANG), (
                f"{len(self.events)} of {count} events came"
            )


class Drops(list[tuple[Any, Subscription, Any]]):
    """An `on_drop` hook that keeps its arguments."""

    def __call__(self, event: Any, subscription: Subscription, reason: Any) -> None:
        """Keep the arguments."""
        self.append((event, subscription, reason))

    @property
    def data(self) -> list[Any]:
        """The payloads of the dropped deliveries' events."""
        return [event.data for event, _, _ in self]


class Logged(logging.Handler):
    """A logging handler that keeps the records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record."""
        self.records.append(record)

    @property
    def text(self) -> str:
        """All messages with their tracebacks."""
        return "\n".join(logging.Formatter().format(record) for record in self.records)


class BusFactory:
    """Makes buses and gates, and leaves nothing behind."""

    def __init__(self) -> None:
        self._buses: list[EventBus] = []
        self._gates: list[Gate] = []

    def bus(self, **settings: Any) -> EventBus:
        """Make a bus; by default a small one that never waits."""
        hooks = {key: settings.pop(key) for key in HOOKS if key in settings}
        small = {"workers": 1, "queue_size": 10, "publish_timeout": 0}
        bus = EventBus(EventBusConfig(**{**small, **settings}), **hooks)
        self._buses.append(bus)
        return bus

    def gate(self) -> Gate:
        """Make a gate that is opened at the end of the test."""
        gate = Gate()
        self._gates.append(gate)
        return gate

    def hold(self, bus: EventBus) -> Gate:
        """Stop every worker in a handler of the type `gate`, so that the queue stays as it is."""
        gate = self.gate()
        with bus.subscribe("gate", gate):
            for _ in range(bus.workers):
                assert bus.publish(Event("gate"), timeout=HANG)
                gate.wait_entered()
        return gate

    def end(self) -> None:
        """Open the gates and stop the buses."""
        for gate in self._gates:
            gate.open()
        for bus in self._buses:
            bus.stop(drain=False)


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Fail a test after which a thread runs that did not run before."""
    before = set(threading.enumerate())
    yield
    deadline = monotonic() + HANG / 3
    new = [t for t in threading.enumerate() if t not in before and t.name != scheduler.NAME]
    for thread in new:
        thread.join(max(0.0, deadline - monotonic()))
    assert not [thread.name for thread in new if thread.is_alive()], "threads were left behind"


@pytest.fixture
def factory(no_thread_left: None) -> Iterator[BusFactory]:
    """Make buses and gates that are gone after the test."""
    factory = BusFactory()
    yield factory
    factory.end()


@pytest.fixture
def logged() -> Iterator[Logged]:
    """Keep what the library logs."""
    handler = Logged()
    logger = logging.getLogger("brummerbus")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Let threads interrupt each other as often as the interpreter can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def run_together(count: int, work: Callable[[int], object]) -> None:
    """Run `work(0)` to `work(count - 1)` in threads that begin together; raise what they raise."""
    barrier = threading.Barrier(count)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            barrier.wait(HANG)
            work(number)
        except BaseException as error:  # noqa: BLE001, RUF100
            errors.append(error)

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    if errors:
        raise errors[0]


class InThread:
    """A call in a thread of its own, with its result."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:  # noqa: BLE001, RUF100
            self._error = error

    def result(self) -> Any:
        """Return what the call returned, or raise what it raised."""
        self._thread.join(HANG)
        assert not self._thread.is_alive(), "the call does not return"
        if self._error is not None:
            raise self._error
        return self._result

    def wait_in_line(self, bus: EventBus, waiting: int = 1) -> None:
        """Return when that many publishers of the bus, this call among them, wait for room."""
        poll(lambda: not self._thread.is_alive() or bus.stats().waiting >= waiting)
        assert self._thread.is_alive(), "the call did not wait"


def poll(condition: Callable[[], bool]) -> None:
    """Wait for a condition that no event tells of, without holding the interpreter."""
    deadline = monotonic() + HANG
    pause = threading.Event()
    while not condition():
        assert monotonic() < deadline, "this never became true"
        pause.wait(0.001)


def assert_balance(stats: Any) -> None:
    """Check that the books balance: in total, by level, by type, and between them."""
    for part in (stats, *stats.by_level.values(), *stats.by_type.values()):
        assert part.published == part.processed + part.dropped + part.queued + part.running
        assert part.failed <= part.processed
    for field in ("published", "processed", "failed", "dropped", "queued", "running"):
        total = getattr(stats, field)
        assert sum(getattr(counts, field) for counts in stats.by_level.values()) == total, field
        assert sum(getattr(counts, field) for counts in stats.by_type.values()) == total, field
    assert sum(sum(levels.values()) for levels in stats.dropped_by.values()) == stats.dropped
    assert sum(stats.queue_depth.values()) == stats.queued
