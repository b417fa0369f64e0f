"""Whatever is published to a bus in whatever order: it behaves as the plain Python queue.

The only worker is released delivery by delivery, so that nothing is left to chance; the handler
that it is in publishes, too.
`BRUMMERBUS_LONG=1` in the environment makes it a long test.
"""

import os
import threading
from collections import Counter
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from model import REFUSED, RUN, Queue

from brummerbus import BackpressurePolicy, DropReason, Event, EventBus, QueueFull
from helpers.checks import assert_balance
from helpers.handlers import Drops
from helpers.waiting import HANG

pytestmark = pytest.mark.slow

LONG = os.environ.get("BRUMMERBUS_LONG") == "1"
POLICIES = list(BackpressurePolicy)
RAISING = (BackpressurePolicy.REJECT, BackpressurePolicy.BLOCK)
LEVELS = 8

levels = st.integers(1, LEVELS)
fan_outs = st.integers(1, 3)

Item = tuple[int, int]  # the event's number, and which of its handlers


class Held:
    """Blocks the worker in a handler, and executes calls there."""

    def __init__(self) -> None:
        self._entered = threading.Semaphore(0)
        self._tasks: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._results: SimpleQueue[object] = SimpleQueue()
        self._open = False

    def hold(self) -> None:
        """In the handler: execute the requested calls until it may return."""
        self._entered.release()
        while not self._open and (task := self._tasks.get(timeout=HANG)) is not None:
            try:
                self._results.put(task())
            except Exception as error:
                self._results.put(error)

    def wait_entered(self) -> None:
        """Wait until a handler has been entered."""
        assert self._entered.acquire(timeout=HANG), "the handler was not called"

    def call(self, task: Callable[[], object]) -> Any:
        """Make a call in the handler; return or raise its result."""
        self._tasks.put(task)
        result = self._results.get(timeout=HANG)
        if isinstance(result, Exception):
            raise result
        return result

    def let_through(self) -> None:
        """Let the handler return."""
        self._tasks.put(None)

    def open(self) -> None:
        """Let all of them return."""
        self._open = True
        self._tasks.put(None)


class BusMachine(RuleBasedStateMachine):
    """A bus and the model of it, side by side."""

    @initialize(
        policy=st.sampled_from(POLICIES),
        size=st.integers(1, 6),
        reserve=st.integers(0, 4),
        top=levels,
    )
    def begin(self, policy: BackpressurePolicy, size: int, reserve: int, top: int) -> None:
        """Create a bus whose events of type `n` have n handlers."""
        self.policy, self.top = policy, top
        self.model = Queue(size, reserve=reserve)
        self.running: Item | None = None
        self.number = 0
        self.reasons: Counter[tuple[DropReason, int]] = Counter()
        self.level_of: dict[Item, int] = {}
        self.lost: list[tuple[Item, DropReason]] = []
        self.ran_here: list[Item] = []
        self.finished: list[Item] = []
        self.entered: list[Item] = []
        self.gate = Held()
        self.is_inside = False
        self.drops = Drops()
        self.bus = EventBus(
            policy=policy,
            queue_size=size,
            handler_reserve=reserve,
            priority_levels=top,
            workers=1,
            publish_timeout=0,
            on_drop=self.drops,
        )
        self.which: dict[Any, int] = {}
        self.here: list[Item] = []
        for count in (1, 2, 3):
            for index in range(count):
                self.which[self.bus.subscribe(str(count), self._handler(index))] = index

    def _handler(self, index: int) -> Any:
        publisher = threading.get_ident()

        def handler(event: Event) -> None:
            if threading.get_ident() == publisher or self.is_inside:
                self.here.append((event.data, index))
            else:
                self.entered.append((event.data, index))
                self.gate.hold()

        return handler

    # ---- what is done to both ----------------------------------------------------------------

    @rule(count=fan_outs, level=levels)
    def publish(self, count: int, level: int) -> None:
        """Publish one event: the result and the evicted deliveries are those of the model."""
        self._publish(count, level, lambda call: call())

    @precondition(lambda self: self.running is not None)
    @rule(count=fan_outs, level=levels)
    def publish_in_the_handler(self, count: int, level: int) -> None:
        """The same from the running handler, which has the reserve in addition."""
        self.is_inside = True
        self._publish(count, level, self.gate.call)
        self.is_inside = False

    def _publish(self, count: int, level: int, make: Callable[[Callable[[], bool]], bool]) -> None:
        level = min(level, self.top)
        outcome = self._offer(count, level)
        event, timeout = Event(str(count), self.number), self._timeout()
        raised = False
        try:
            accepted = make(lambda: self.bus.publish(event, priority=level, timeout=timeout))
        except QueueFull:
            raised, accepted = True, False
        assert accepted == (outcome != REFUSED)
        assert raised == (outcome == REFUSED and self.policy in RAISING)
        self._follow()

    @precondition(lambda self: self.running is not None)
    @rule(counts=st.lists(fan_outs, max_size=6), level=levels)
    def publish_many(self, counts: list[int], level: int) -> None:
        """Publish a batch: as many are accepted, and a raised refusal ends it at the same event."""
        level = min(level, self.top)
        events, accepted, refused = [], 0, False
        for count in counts:
            if refused and self.policy in RAISING:
                events.append(Event(str(count), "never tried"))
                continue
            outcome = self._offer(count, level)
            events.append(Event(str(count), self.number))
            refused = outcome == REFUSED
            accepted += not refused
        raised = False
        try:
            number = self.bus.publish_many(events, priority=level, timeout=self._timeout())
        except QueueFull as full:
            raised, number = True, full.accepted
        assert number == accepted
        assert raised == (refused and self.policy in RAISING)
        self._follow()

    @precondition(lambda self: self.running is not None)
    @rule()
    def finish(self) -> None:
        """Let the handler return: the worker takes what the model takes."""
        assert self.running is not None
        self.finished.append(self.running)
        self.running = None
        self.gate.let_through()
        if not self.model.queued:
            assert self.bus.flush(HANG)
        self._follow()

    def _timeout(self) -> float | None:
        return 0 if self.policy is BackpressurePolicy.BLOCK else None

    def _offer(self, count: int, level: int) -> str:
        """Offer the next event to the model, and record the result."""
        self.number += 1
        items = [(self.number, index) for index in range(count)]
        self.level_of.update(dict.fromkeys(items, level))
        self.model, outcome, evicted = self.model.offer(
            self.policy, level, items, in_handler=self.is_inside
        )
        gone = [(item, DropReason.EVICTED) for item in evicted]
        if outcome == REFUSED:
            gone = [(item, DropReason.REFUSED) for item in items]
        if outcome == RUN:
            self.ran_here += items
        self.lost += gone
        self.reasons.update((reason, self.level_of[item]) for item, reason in gone)
        return outcome

    def _follow(self) -> None:
        """Wait until the worker is where it must go, and check that."""
        if self.running is None and self.model.queued:
            self.model, self.running = self.model.take()
            self.gate.wait_entered()
            assert self.entered[-1] == self.running

    # ---- what then holds -----------------------------------------------------------------

    @invariant()
    def the_same_were_lost_and_handled(self) -> None:
        """In the same order, for the same reasons, in the same threads."""
        lost = [((e.data, self.which[s]), reason) for e, s, reason in self.drops]
        assert lost == self.lost
        assert self.here == self.ran_here
        in_worker = [*self.finished, *([] if self.running is None else [self.running])]
        assert self.entered == in_worker

    @invariant()
    def the_books_agree(self) -> None:
        """Level by level, and reason by reason."""
        stats = self.bus.stats()
        assert_balance(stats)
        waiting = Counter(one.level for one in self.model.queued)
        for level in range(1, self.top + 1):
            counts = stats.by_level[level]
            assert counts.queued == stats.queue_depth[level] == waiting[level]
            for reason in DropReason:
                assert stats.dropped_by[reason][level] == self.reasons[reason, level]
            assert counts.published == sum(at == level for at in self.level_of.values())
        assert stats.reserve_used == max(0, len(self.model.queued) - self.model.capacity)
        assert stats.running == (self.running is not None)
        assert stats.processed == len(self.finished) + len(self.ran_here)

    def teardown(self) -> None:
        """Stop at once: exactly what the model still has is dropped."""
        if not hasattr(self, "bus"):
            return
        before = len(self.drops)
        try:
            at_rest = self.bus.stop(drain=False, timeout=0)
            assert not (at_rest and self.running is not None)
            left = {((e.data, self.which[s]), reason) for e, s, reason in self.drops[before:]}
            expected = {(one.item, DropReason.SHUTDOWN) for one in self.model.queued}
            assert left == expected
        finally:
            self.gate.open()
            self.bus.stop(timeout=HANG)
        assert self.bus.stats().running == 0


TestBus = BusMachine.TestCase
TestBus.settings = settings(
    max_examples=5000 if LONG else 100,
    stateful_step_count=60 if LONG else 30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
