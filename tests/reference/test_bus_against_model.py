"""Whatever is published to a bus in whatever order: it does what the plain Python queue does.

The one worker is let through delivery by delivery, so that nothing is left to chance.
`BRUMMERBUS_LONG=1` in the environment makes it a long test.
"""

import os
import threading
from collections import Counter
from typing import Any

from conftest import HANG, Drops, Gate, assert_balance
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from model import REFUSED, RUN, Queue

from brummerbus import BackpressurePolicy, DropReason, Event, EventBus, QueueFull

LONG = os.environ.get("BRUMMERBUS_LONG") == "1"
POLICIES = list(BackpressurePolicy)
RAISING = (BackpressurePolicy.REJECT, BackpressurePolicy.BLOCK)
LEVELS = 8

levels = st.integers(1, LEVELS)
fan_outs = st.integers(1, 3)

Item = tuple[int, int]  # the event's number, and which of its handlers


class BusMachine(RuleBasedStateMachine):
    """A bus and the model of it, side by side."""

    @initialize(policy=st.sampled_from(POLICIES), size=st.integers(1, 6), top=levels)
    def begin(self, policy: BackpressurePolicy, size: int, top: int) -> None:
        """Make a bus whose events of type `n` have n handlers."""
        self.policy, self.top = policy, top
        self.model = Queue(size)
        self.running: Item | None = None
        self.number = 0
        self.reasons: Counter[tuple[DropReason, int]] = Counter()
        self.level_of: dict[Item, int] = {}
        self.lost: list[tuple[Item, DropReason]] = []
        self.ran_here: list[Item] = []
        self.finished: list[Item] = []
        self.entered: list[Item] = []
        self.gate = Gate()
        self.drops = Drops()
        self.bus = EventBus(
            policy=policy,
            queue_size=size,
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
            if threading.get_ident() == publisher:
                self.here.append((event.data, index))
            else:
                self.entered.append((event.data, index))
                self.gate(event)

        return handler

    # ---- what is done to both ----------------------------------------------------------------

    @rule(count=fan_outs, level=levels)
    def publish(self, count: int, level: int) -> None:
        """Publish one event: it ends as in the model, and the same deliveries give way."""
        level = min(level, self.top)
        outcome = self._offer(count, level)
        raised = False
        try:
            accepted = self.bus.publish(
                Event(str(count), self.number), priority=level, timeout=self._timeout()
            )
        except QueueFull:
            raised, accepted = True, False
        assert accepted == (outcome != REFUSED)
        assert raised == (outcome == REFUSED and self.policy in RAISING)
        self._follow()

    @precondition(lambda self: self.running is not None)
    @rule(counts=st.lists(fan_outs, max_size=6), level=levels)
    def publish_many(self, counts: list[int], level: int) -> None:
        """Publish a batch: as many are accepted, and a loud refusal ends it where it should."""
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
        """Offer the next event to the model, and note what it means."""
        self.number += 1
        items = [(self.number, index) for index in range(count)]
        self.level_of.update(dict.fromkeys(items, level))
        self.model, outcome, evicted = self.model.offer(self.policy, level, items)
        gone = [(item, DropReason.EVICTED) for item in evicted]
        if outcome == REFUSED:
            gone = [(item, DropReason.REFUSED) for item in items]
        if outcome == RUN:
            self.ran_here += items
        self.lost += gone
        self.reasons.update((reason, self.level_of[item]) for item, reason in gone)
        return outcome

    def _follow(self) -> None:
        """Wait until the worker is where it goes, and check that it went there."""
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
    max_examples=5000 if LONG else 150,
    stateful_step_count=60 if LONG else 30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
