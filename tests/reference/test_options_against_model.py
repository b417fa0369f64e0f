"""Whatever is published to subscriptions with options: the bus does what the plain Python one does.

Handlers are let go one by one, and so are retries, whose timer is taken away. What remains are the
workers, which take at once whatever they may.
`BRUMMERBUS_LONG=1` in the environment makes it a long test.
"""

import os
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from options_model import Delivery, Kind, Model

from brummerbus import BackpressurePolicy, DropReason, Event, EventBus, Outcome, QueueFull
from helpers.checks import assert_balance
from helpers.handlers import Drops
from helpers.internals import queue_of
from helpers.waiting import HANG, poll

pytestmark = pytest.mark.slow

LONG = os.environ.get("BRUMMERBUS_LONG") == "1"
POLICIES = [
    BackpressurePolicy.DROP_OLDEST,
    BackpressurePolicy.DROP_NEWEST,
    BackpressurePolicy.DROP_LOWEST,
    BackpressurePolicy.REJECT,
]
KINDS = {
    kind.name: kind
    for kind in (
        Kind("plain"),
        Kind("keyed", keyed=True),
        Kind("limited", limit=1),
        Kind("two", limit=2, retries=1),
        Kind("batched", batch=2),
        Kind("keyed_batch", keyed=True, batch=3, retries=2),
        Kind("retried", keyed=True, retries=1, limit=1),
        Kind("once", once=True),
    )
}
LEVELS = 3
keys = st.integers(0, 2)
levels = st.integers(1, LEVELS)

Item = tuple[int, str]  # the event's number, and the kind


class Call:
    """A handler that has been entered, and waits for what it shall do."""

    def __init__(self, items: list[Item]) -> None:
        self.items = items
        self.fails = False
        self.may_end = threading.Event()

    def wait(self) -> None:
        """Return, or raise, once it may."""
        assert self.may_end.wait(HANG), "the handler was never let go"
        if self.fails:
            raise ValueError


class OptionsMachine(RuleBasedStateMachine):
    """A bus and the model of it, side by side."""

    @initialize(
        policy=st.sampled_from(POLICIES),
        size=st.integers(1, 7),
        workers=st.integers(1, 3),
    )
    def begin(self, policy: BackpressurePolicy, size: int, workers: int) -> None:
        """Make a bus with a subscription of each kind, which events name in their type."""
        self.model = Model(size, workers, policy)
        self.number = 0
        self.running: list[Call] = []
        self.entered: list[Call] = []
        self.over = False
        self.timers: list[Callable[[], object]] = []
        self.delayed: list[tuple[Delivery, Callable[[], object]]] = []
        self.drops = Drops()
        self.outcomes: list[Outcome] = []
        self.accepted: set[int] = set()
        self.barriers: list[int] = []
        self.patch = mock.patch(
            "brummerbus._core.engine.Engine._call_at",
            staticmethod(lambda due, action: self.timers.append(action)),
        )
        self.patch.start()
        self.bus = EventBus(
            policy=policy,
            queue_size=size,
            priority_levels=LEVELS,
            workers=workers,
            publish_timeout=0,
            on_drop=self.drops,
            on_error=lambda *_: None,
        )
        self.kind_of: dict[Any, str] = {}
        for kind in KINDS.values():
            options: dict[str, Any] = {"retries": kind.retries, "once": kind.once}
            if kind.keyed:
                options["key"] = lambda event: event.data[1]
            if kind.limit:
                options["max_concurrency"] = kind.limit
            if kind.batch > 1:
                options["batch"] = kind.batch
            handler = self._handler(kind)
            # A glob each: an event goes to all kinds that are named in its type.
            self.kind_of[self.bus.subscribe(f"*|{kind.name}|*", handler, **options)] = kind.name

    def _handler(self, kind: Kind) -> Callable[[Any], None]:
        def handler(given: Any) -> None:
            events = given if kind.batch > 1 else [given]
            call = Call([(event.data[0], kind.name) for event in events])
            self.entered.append(call)
            if not self.over:
                call.wait()

        return handler

    # ---- what is done to both ----------------------------------------------------------------

    @rule(
        names=st.sets(st.sampled_from(sorted(KINDS)), min_size=1, max_size=3),
        level=levels,
        key=keys,
        expires=st.booleans(),
        tells=st.booleans(),
    )
    def publish(self, names: set[str], level: int, key: int, expires: bool, tells: bool) -> None:
        """Publish an event to some of the subscriptions."""
        self.number += 1
        kinds = [kind for kind in KINDS.values() if kind.name in names]
        options: dict[str, Any] = {"priority": level}
        expires = expires and tells  # seldom
        if expires:
            options["expires"] = 1e-9
        options["on_done"] = self.outcomes.append
        event_type = "|".join(["", *(kind.name for kind in kinds), ""])
        event = Event(f"*{event_type}*", (self.number, key))
        accepted = self.model.publish(self.number, level, kinds, key, expires=expires)
        try:
            assert self.bus.publish(event, **options) == accepted
        except QueueFull:
            assert not accepted
            assert self.model.policy is BackpressurePolicy.REJECT
        else:
            assert accepted or self.model.policy is not BackpressurePolicy.REJECT
        self._follow()

    @precondition(lambda self: self.model.calls)
    @rule(data=st.data(), fails=st.booleans())
    def end(self, data: st.DataObject, fails: bool) -> None:
        """Let a handler return, or raise."""
        which = data.draw(st.integers(0, len(self.model.calls) - 1))
        items = _items(self.model.calls[which])
        again = self.model.end(self.model.calls[which], fails=fails)
        call = next(call for call in self.running if call.items == items)
        self.running.remove(call)
        call.fails = fails
        before = len(self.delayed) + self.released
        call.may_end.set()
        poll(lambda: len(self.timers) == before + len(again))
        self.delayed += zip(again, self.timers[before:], strict=True)
        self._follow()

    released = 0

    @precondition(lambda self: self.delayed)
    @rule(data=st.data())
    def time_passes(self, data: st.DataObject) -> None:
        """Let the time of a retry come, in any order; of one that was dropped, too."""
        which = data.draw(st.integers(0, len(self.delayed) - 1))
        delivery, action = self.delayed.pop(which)
        self.released += 1
        self.timers.remove(action)
        self.timers.insert(0, action)  # those that were released come first
        if delivery in self.model.queued:
            delivery.is_delayed = False
        action()
        self._follow()

    @rule()
    def begin_barrier(self) -> None:
        """Note what has been accepted so far."""
        barrier = queue_of(self.bus).barrier()
        assert barrier == self.model.sequence
        self.barriers.append(barrier)

    def _follow(self) -> None:
        """Wait until the workers are where they go, and check that they went there."""
        before = [_items(call) for call in self.model.calls]
        self.model.take()
        now = [_items(call) for call in self.model.calls]
        expected = Counter(map(tuple, now)) - Counter(map(tuple, before))
        poll(lambda: len(self.entered) >= expected.total())
        new, self.entered = self.entered, []
        assert Counter(tuple(call.items) for call in new) == expected
        self.running += new
        poll(lambda: self._stats().dropped == len(self.model.dropped) == len(self.drops))

    def _stats(self) -> Any:
        return self.bus.stats()

    # ---- what then holds -----------------------------------------------------------------

    @invariant()
    def the_same_were_dropped(self) -> None:
        """For the same reasons."""
        dropped = [((e.data[0], self.kind_of[s]), reason) for e, s, reason in self.drops]
        expected = [((one.event, one.kind.name), reason) for one, reason in self.model.dropped]
        assert Counter(dropped) == Counter(expected)

    @invariant()
    def the_books_agree(self) -> None:
        """Level by level, and reason by reason."""
        model = self.model
        ended = len(model.handled) + len(model.failed)
        poll(lambda: self._stats().processed == ended)
        stats = self._stats()
        assert_balance(stats)
        waiting = Counter(one.level for one in model.queued)
        dropped = Counter((reason, one.level) for one, reason in model.dropped)
        for level in range(1, LEVELS + 1):
            assert stats.by_level[level].queued == stats.queue_depth[level] == waiting[level]
            for reason in DropReason:
                assert stats.dropped_by[reason][level] == dropped[reason, level]
        assert stats.running == sum(map(len, model.calls))
        assert (stats.failed, stats.retried) == (len(model.failed), model.retried)

    @invariant()
    def each_event_that_is_over_has_an_outcome(self) -> None:
        """One, with all of its deliveries; those that are not over have none."""
        ends: Counter[int] = Counter()
        handled = Counter(one.event for one in self.model.handled)
        failed = Counter(one.event for one in self.model.failed)
        dropped = Counter(one.event for one, _ in self.model.dropped)
        ends.update(handled)
        ends.update(failed)
        ends.update(dropped)
        open_ones = {one.event for one in self.model.queued}
        open_ones |= {one.event for call in self.model.calls for one in call}
        over = set(range(1, self.number + 1)) - open_ones
        poll(lambda: len(self.outcomes) >= len(over))
        assert Counter(o.event.data[0] for o in self.outcomes) == Counter(over)
        for outcome in self.outcomes:
            number = outcome.event.data[0]
            assert outcome.handled == handled[number]
            assert len(outcome.failed) == failed[number]
            assert len(outcome.dropped) == dropped[number]

    @invariant()
    def barriers_have_ended_when_all_before_them_has(self) -> None:
        """Each of them."""
        for barrier in self.barriers:
            ended = self.model.has_ended(barrier)
            # Those that wait for a hook of a worker have ended a moment later.
            assert (
                queue_of(self.bus).wait_barrier(barrier, int(HANG * 1e9) if ended else 0) == ended
            )

    @invariant()
    def keys_and_limits_hold(self) -> None:
        """In what runs, whatever the model says."""
        of_kind = Counter(call.items[0][1] for call in self.running)
        for name, kind in KINDS.items():
            assert not kind.limit or of_kind[name] <= kind.limit
        assert all(len(call.items) <= KINDS[call.items[0][1]].batch for call in self.running)

    def teardown(self) -> None:
        """Stop at once: exactly what the model still has is dropped."""
        if not hasattr(self, "bus"):
            return
        before = len(self.drops)
        try:
            self.over = True
            self.bus.stop(drain=False, timeout=0)
            left = {((e.data[0], self.kind_of[s]), reason) for e, s, reason in self.drops[before:]}
            shut = DropReason.SHUTDOWN
            assert left == {((one.event, one.kind.name), shut) for one in self.model.queued}
        finally:
            for call in (*self.running, *self.entered):
                call.may_end.set()
            self.bus.stop(timeout=HANG)
            self.patch.stop()
        assert self.bus.stats().running == 0


def _items(call: list[Delivery]) -> list[Item]:
    return [(one.event, one.kind.name) for one in call]


TestOptions = OptionsMachine.TestCase
TestOptions.settings = settings(
    max_examples=5000 if LONG else 100,
    stateful_step_count=60 if LONG else 30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
