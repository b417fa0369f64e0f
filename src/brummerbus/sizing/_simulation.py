"""A discrete-event simulation of deliveries, workers and what they compute on.

Deliveries arrive, queue for a worker by level and in order of arrival, are blocked for a while
and then compute. What they compute on is one of two things.

- Under a GIL, one server that threads hold in turns. A thread that wants it waits in line; the
  holder gives it up when it blocks or ends, or when its turn is over and another thread waits: a
  switch interval after the first of them began to wait, or after the holder got it. A worker that
  is woken needs it before it can take a delivery, and so does the thread that publishes. Wake-ups
  are chained, as in the bus: one worker is woken at a time, and wakes the next when it takes.
- Without one, the cores: first come, first served. A delivery is taken as soon as a worker is free.

The same script and number of workers give the same figures.
"""

import math
from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush, heapreplace
from typing import NamedTuple

LEFT_OUT = 0.1
"""Share of the deliveries at the beginning that is not counted, because the queue begins empty."""

SATURATED = 0.99
"""Share of the workers that is busy from which on the queue counts as growing without an end."""

_PUBLISHER, _TAKER = -1, -2


class Script(NamedTuple):
    """What happens, the same for each number of workers; one item for each delivery, in seconds."""

    due: Sequence[float]
    """When its event is to be published, rising; equal for those of one event and of one burst."""
    handler: Sequence[int]
    """The number of its handler."""
    level: Sequence[int]
    """Higher ones are taken first."""
    blocked: Sequence[float]
    compute: Sequence[float]
    servers: int = 1
    """How many deliveries can compute at the same time."""
    turn: float = 0.0
    """Seconds that a thread keeps the GIL while others want it; 0: there is none."""
    publishing: float = 0.0
    """Seconds of computing to publish one delivery; under a GIL only."""
    starvation: float = math.inf
    """Seconds in the queue after which a delivery is taken next, whatever its level."""


class Outcome(NamedTuple):
    """What came of a script, without its beginning; times in seconds."""

    waits: list[float]
    """In the queue, sorted."""
    busy: float
    """Share of the workers that was busy on average."""
    walls: list[float]
    """How long each delivery was handled, in the script's order."""

    @property
    def saturated(self) -> bool:
        """Whether the workers are too busy for the queue to have an end."""
        return self.busy >= SATURATED

    @property
    def mean(self) -> float:
        """The mean wait."""
        return math.fsum(self.waits) / len(self.waits)

    def quantile(self, share: float) -> float:
        """Return the wait that a share of the deliveries does not exceed."""
        return self.waits[math.ceil(share * len(self.waits)) - 1]


def simulate(script: Script, workers: int) -> Outcome:
    """Return what a number of workers, at least 1, makes of a script.

    Takes about 0.6 us for each delivery if nothing is shared but the workers, else 6 us.
    """
    if len(set(script.level)) > 1 or any(script.compute) or script.publishing:
        run = (_UnderGil if script.turn else _OnCores)(script, workers)
        run.play()
        return _outcome(script, workers, run.taken, run.waited, run.ended)
    free = [0.0] * workers
    taken, ended = [], []
    for due, blocked in zip(script.due, script.blocked, strict=True):
        start = max(due, free[0])
        end = start + blocked
        heapreplace(free, end)
        taken.append(start)
        ended.append(end)
    waited = [start - due for start, due in zip(taken, script.due, strict=True)]
    return _outcome(script, workers, taken, waited, ended)


def _outcome(
    script: Script, workers: int, taken: list[float], waited: list[float], ended: list[float]
) -> Outcome:
    """Return what is counted; workers are busy from the first delivery of it to the last."""
    first = int(len(taken) * LEFT_OUT)
    walls = [end - start for start, end in zip(taken[first:], ended[first:], strict=True)]
    began, end = script.due[first], script.due[-1]
    late = math.fsum(after - end for after in ended if after > end)
    late -= math.fsum(start - end for start in taken[first:] if start > end)
    early = math.fsum(after - began for after in ended[:first] if after > began)
    busy = math.fsum(walls) + early - late
    span = workers * (end - began)
    return Outcome(sorted(waited[first:]), min(1.0, busy / span) if span else 1.0, walls)


class _Queue:
    """Queued deliveries by level."""

    def __init__(self, script: Script, accepted: list[float]) -> None:
        levels = sorted(set(script.level), reverse=True)
        self.place = {level: place for place, level in enumerate(levels)}
        self.lines: list[deque[int]] = [deque() for _ in levels]
        self.level = script.level
        self.accepted = accepted
        self.starvation = script.starvation
        self.length = 0

    def put(self, delivery: int) -> None:
        self.lines[self.place[self.level[delivery]]].append(delivery)
        self.length += 1

    def take(self, now: float) -> int:
        """Take the head of the highest level, or the one that has starved for the longest."""
        self.length -= 1
        if len(self.lines) == 1:
            return self.lines[0].popleft()
        heads = [line for line in self.lines if line]
        oldest = min(heads, key=lambda line: self.accepted[line[0]])
        starved = now - self.accepted[oldest[0]] > self.starvation
        return (oldest if starved else heads[0]).popleft()


class _Run:
    """What the two kinds of computing have in common; times of what never happens are infinite."""

    def __init__(self, script: Script, workers: int) -> None:
        count = len(script.due)
        self.script = script
        self.left = list(script.compute)
        self.taken = [0.0] * count
        self.waited = [0.0] * count
        self.ended = [0.0] * count
        self.accepted = list(script.due)
        self.queue = _Queue(script, self.accepted)
        self.unblocked = [(math.inf, -1)]
        self.idle = workers
        self.open = count
        self.next = 0
        """The first delivery that is not published."""
        self.due = script.due[0]
        """When the publisher acts next."""
        self.end = math.inf
        """When something changes about who computes."""

    def play(self) -> None:
        """Go from one event to the next until no delivery is left."""
        unblocked = self.unblocked
        while self.open:
            if self.end <= self.due and self.end <= unblocked[0][0]:
                self.computed(self.end)
            elif unblocked[0][0] <= self.due:
                self.compute(*heappop(unblocked))
            else:
                self.publish(self.due)

    def begin(self, delivery: int, now: float) -> bool:
        """Let a worker take a delivery; return whether that is blocked first."""
        self.taken[delivery] = now
        self.waited[delivery] = now - self.accepted[delivery]
        blocked = self.script.blocked[delivery]
        if blocked:
            heappush(self.unblocked, (now + blocked, delivery))
        return blocked > 0

    def finish(self, delivery: int, now: float) -> None:
        self.ended[delivery] = now
        self.open -= 1

    def batch(self) -> int:
        """Return the end of the deliveries that are published next, together."""
        due, place = self.script.due, self.next + 1
        while place < len(due) and due[place] == due[self.next]:
            place += 1
        return place

    def accept(self, end: int, now: float) -> None:
        """Queue what is published up to `end`, and say when the next is due."""
        for delivery in range(self.next, end):
            self.accepted[delivery] = now
            self.queue.put(delivery)
        self.next = end
        self.due = max(now, self.script.due[end]) if end < len(self.script.due) else math.inf

    def publish(self, now: float) -> None:
        raise NotImplementedError

    def compute(self, now: float, delivery: int) -> None:
        """Let a delivery that is no longer blocked compute."""
        raise NotImplementedError

    def computed(self, now: float) -> None:
        """Let who computes end, or give way."""
        raise NotImplementedError


class _UnderGil(_Run):
    """One server, in turns."""

    def __init__(self, script: Script, workers: int) -> None:
        super().__init__(script, workers)
        self.line: deque[int] = deque()
        """Deliveries that want the GIL, a worker that was woken, and the publisher."""
        self.holder: int | None = None
        self.done = math.inf
        """When the holder has computed all it has to."""
        self.unpublished = 0.0
        """Seconds that the publisher has yet to compute."""
        self.waking = False

    def publish(self, now: float) -> None:
        self.due = math.inf
        self.unpublished = (self.batch() - self.next) * self.script.publishing
        self.want(_PUBLISHER, now)

    def compute(self, now: float, delivery: int) -> None:
        self.want(delivery, now)

    def want(self, thread: int, now: float) -> None:
        self.line.append(thread)
        if self.holder is None:
            self.hand_over(now)
        elif len(self.line) == 1:
            self.end = min(self.done, now + self.script.turn)

    def hand_over(self, now: float) -> None:
        """Give the GIL to the first in line that keeps it."""
        self.holder = None
        self.end = math.inf
        while self.line and self.holder is None:
            thread = self.line.popleft()
            if thread == _PUBLISHER:
                self.hold(thread, now + self.unpublished, now)
            elif thread != _TAKER:
                self.hold(thread, now + self.left[thread], now)
            else:
                self.waking = False
                if self.queue.length:
                    self.idle -= 1
                    self.take(now)

    def hold(self, thread: int, done: float, now: float) -> None:
        self.holder = thread
        self.done = done
        self.end = min(done, now + self.script.turn) if self.line else done

    def take(self, now: float) -> None:
        """Let the worker that has the GIL take; it keeps that unless it is blocked first."""
        delivery = self.queue.take(now)
        self.wake()
        if not self.begin(delivery, now):
            self.hold(delivery, now + self.left[delivery], now)

    def wake(self) -> None:
        if self.queue.length and self.idle and not self.waking:
            self.waking = True
            self.line.append(_TAKER)

    def computed(self, now: float) -> None:
        thread = self.holder
        assert thread is not None
        if now < self.done:
            if thread == _PUBLISHER:
                self.unpublished = self.done - now
            else:
                self.left[thread] = self.done - now
            self.line.append(thread)
        elif thread == _PUBLISHER:
            self.accept(self.batch(), now)
            self.wake()
        else:
            self.finish(thread, now)
            self.holder = None
            if self.queue.length:
                self.take(now)
                if self.holder is not None:
                    return
            else:
                self.idle += 1
        self.hand_over(now)


class _OnCores(_Run):
    """Several servers, first come first served."""

    def __init__(self, script: Script, workers: int) -> None:
        super().__init__(script, workers)
        self.line: deque[int] = deque()
        self.computing: list[tuple[float, int]] = []

    def publish(self, now: float) -> None:
        self.accept(self.batch(), now)
        while self.idle and self.queue.length:
            self.idle -= 1
            self.take(now)

    def take(self, now: float) -> None:
        delivery = self.queue.take(now)
        if not self.begin(delivery, now):
            self.compute(now, delivery)

    def compute(self, now: float, delivery: int) -> None:
        if len(self.computing) < self.script.servers:
            heappush(self.computing, (now + self.left[delivery], delivery))
            self.end = self.computing[0][0]
        else:
            self.line.append(delivery)

    def computed(self, now: float) -> None:
        _, delivery = heappop(self.computing)
        self.finish(delivery, now)
        if self.line:
            self.compute(now, self.line.popleft())
        if self.queue.length:
            self.take(now)
        else:
            self.idle += 1
        self.end = self.computing[0][0] if self.computing else math.inf
