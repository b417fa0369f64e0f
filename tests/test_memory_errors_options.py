"""MemoryError at each allocation of what publishes with options, and of workers that handle it.

As in `test_memory_errors`. Besides the bus being whole, no key is held, a subscription that takes
one event takes exactly one, a retry comes back, and a completion hook is called exactly once.
"""

import logging
from collections import Counter, deque
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any

import pytest

from brummerbus import Event, EventBus, Subscription
from helpers.allocations import Worker, beyond, bus_with_handlers, in_own_process, strike_everywhere
from helpers.buses import BusFactory, Turnstile
from helpers.checks import assert_at_rest
from helpers.handlers import Recorder
from helpers.internals import lanes_of, subscriptions_of, workers_of
from helpers.waiting import HANG

pytestmark = pytest.mark.slow

_testcapi = pytest.importorskip("_testcapi", reason="this Python cannot fake a lack of memory")

POLICIES = ["drop_oldest", "reject", "block", "caller_runs"]


def test_publish_with_options_without_memory_leaves_the_bus_whole() -> None:
    """It raises MemoryError or it took effect."""
    calls = [f"strike_options({policy!r})" for policy in POLICIES]
    assert min(in_own_process(__name__, *calls)) > 20


def test_a_subscription_for_one_event_without_memory_receives_one() -> None:
    """The one whose publish failed was not accepted, or it was the one."""
    assert in_own_process(__name__, "strike_once()")[0] > 10


def test_barrier_without_memory_can_be_called_again() -> None:
    """While something is queued."""
    assert in_own_process(__name__, "strike_barrier()")[0] > 0


def test_a_worker_without_memory_lives_and_loses_nothing() -> None:
    """Whatever it does for the options of a subscription or of an event."""
    options = ("batch", "large_batch", "retry", "expired", "done")
    assert min(in_own_process(__name__, *(f"strike_worker({what!r})" for what in options))) > 0


# ---- in the other process ----------------------------------------------------------------------


def pins_of(subscription: Subscription) -> int:
    """Return how many deliveries the keys of a subscription seem to have."""
    return sum(lane.pins for lane in lanes_of(subscription).values())


def timeout_of(bus: EventBus) -> float | None:
    """Return a time-out where a publisher would wait for ever."""
    return 0.0 if bus.config.policy.value in ("block", "caller_runs") else None


def strike_options(policy: str) -> int:
    """Publish to subscriptions with options, with room, with too little and with none."""
    failed = 0
    for filled in (0, 3, 5):
        factory = BusFactory()
        bus = bus_with_handlers(factory, policy, on_drop=lambda *_: None)
        subscriptions = [
            bus.subscribe("options", lambda event: None, key="data"),
            bus.subscribe("options", lambda event: None, batch=2, key="source"),
            bus.subscribe("options", lambda event: None, retries=1),
        ]
        turnstile = Turnstile(bus, factory.gate())
        event, timeout, done = Event("options", 1), timeout_of(bus), Recorder().events.append
        bus.publish(event)  # its route is known

        def check(
            bus: EventBus = bus,
            turnstile: Turnstile = turnstile,
            subscriptions: list[Subscription] = subscriptions,
        ) -> None:
            turnstile.assert_whole()
            assert sum(map(pins_of, subscriptions)) == 0
            assert all(thread.is_alive() for thread in workers_of(bus))

        options = {"timeout": timeout, "on_done": done, "expires": 1000}
        publish = partial(bus.publish, event, **options)

        failed += strike_everywhere(
            lambda turnstile=turnstile, filled=filled: turnstile.hold(filled), publish, check
        )
        factory.end()
    return failed


def strike_once() -> int:
    """Publish to a subscription that takes one event."""
    factory = BusFactory()
    bus, seen = bus_with_handlers(factory), Recorder()
    made: list[Subscription] = []

    def prepare() -> None:
        seen.events.clear()
        made[:] = [bus.subscribe("once", seen, once=True, key="source")]

    def check() -> None:
        accepted = made[0].is_taken
        for n in (1, 2):
            bus.publish(Event("once", n))
        assert_at_rest(bus)
        assert seen.data == ([0] if accepted else [1])
        assert made[0] not in subscriptions_of(bus)

    event = Event("once", 0)
    failed = strike_everywhere(prepare, lambda: bus.publish(event), check)
    factory.end()
    return failed


def strike_barrier() -> int:
    """With something to wait for."""
    factory = BusFactory()
    bus, gate = bus_with_handlers(factory), factory.gate()
    bus.subscribe("gate", gate)

    def prepare() -> None:
        assert bus.publish(Event("gate"))
        gate.wait_entered()

    def check() -> None:
        gate.let_through()
        assert bus.barrier(HANG)
        assert_at_rest(bus)

    failed = strike_everywhere(prepare, lambda: bus.barrier(0.001), check)
    factory.end()
    return failed


class Scene:
    """What a worker does, and what must have come of it."""

    def __init__(self, bus: EventBus, what: str) -> None:
        self.handled: deque[Any] = deque()  # the first 30 of them allocate nothing
        self.done: deque[Any] = deque()
        self._bus = bus
        self._what = what
        self._tries: Counter[Any] = Counter()
        options: dict[str, dict[str, Any]] = {
            "batch": {"batch": 3},
            "large_batch": {"batch": 100},
            "retry": {"retries": 1, "backoff": 0, "key": "source"},
        }
        batch = "batch" in what
        bus.subscribe("a", self._batch if batch else self._handle, **options.get(what, {}))

    def _handle(self, event: Event) -> None:
        if self._what == "retry":
            self._tries[event.data] += 1
            if self._tries[event.data] == 1:
                raise _FAILURE
        self.handled.append(event.data)

    def _batch(self, events: list[Event]) -> None:
        for event in events:
            self.handled.append(event.data)

    def publish(self) -> None:
        """Queue three events."""
        options: dict[str, Any] = {}
        if self._what in ("expired", "done", "batch"):
            options["on_done"] = self.done.append
        if self._what == "expired":
            options["expires"] = 1e-9
        for n in range(3):
            assert self._bus.publish(Event("a", n), **options)

    def check(self) -> None:
        """Each event was handled, has failed or was dropped, once."""
        stats = self._bus.stats()
        if self._what == "expired":
            assert not self.handled
        else:
            assert len(self.handled) + stats.failed - self.failed == 3
            assert len(set(self.handled)) == len(self.handled)
        self.failed = stats.failed
        if self._what in ("expired", "done", "batch"):
            assert sorted(outcome.event.data for outcome in self.done) == [0, 1, 2]
            assert all(o.handled + len(o.failed) + len(o.dropped) == 1 for o in self.done)
        self.handled.clear()
        self.done.clear()
        self._tries.clear()

    failed = 0


_FAILURE = ValueError("on purpose")


class Striker(Worker):
    """A worker whose events the scene publishes."""

    def __init__(self, bus: EventBus, scene: Scene) -> None:
        super().__init__(bus, ())
        self._scene = scene

    def strike_scene(self, n: int) -> None:
        """Make the n-th allocation fail between the handlers of "begin" and "end"."""
        self._n = n
        assert self._bus.publish(Event("begin"), priority=3)
        self._scene.publish()
        assert self._bus.publish(Event("end"), priority=1)
        assert self._entered.acquire(timeout=HANG)
        go_on, wait = self._opened.release, self._ended.acquire
        go_on()
        ended = wait(True, HANG / 3)
        _testcapi.remove_mem_hooks()
        assert ended, "the worker died, or lost a delivery"


def strike_worker(what: str) -> int:
    """Make allocations fail while a worker handles three events."""
    factory = BusFactory()
    bus = bus_with_handlers(
        factory, "block", queue_size=10, on_error=lambda *_: None, on_drop=lambda *_: None,
    )  # fmt: skip
    logging.getLogger("brummerbus").disabled = True
    scene = Scene(bus, what)
    worker = Striker(bus, scene)
    with suppress(MemoryError):
        beyond()
    for n in count(1):
        worker.strike_scene(n)
        try:
            assert_at_rest(bus)
            scene.check()
            assert all(thread.is_alive() for thread in workers_of(bus))
        except AssertionError as error:
            raise AssertionError(f"allocation {n} failed") from error
        if worker.came_through:
            break
    factory.end()
    return n - 1
