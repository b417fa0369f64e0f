"""Short calls keep the GIL, and calls that wait release it.

This relies on behaviour that cffi does not document (`_ffi_build.py`), so it is tested directly: a
second thread counts, and is either stopped during a call or continues. The methods in C keep the
GIL by nature; that they release it where they wait or take long is tested here, too.
"""

import gc
import logging
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

import pytest

from brummerbus import BackpressurePolicy, Event, EventBus, QueueFull
from brummerbus._core._ext import lib
from helpers.buses import BusFactory
from helpers.handlers import Gate
from helpers.internals import discard_queued, queue_of
from helpers.interpreter import needs_gil
from helpers.threads import InThread
from helpers.waiting import HANG, poll

UNTOUCHED = """
import gc
cache = next(part for part in gc.get_referents(lib) if isinstance(part, dict))
print(*(set(dir(lib)) - set(cache)))
"""

ALONE = """
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
name, path = "brummerbus._core._ext", {path!r}
loader = ExtensionFileLoader(name, path)
lib = module_from_spec(spec_from_file_location(name, path, loader=loader)).lib
"""


class Counter:
    """Counts in its own thread; releases the GIL after each step."""

    def __init__(self) -> None:
        self.count = 0
        self._end = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.go_on()

    def _run(self) -> None:
        while not self._end:
            self.count += 1
            time.sleep(0)  # releases the GIL, and does not sleep

    def go_on(self, steps: int = 100) -> None:
        """Wait until it has counted further, and so has neither ended nor sleeps."""
        goal = self.count + steps
        poll(lambda: self.count >= goal)

    def during(self, call: Callable[[], object]) -> int:
        """Return how far it counts during a call."""
        before = self.count
        call()
        return self.count - before

    def end(self) -> None:
        """End the thread."""
        self._end = True
        self._thread.join(HANG)


@pytest.fixture
def counter() -> Iterator[Counter]:
    """A counting thread, and no forced switches."""
    interval = sys.getswitchinterval()
    # Nor may a collection during the call: finalizers of buses of other tests may sleep.
    gc.collect()
    gc.disable()
    counter = Counter()
    # Only a thread that releases the GIL loses it: nothing else can let the counter run, during a
    # call or between a call and the reading of the count.
    sys.setswitchinterval(HANG)
    counter.go_on()
    yield counter
    sys.setswitchinterval(interval)
    gc.enable()
    counter.end()


@pytest.fixture
def full(factory: BusFactory) -> tuple[EventBus, Gate]:
    """A bus whose one worker is blocked, with one slot, which is taken."""
    bus = factory.bus(queue_size=1, policy=BackpressurePolicy.REJECT)
    gate = factory.hold(bus)
    bus.subscribe("a", deque(maxlen=0).append)
    assert bus.publish(Event("a"))
    return bus, gate


@needs_gil
@pytest.mark.parametrize(
    "call",
    ["depth", "published", "ended", "state", "snapshot", "load", "resize", "worker_failed"],
)
def test_each_short_call_keeps_the_gil(
    counter: Counter, full: tuple[EventBus, Gate], call: str
) -> None:
    """A thousand of them in a row never release it."""
    queue = queue_of(full[0])

    def start_and_fail() -> None:
        assert queue.resize(2) == 1
        queue.worker_failed()

    calls: dict[str, Callable[[], object]] = {
        "depth": queue.depth,
        "published": queue.published,
        "ended": queue.ended,
        "state": queue.state,
        "snapshot": lambda: queue.snapshot(1, 1),
        "load": lambda: queue.load([]),
        "resize": lambda: queue.resize(1),
        "worker_failed": start_and_fail,
    }
    short = calls[call]
    assert counter.during(lambda: [short() for _ in range(1000)]) == 0
    queue.resize(1)


@needs_gil
def test_publishing_and_refusing_keep_the_gil(
    counter: Counter, factory: BusFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of events in a row, accepted by the queue or refused immediately; not the log."""
    monkeypatch.setattr(logging.getLogger("brummerbus"), "disabled", True)
    bus = factory.bus(queue_size=3000, policy=BackpressurePolicy.DROP_NEWEST)
    factory.hold(bus)
    bus.subscribe("a", deque(maxlen=0).append)
    events = [Event("a") for _ in range(3000)]

    def publish() -> None:
        assert bus.publish_many(events[:1000]) == 1000
        assert sum(bus.publish(event) for event in events) == 2000

    assert counter.during(publish) == 0
    assert bus.stats().dropped == 1000


@needs_gil
def test_closing_and_discarding_keep_the_gil(counter: Counter, factory: BusFactory) -> None:
    """What is dropped at the end is dropped in one go."""
    bus = factory.bus(queue_size=1000)
    gate = factory.hold(bus)
    bus.subscribe("a", deque(maxlen=0).append)
    assert bus.publish_many([Event("a")] * 1000) == 1000

    def end() -> None:
        discard_queued(bus)

    assert counter.during(end) == 0
    assert bus.stats().dropped == 1000
    gate.open()


def test_waiting_for_idle_releases_the_gil(counter: Counter, full: tuple[EventBus, Gate]) -> None:
    """`bb_wait_idle` with something queued sleeps, and others run."""
    bus, _ = full
    assert counter.during(lambda: queue_of(bus).wait_idle(50_000_000)) > 10


def test_waiting_for_the_end_releases_the_gil(
    counter: Counter, full: tuple[EventBus, Gate]
) -> None:
    """`bb_wait_shut` of an open queue sleeps, and others run."""
    bus, _ = full
    assert counter.during(lambda: queue_of(bus).wait_shut(0.05)) > 10


def refused_after(bus: EventBus, seconds: float) -> None:
    """Publish, and be refused after a wait."""
    with pytest.raises(QueueFull):
        bus.publish(Event("a"), timeout=seconds)


def test_waiting_for_room_releases_the_gil(counter: Counter, full: tuple[EventBus, Gate]) -> None:
    """`bb_line_wait` for a full queue sleeps, and others run."""
    bus, _ = full
    waited = counter.during(lambda: refused_after(bus, 0.05))
    assert waited > 10
    assert bus.stats().dropped == 1


def test_waiting_for_work_releases_the_gil(counter: Counter, factory: BusFactory) -> None:
    """`bb_take` of an empty queue sleeps until another thread, which must run for it, publishes."""
    bus, gate = factory.bus(), factory.gate()
    bus.subscribe("a", gate)

    def publish_later() -> None:
        goal = counter.count + 1000
        poll(lambda: counter.count >= goal)
        assert bus.publish(Event("a"))

    later = InThread(publish_later)
    gate.wait_entered()
    later.result()


@pytest.mark.slow
@pytest.mark.usefixtures("frequent_switches")
def test_handlers_in_c_let_other_threads_run(factory: BusFactory) -> None:
    """They do not reach the interpreter's own switch of threads, and the queue is never empty."""
    bus = factory.bus(queue_size=2000)
    gate = factory.hold(bus)
    bus.subscribe(list, sum)
    numbers = [1] * 100_000  # a millisecond or so
    assert bus.publish_many([numbers] * 2000) == 2000
    turns = 0
    gate.open()
    while bus.depth:
        time.sleep(0)
        turns += 1
    assert bus.flush(HANG)
    assert bus.stats().failed == 0
    assert turns > 10


def untouched(code: str) -> set[str]:
    """Return the names of `lib` that were not looked up in a new process."""
    command = [sys.executable, "-c", code + UNTOUCHED]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=HANG)
    return set(done.stdout.split())


def test_every_c_function_is_looked_up_at_import() -> None:
    """A function is created when it is first looked up, and threads might race there."""
    functions = {name for name in dir(lib) if name.startswith("bb_")}
    alone = ALONE.format(path=sys.modules["brummerbus._core._ext"].__file__)
    assert untouched(alone) >= functions, "this look tells nothing"
    code = "from brummerbus import EventBus\nfrom brummerbus._core._ext import lib"
    assert untouched(code) == set()
