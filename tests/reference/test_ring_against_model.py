"""The ring alone, below the bus: what its C calls answer is what the plain Python queue does."""

import os
from array import array
from collections import Counter

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from model import ACCEPTED, REFUSED, RUN, Queue

from brummerbus import BackpressurePolicy
from brummerbus import ring as c

LONG = os.environ.get("BRUMMERBUS_LONG") == "1"
MODES = {
    BackpressurePolicy.DROP_OLDEST: c.EVICT_OLDEST,
    BackpressurePolicy.DROP_LOWEST: c.EVICT_LOWEST,
    BackpressurePolicy.REJECT: c.REFUSE,
    BackpressurePolicy.CALLER_RUNS: c.CALLER_RUNS,
}
WORKERS = 2

levels = st.integers(1, c.lib.BB_LEVELS)
fan_outs = st.integers(1, 3)
workers = st.integers(0, WORKERS - 1)


class RingMachine(RuleBasedStateMachine):
    """A ring and the model of it; workers are asked only while there is work."""

    @initialize(size=st.integers(1, 6), top=levels, monitoring=st.booleans())
    def begin(self, size: int, top: int, *, monitoring: bool) -> None:
        """Make a ring with a route for each level and number of deliveries."""
        self.ring = c.Ring(size, top, monitoring=monitoring, starvation_after=None)
        self.model = Queue(size)
        self.next = {
            (level, count): self.ring.route(0, level, count)
            for level in range(1, top + 1)
            for count in (1, 2, 3)
        }
        added = self.ring.resize(WORKERS)
        assert added is not None
        self.workers = added
        self.open = [0] * WORKERS
        self.top = top
        self.run_here: list[int] = []
        self.counted: Counter[str] = Counter()

    def _draw(self, level: int, count: int) -> tuple[int, int]:
        level = min(level, self.top)
        handle = self.next[level, count]
        self.next[level, count] += count
        return level, handle

    # ---- what is done to both ----------------------------------------------------------------

    @rule(level=levels, count=fan_outs)
    def push(self, level: int, count: int) -> None:
        """Push: accepted if there is room, else nothing happens and nothing is counted."""
        level, handle = self._draw(level, count)
        items = range(handle, handle + count)
        self.model, outcome, _ = self.model.offer(BackpressurePolicy.REJECT, level, items)
        assert c.push(handle) == (c.ACCEPTED if outcome == ACCEPTED else c.FULL)
        self.counted["published"] += count * (outcome == ACCEPTED)

    @rule(level=levels, counts=st.lists(fan_outs, max_size=5))
    def push_many(self, level: int, counts: list[int]) -> None:
        """Push several: those before the first that finds no room."""
        handles, accepted, full = array("q"), 0, False
        for count in counts:
            at, handle = self._draw(level, count)
            handles.append(handle)
            if not full:
                items = range(handle, handle + count)
                self.model, outcome, _ = self.model.offer(BackpressurePolicy.REJECT, at, items)
                full = outcome == REFUSED
                accepted += not full
                self.counted["published"] += count * (not full)
        assert self.ring.push_many(handles) == accepted

    @rule(policy=st.sampled_from(list(MODES)), level=levels, count=fan_outs)
    def offer(self, policy: BackpressurePolicy, level: int, count: int) -> None:
        """Decide by a policy: the answer, who gives way, and that the first loss is called so."""
        level, handle = self._draw(level, count)
        items = range(handle, handle + count)
        self.model, outcome, evicted = self.model.offer(policy, level, items)
        out = c.buffer(count)
        status = self.ring.offer(handle, MODES[policy], out)
        lost = outcome == REFUSED or bool(evicted)
        expected = {REFUSED: c.REFUSED, RUN: c.RUN}.get(outcome, c.ACCEPTED)
        expected = c.EVICTED if evicted else expected
        assert status % c.FIRST == expected
        first = status >= c.FIRST
        assert first == lost if not self.counted["dropped"] else not first or lost
        gone = list(out)[: len(evicted) + 1] if evicted else []
        assert gone == ([*evicted, 0] if evicted else [])
        self.counted["published"] += count
        self.counted["dropped"] += len(evicted) + count * (outcome == REFUSED)
        if outcome == RUN:
            self.run_here += [handle] * count

    @precondition(lambda self: self.model.queued)
    @rule(which=workers)
    def take(self, which: int) -> None:
        """A worker asks: what it had open is finished, and it gets what the model says."""
        self.model, item = self.model.take()
        assert c.take(self.workers[which]) == item
        self.counted["processed"] += bool(self.open[which])
        self.open[which] = item

    @rule(which=workers, raised=st.booleans())
    def done(self, which: int, *, raised: bool) -> None:
        """A worker finishes without asking for more."""
        if raised:
            c.failed(self.workers[which])
        c.done(self.workers[which])
        finished = bool(self.open[which])
        self.counted["processed"] += finished
        self.counted["failed"] += finished and raised
        self.open[which] = 0

    @precondition(lambda self: self.run_here)
    @rule(raised=st.booleans())
    def caller_done(self, *, raised: bool) -> None:
        """The publisher finishes one of the deliveries that it runs itself."""
        c.caller_done(self.run_here.pop(0), raised)
        self.counted["processed"] += 1
        self.counted["failed"] += raised

    @precondition(lambda self: self.model.queued)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        """What is queued stays; what was never offered is not known."""
        queued = data.draw(st.sampled_from(self.model.queued))
        assert c.withdraw(queued.item) in (0, 1)  # 1: its event's first delivery has been finished
        _, handle = self._draw(1, 1)
        assert c.withdraw(handle) == 1

    # ---- what then holds -----------------------------------------------------------------

    @invariant()
    def the_books_agree(self) -> None:
        """Each count, and the depth of each level."""
        snapshot = self.ring.snapshot(1, WORKERS)
        running = sum(map(bool, self.open)) + len(self.run_here)
        assert snapshot.total == c.Counts(
            published=self.counted["published"],
            processed=self.counted["processed"],
            failed=self.counted["failed"],
            dropped=self.counted["dropped"],
            queued=len(self.model.queued),
            running=running,
        )
        depths = Counter(one.level for one in self.model.queued)
        assert [level.queued for level in snapshot.levels] == [
            depths[level] for level in range(1, self.top + 1)
        ]
        assert self.ring.depth() == len(self.model.queued)
        assert [c.opened(worker) for worker in self.workers] == self.open

    def teardown(self) -> None:
        """Shut it: what the ring still holds is what the model holds."""
        if not hasattr(self, "ring"):
            return
        self.ring.close(drain=False, deadline=0)
        out = c.buffer(8)
        assert set(out[0 : self.ring.discard(out)]) == {one.item for one in self.model.queued}
        assert self.ring.discard(out) == 0


TestRing = RingMachine.TestCase
TestRing.settings = settings(
    max_examples=10_000 if LONG else 200,
    stateful_step_count=80 if LONG else 30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
