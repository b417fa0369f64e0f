"""Whatever threads do to a bus concurrently: some sequential order explains the results.

`BRUMMERBUS_LONG=1` in the environment makes it a long test.
"""

import itertools
import os
import random
import threading
from dataclasses import replace
from typing import Any

import pytest
from history import Call, History, Publish, Take
from model import ACCEPTED, REFUSED, RUN

from brummerbus import BackpressurePolicy, DropReason, Event, EventBus, QueueFull, Subscription
from helpers.interpreter import HAS_GIL
from helpers.threads import run_together

pytestmark = pytest.mark.slow

ROUNDS = 3_000 if os.environ.get("BRUMMERBUS_LONG") == "1" else 60
PUBLISHERS, EVENTS, LEVELS = 3, 4, 3
REJECT, BLOCK = BackpressurePolicy.REJECT, BackpressurePolicy.BLOCK


class Recording:
    """A bus with several publishers, and the history of what they and its workers did."""

    def __init__(
        self, policy: BackpressurePolicy, seed: int, timeout: float | None, most_handlers: int
    ) -> None:
        self._random = random.Random(seed)
        self._timeout = timeout
        self._now = itertools.count(1).__next__  # one C call: no two threads get the same number
        self._calls: list[Call] = []
        self._mine = threading.local()
        self._publishers: set[int] = set()
        self._which: dict[Subscription, int] = {}
        self._capacity = self._random.choice((2, 3))
        self._policy = policy
        plans = [
            [
                (self._random.randint(1, LEVELS), self._random.randint(1, most_handlers))
                for _ in range(EVENTS)
            ]
            for _ in range(PUBLISHERS)
        ]
        self._spin = self._random.choice((0, 100, 20_000))
        with EventBus(
            policy=policy,
            queue_size=self._capacity,
            priority_levels=LEVELS,
            workers=2,
            on_drop=self._on_drop,
        ) as bus:
            for count in range(1, most_handlers + 1):
                for index in range(count):
                    self._which[bus.subscribe(str(count), self._handler(index))] = index
            run_together(PUBLISHERS, lambda number: self._publish(bus, number, plans[number]))

    @property
    def history(self) -> History:
        """The recorded history."""
        return History(self._policy, self._capacity, tuple(self._calls))

    def _handler(self, index: int) -> Any:
        mine = self._mine

        def handler(event: Event) -> None:
            entered = self._now()
            item = (event.data, index)
            if threading.get_ident() in self._publishers:
                mine.ran.append(item)
                return
            self._calls.append(Take(getattr(mine, "left", 0), entered, item))
            for _ in range(self._spin):
                pass
            mine.left = self._now()

        return handler

    def _on_drop(self, event: Event, subscription: Subscription, reason: DropReason) -> None:
        lost = self._mine.evicted if reason is DropReason.EVICTED else self._mine.refused
        lost.append((event.data, self._which[subscription]))

    def _publish(self, bus: EventBus, publisher: int, plan: list[tuple[int, int]]) -> None:
        mine = self._mine
        self._publishers.add(threading.get_ident())
        for number, (level, count) in enumerate(plan):
            event = Event(str(count), publisher * 100 + number)
            mine.evicted, mine.refused, mine.ran = [], [], []
            begin = self._now()
            try:
                accepted = bus.publish(event, priority=level, timeout=self._timeout)
            except QueueFull:
                accepted = False
            end = self._now()
            items = [(event.data, index) for index in range(count)]
            outcome = RUN if mine.ran else ACCEPTED if accepted else REFUSED
            assert mine.ran == (items if outcome is RUN else []), "the caller ran something else"
            expected = items if outcome is REFUSED else []
            assert mine.refused == expected, "a refusal was reported otherwise"
            evicted = tuple(mine.evicted)
            self._calls.append(Publish(begin, end, level, tuple(items), outcome, evicted))


WAYS = [
    *((policy, None if policy is BLOCK else 0.0, 2) for policy in BackpressurePolicy),
    # With a time-out an event may be refused although there are free slots, if these are too few
    # for a waiter before it. The model has no wait queue: one delivery per event.
    *((policy, 0.0001, 1) for policy in BackpressurePolicy),
]


@pytest.mark.usefixtures("frequent_switches")
@pytest.mark.parametrize(("policy", "timeout", "most_handlers"), WAYS)
def test_some_order_explains_what_threads_saw(
    policy: BackpressurePolicy, timeout: float | None, most_handlers: int
) -> None:
    """Concurrent publishers and workers: the sequential model has the same result for each call."""
    overlapping, congested = 0, 0
    for seed in range(ROUNDS):
        history = Recording(policy, seed, timeout, most_handlers).history
        assert history.explanation() is not None, history
        overlapping += history.overlapping()
        congested += history.congested()
    assert overlapping > ROUNDS, "the calls hardly overlap: this proves nothing"
    if HAS_GIL:  # without one a worker keeps up with the publishers
        assert congested > ROUNDS // 10 or timeout is None, "there was hardly ever a full queue"


@pytest.mark.parametrize("fault", ["lost", "taken twice", "taken before it was published"])
def test_a_fault_put_into_what_was_recorded_is_found(fault: str) -> None:
    """A recorded history is explained; with one delivery falsified it is not."""
    history = Recording(BLOCK, 1, None, 1).history
    assert history.explanation() is not None
    last = max(
        (call for call in history.calls if isinstance(call, Take)), key=lambda take: take.end
    )
    instead = {
        "lost": [],
        "taken twice": [last, last._replace(end=last.end + 1)],
        "taken before it was published": [last._replace(begin=-1, end=0)],
    }[fault]
    calls = tuple(call for call in history.calls if call is not last)
    assert replace(history, calls=(*calls, *instead)).explanation() is None
