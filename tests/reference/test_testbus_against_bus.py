"""Whatever is published: a bus with one thread and one without do the same, in one order."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brummerbus import BackpressurePolicy, Event, EventBus, QueueFull
from brummerbus.testing import TestBus
from helpers.handlers import Gate
from helpers.waiting import HANG

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "keyed": {"key": lambda event: event.data[1]},
    "limited": {"max_concurrency": 1},
    "batched": {"batch": 3},
    "keyed_batch": {"key": lambda event: event.data[1], "batch": 2},
    "once": {"once": True},
}


class Published(NamedTuple):
    """An event: to which subscriptions, with which key and level."""

    kinds: frozenset[str]
    key: int
    level: int
    fails: bool


events = st.builds(
    Published,
    st.frozensets(st.sampled_from(sorted(KINDS)), min_size=1, max_size=3),
    st.integers(0, 2),
    st.integers(1, 3),
    st.booleans(),
)


class Run:
    """What a bus, whose only worker is held, does with what is published then."""

    def __init__(self, bus: EventBus, hold: Callable[[], None], let_go: Callable[[], None]) -> None:
        self.bus = bus
        self._hold = hold
        self._let_go = let_go
        self.handled: list[tuple[str, list[int]]] = []
        self.outcomes: list[Any] = []

    def subscribe(self) -> None:
        """Subscribe a handler of each kind."""
        for kind, options in KINDS.items():
            self.bus.subscribe(f"*|{kind}|*", self._handler(kind), **options)

    def _handler(self, kind: str) -> Callable[[Any], None]:
        def handler(given: Any) -> None:
            several = given if isinstance(given, list) else [given]
            self.handled.append((kind, [event.data[0] for event in several]))
            if any(event.data[2] for event in several):
                raise ValueError

        return handler

    def publish(self, several: list[Published]) -> list[object]:
        """Hold the worker, publish, let it go; return what each publish has returned."""
        self._hold()
        results: list[object] = []
        for number, one in enumerate(several):
            event = Event("|".join(["*", *sorted(one.kinds), "*"]), (number, one.key, one.fails))
            result: object = "full"
            with suppress(QueueFull):
                result = self.bus.publish(
                    event, priority=one.level, timeout=0, on_done=self.outcomes.append
                )
            results.append(result)
        self._let_go()
        assert self.bus.flush(HANG)
        return results

    def summary(self, drops: list[Any]) -> Any:
        """Return what can be compared."""
        stats = self.bus.stats()
        done = [
            (one.event.data[0], one.handled, len(one.failed), len(one.dropped))
            for one in self.outcomes
        ]
        books = (stats.published, stats.processed, stats.failed, stats.dropped, stats.dropped_by)
        return self.handled, drops, done, books, stats.by_level


def result_of(several: list[Published], policy: BackpressurePolicy, size: int, kind: str) -> Any:
    drops: list[Any] = []

    def dropped(event: Event, subscription: Any, reason: Any) -> None:
        drops.append((event.data[0], subscription.event_type, reason))

    options: dict[str, Any] = {"workers": 1, "queue_size": size, "policy": policy}
    options |= {"on_drop": dropped, "on_error": lambda *_: None}
    if kind == "threads":
        gate = Gate()
        with EventBus(**options) as bus:
            bus.subscribe("hold", gate)

            def hold() -> None:
                bus.publish(Event("hold"))
                gate.wait_entered()

            run = Run(bus, hold, gate.open)
            run.subscribe()
            results = run.publish(several)
            return results, run.summary(drops)
    with TestBus(seed=0, **options) as testbus:
        testbus.subscribe("hold", lambda event: None)

        def take() -> None:
            testbus.publish(Event("hold"))
            assert testbus._steps().step(runs=False)

        run = Run(testbus, take, lambda: None)
        run.subscribe()
        results = run.publish(several)
        return results, run.summary(drops)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    several=st.lists(events, max_size=12),
    policy=st.sampled_from(list(BackpressurePolicy)),
    size=st.integers(1, 8),
)
def test_the_same_is_handled_dropped_and_counted(
    several: list[Published], policy: BackpressurePolicy, size: int
) -> None:
    assert result_of(several, policy, size, "threads") == result_of(several, policy, size, "none")
