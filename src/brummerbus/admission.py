"""What happens to an event for which the ring had no room: wait, help, and then the policy.

An outside publisher stands in line until its time-out. A worker that publishes must not wait,
because it may be what it waits for: it runs queued deliveries instead, each of which leaves room.
That nests, so it is bounded (`MAX_NESTING`); a worker at the bound whose policy lets nothing give
way has its event accepted beyond the capacity, up to a limit, and is refused only above that.
"""

from time import monotonic
from typing import NamedTuple

from brummerbus import ring as c
from brummerbus.backpressure import BackpressurePolicy, DropReason
from brummerbus.config import EventBusConfig
from brummerbus.deliveries import Deliveries
from brummerbus.reporting import Delivery

_MODES = {
    BackpressurePolicy.DROP_OLDEST: c.EVICT_OLDEST,
    BackpressurePolicy.DROP_NEWEST: c.REFUSE,
    BackpressurePolicy.DROP_LOWEST: c.EVICT_LOWEST,
    BackpressurePolicy.REJECT: c.REFUSE,
    BackpressurePolicy.BLOCK: c.REFUSE,  # after an explicit time-out
    BackpressurePolicy.CALLER_RUNS: c.CALLER_RUNS,
}


class Decision(NamedTuple):
    """How it ended: ACCEPTED, REFUSED, CLOSED or GONE, and what was lost on the way."""

    status: int
    lost: list[Delivery]
    reason: DropReason
    first_of_streak: bool


class Admission:
    """Admits events to the ring of one process, by the policy of its configuration."""

    def __init__(self, deliveries: Deliveries, config: EventBusConfig) -> None:
        self._deliveries = deliveries
        self._ring = deliveries.ring
        self._mode = _MODES[config.policy]
        self._blocks = config.policy is BackpressurePolicy.BLOCK
        self._timeout = float("inf") if self._blocks else config.publish_timeout

    def admit(self, handle: int, count: int, timeout: float | None) -> Decision:
        """Admit an event that `push` did not accept, whose deliveries are in the table."""
        mine = self._deliveries
        limit = self._timeout if timeout is None else timeout
        deadline = monotonic() + limit
        worker = mine.worker_here()
        fits = count <= self._ring.capacity
        status = c.FULL
        if fits and limit > 0:
            status = mine.help(worker, handle, deadline) if worker else self._wait(handle, deadline)
        if status == c.FULL or (status == c.CLOSED and mine.inside()):
            mode = self._mode
            at_bound = mine.nesting_here() >= c.MAX_NESTING - 1
            stuck = worker and self._blocks and fits and monotonic() < deadline
            if stuck or (at_bound and mode == c.CALLER_RUNS):
                mode = c.OVERDRAW
            return self._decide(handle, count, mode)
        if status != c.ACCEPTED:
            self.forget(handle, count)
        return Decision(status, [], DropReason.REFUSED, first_of_streak=False)

    def _wait(self, handle: int, deadline: float) -> int:
        status = c.WAITING
        while status == c.WAITING and (left := deadline - monotonic()) > 0:
            status = self._ring.wait(handle, min(left, c.SLICE), always=self._blocks)
        return c.FULL if status == c.WAITING else status

    def _decide(self, handle: int, count: int, mode: int) -> Decision:
        if self._deliveries.inside():
            mode += c.INSIDE
        out = c.buffer(count)
        evicted: list[Delivery] = []
        try:
            status = self._ring.offer(handle, mode, out)
            self._deliveries.claim(out, evicted)
        except BaseException:
            self._deliveries.claim(out, evicted)
            self._deliveries.reporter.dropped(evicted, DropReason.EVICTED, first=False)
            raise
        first = status >= c.FIRST
        status -= c.FIRST * first
        if status == c.RUN:
            self._deliveries.run_here(handle, count)
            status = c.ACCEPTED
        if status == c.EVICTED:
            return Decision(c.ACCEPTED, evicted, DropReason.EVICTED, first)
        forgotten = [] if status == c.ACCEPTED else self.forget(handle, count)
        lost = forgotten if status == c.REFUSED else []  # closed or gone: it was never published
        return Decision(status, lost, DropReason.REFUSED, first)

    def forget(self, handle: int, count: int) -> list[Delivery]:
        """Remove the deliveries of an event that the ring does not hold from the table."""
        table = self._deliveries.table
        entries = [table.pop(number, None) for number in range(handle, handle + count)]
        return [entry for entry in entries if entry is not None]

    def withdraw(self, handle: int, count: int) -> None:
        """After an exception: leave the event to the ring if it was accepted, else forget it."""
        known = c.withdraw(handle)
        self._deliveries.leave(handle)
        if known == 0:
            return
        lost = self.forget(handle, count)
        if known == 2:  # its handlers were being run here; the rest is counted as refused
            self._deliveries.reporter.dropped(lost, DropReason.REFUSED, first=False)
