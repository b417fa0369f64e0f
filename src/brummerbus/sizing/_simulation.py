"""A discrete-event simulation of deliveries, workers and compute servers.

Deliveries arrive, are queued by level and in order of arrival, are blocked for a while after a
worker has taken them, and then compute. The compute servers are one of two things.

- Under a GIL, one server. Threads that request it get it in order. The holder releases it when it
  blocks or ends, or after a switch interval if another thread requests it; the interval begins
  with the first request, or when the holder got the GIL. A worker that is woken needs the GIL
  before it can take a delivery, and so does the publisher. Workers are woken as in the bus: one at
  a time, which wakes the next when it takes.
- Without a GIL, the cores: first come, first served. An idle worker takes immediately.

A script and a number of workers always give the same outcome.
"""

import math
from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush, heapreplace
from typing import NamedTuple

LEFT_OUT = 0.1
"""Share of the deliveries, the first ones, that is not counted: the queue begins empty."""

SATURATED = 0.99
"""Utilisation of the workers from which on the queue is considered to grow without bound."""

_PUBLISHER, _TAKER = -1, -2


class Script(NamedTuple):
    """Arrivals and handling times; sequences have one item per delivery, times are in seconds."""

    due: Sequence[float]
    """When its event is to be published, ascending; equal within an event and within a burst."""
    handler: Sequence[int]
    """The number of its handler."""
    level: Sequence[int]
    """Higher ones are taken first."""
    blocked: Sequence[float]
    compute: Sequence[float]
    servers: int = 1
    """How many deliveries can compute at the same time: 1 under a GIL, else the cores."""
    turn: float = 0.0
    """The switch interval of the GIL in seconds; 0: there is no GIL."""
    publishing: float = 0.0
    """CPU seconds of the publisher per delivery; used under a GIL only."""
    starvation: float = math.inf
    """Seconds in the queue after which a delivery is taken next, regardless of its level."""


class Outcome(NamedTuple):
    """The result of a simulation, without its beginning; times in seconds."""

    waits: list[float]
    """Queue waits, ascending."""
    busy: float
    """Mean utilisation of the workers, 0 to 1."""
    walls: list[float]
    """Handling times, in the order of the script."""

    @property
    def saturated(self) -> bool:
        """Whether the queue is considered to grow without bound."""
        return self.busy >= SATURATED

    @property
    def mean(self) -> float:
        """The mean wait."""
        return math.fsum(self.waits) / len(self.waits)

    def quantile(self, share: float) -> float:
        """Return the queue wait that a share of the deliveries, above 0, does not exceed."""
        return self.waits[math.ceil(share * len(self.waits)) - 1]


def simulate(script: Script, workers: int) -> Outcome:
    """Run a script, which must not be empty, with a number of workers, at least 1.

    Costs about 0.6 us per delivery if nothing computes and there is one level, else 2 to 4 us,
    and 150 bytes.
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
    """Leave out the beginning; utilisation is the handling time of what arrives in the rest."""
    first = int(len(taken) * LEFT_OUT)
    walls = [end - start for start, end in zip(taken[first:], ended[first:], strict=True)]
    began, end = script.due[first], script.due[-1]
    span = workers * (end - began or end)  # a single burst: the time before it
    busy = min(1.0, math.fsum(walls) / span) if span else 1.0
    return Outcome(sorted(waited[first:]), busy, walls)


class _Queue:
    """Queued deliveries by level."""

    def __init__(self, script: Script, accepted: list[float]) -> None:
        levels = sorted(set(script.level), reverse=True)
        self.place = {level: place for place, level in enumerate(levels)}
        self.deliveries: list[deque[int]] = [deque() for _ in levels]
        self.level = script.level
        self.accepted = accepted
        self.starvation = script.starvation
        self.length = 0

    def put(self, delivery: int) -> None:
        self.deliveries[self.place[self.level[delivery]]].append(delivery)
        self.length += 1

    def take(self, now: float) -> int:
        """Remove the head of the highest level, or the oldest delivery if it starves."""
        self.length -= 1
        if len(self.deliveries) == 1:
            return self.deliveries[0].popleft()
        filled = [queued for queued in self.deliveries if queued]
        oldest = min(filled, key=lambda queued: self.accepted[queued[0]])
        starved = now - self.accepted[oldest[0]] > self.starvation
        return (oldest if starved else filled[0]).popleft()


class _Run:
    """One simulation; what both kinds of compute servers have in common."""

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
        """The first delivery that is not published yet."""
        self.due = script.due[0]
        """When the publisher requests to publish it; infinite while it does, and at the end."""
        self.end = math.inf
        """When a delivery has computed, or loses the GIL; infinite if nothing computes."""

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
        """Let a worker begin a delivery; return whether it is blocked first."""
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
        """Return the end of the deliveries that are published next, those due at the same time."""
        due, place = self.script.due, self.next + 1
        while place < len(due) and due[place] == due[self.next]:
            place += 1
        return place

    def accept(self, end: int, now: float) -> None:
        """Queue the deliveries up to `end`, and schedule the publisher again."""
        for delivery in range(self.next, end):
            self.accepted[delivery] = now
            self.queue.put(delivery)
        self.next = end
        self.due = max(now, self.script.due[end]) if end < len(self.script.due) else math.inf

    def publish(self, now: float) -> None:
        """Handle `due`."""
        raise NotImplementedError

    def compute(self, now: float, delivery: int) -> None:
        """Handle the end of a delivery's blocked time."""
        raise NotImplementedError

    def computed(self, now: float) -> None:
        """Handle `end`."""
        raise NotImplementedError


class _UnderGil(_Run):
    """One server, which threads get in the order of their requests."""

    def __init__(self, script: Script, workers: int) -> None:
        super().__init__(script, workers)
        self.requests: deque[int] = deque()
        """Deliveries, and perhaps the publisher and a worker that was woken."""
        self.holder: int | None = None
        self.done = math.inf
        """When the holder will have computed, unless it loses the GIL before."""
        self.unpublished = 0.0
        """Remaining CPU seconds of the publisher."""
        self.waking = False

    def publish(self, now: float) -> None:
        self.due = math.inf
        self.unpublished = (self.batch() - self.next) * self.script.publishing
        self.request(_PUBLISHER, now)

    def compute(self, now: float, delivery: int) -> None:
        self.request(delivery, now)

    def request(self, thread: int, now: float) -> None:
        self.requests.append(thread)
        if self.holder is None:
            self.hand_over(now)
        elif len(self.requests) == 1:
            self.end = min(self.done, now + self.script.turn)

    def hand_over(self, now: float) -> None:
        """Give the GIL to the first request that keeps it for a time."""
        self.holder = None
        self.end = math.inf
        while self.requests and self.holder is None:
            thread = self.requests.popleft()
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
        self.end = min(done, now + self.script.turn) if self.requests else done

    def take(self, now: float) -> None:
        """Let the worker that has the GIL take; it releases the GIL if it is blocked first."""
        delivery = self.queue.take(now)
        self.wake()
        if not self.begin(delivery, now):
            self.hold(delivery, now + self.left[delivery], now)

    def wake(self) -> None:
        if self.queue.length and self.idle and not self.waking:
            self.waking = True
            self.requests.append(_TAKER)

    def computed(self, now: float) -> None:
        thread = self.holder
        assert thread is not None
        if now < self.done:
            if thread == _PUBLISHER:
                self.unpublished = self.done - now
            else:
                self.left[thread] = self.done - now
            self.requests.append(thread)
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
    """Servers without preemption."""

    def __init__(self, script: Script, workers: int) -> None:
        super().__init__(script, workers)
        self.requests: deque[int] = deque()
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
            self.requests.append(delivery)

    def computed(self, now: float) -> None:
        _, delivery = heappop(self.computing)
        self.finish(delivery, now)
        if self.requests:
            self.compute(now, self.requests.popleft())
        if self.queue.length:
            self.take(now)
        else:
            self.idle += 1
        self.end = self.computing[0][0] if self.computing else math.inf
