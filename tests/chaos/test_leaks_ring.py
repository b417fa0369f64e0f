"""Every entry point of the C core, many times, on its ways of success and of failure."""

import sys
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import psutil
import pytest
from leaks import assert_keeps_nothing

from brummerbus import ring as c
from brummerbus._cring import lib
from brummerbus.ring import Ring

CAPACITY = 4
NOBODY = 130_000 << 46
"""A handle of a route that nobody registered."""

CASES: dict[str, list[Callable[["Scene"], None]]] = {}
"""What is tried, by the entry points that it is about."""


class Scene:
    """A ring with a worker, and routes at two levels for events of one and of two deliveries."""

    def __init__(self) -> None:
        self.ring = Ring(CAPACITY, 2, monitoring=True, starvation_after=1.0)
        self.worker = lib.bb_worker_add(self.ring.handle)
        self.low, self.high = (count(self.ring.route(level, level, 1)).__next__ for level in (1, 2))
        self.pair = count(self.ring.route(3, 1, 2), 2).__next__
        self.wide = count(self.ring.route(4, 1, CAPACITY + 1), CAPACITY + 1).__next__
        self.out = c.buffer(CAPACITY)

    def fill(self) -> None:
        """Push until there is no room."""
        while c.push(self.low()) == c.ACCEPTED:
            pass

    def empty(self) -> None:
        """Take and finish everything."""
        while self.ring.depth():
            c.take(self.worker)
        c.done(self.worker)

    @contextmanager
    def full(self) -> Iterator[None]:
        """Fill the ring, and empty it in the end."""
        self.fill()
        yield
        self.empty()

    def shut(self, *, drain: bool = False) -> None:
        """Close the ring."""
        self.ring.close(drain=drain, deadline=1.0)


def case(*names: str) -> Callable[[Callable[[Scene], None]], Callable[[Scene], None]]:
    """Try this for these entry points."""

    def note(work: Callable[[Scene], None]) -> Callable[[Scene], None]:
        for name in names:
            CASES.setdefault(f"bb_{name}", []).append(work)
        return work

    return note


# ---- publishing ----------------------------------------------------------------------------


@case("push", "take", "depth", "done")
def push_and_take(s: Scene) -> None:
    with s.full():
        assert c.push(s.high()) == c.FULL
    assert c.push(NOBODY) == c.GONE


@case("push_many")
def push_many(s: Scene) -> None:
    handles = array("q", [s.low() for _ in range(CAPACITY + 2)])
    assert s.ring.push_many(handles) == CAPACITY
    assert s.ring.push_many(handles[CAPACITY:]) == 0
    assert s.ring.push_many(array("q", [NOBODY])) == c.GONE
    assert s.ring.push_many(array("q", [])) == 0
    s.empty()


@case("wait")
def wait_and_be_let_in(s: Scene) -> None:
    with s.full():
        first, second = s.low(), s.low()
        assert s.ring.wait(first, 0, always=True) == c.WAITING
        assert s.ring.wait(second, 0, always=True) == c.WAITING
        c.take(s.worker)
        c.take(s.worker)
        assert s.ring.wait(first, 0, always=True) == c.ACCEPTED
        assert s.ring.wait(second, 0, always=True) == c.ACCEPTED
    accepted = s.low()
    assert s.ring.wait(accepted, 0, always=False) == c.ACCEPTED
    s.empty()
    assert s.ring.wait(NOBODY, 0, always=True) == c.GONE


@case("wait", "offer")
def wait_in_vain(s: Scene) -> None:
    with s.full():
        handle = s.low()
        assert s.ring.wait(handle, 0, always=False) == c.WAITING
        assert s.ring.offer(handle, c.TRY, s.out) == c.FULL
        assert s.ring.wait(s.low(), 0, always=False) == c.FULL  # the congestion is known now


@case("offer")
def let_in_while_deciding(s: Scene) -> None:
    with s.full():
        handle = s.low()
        assert s.ring.wait(handle, 0, always=True) == c.WAITING
        c.take(s.worker)
        assert s.ring.offer(handle, c.REFUSE, s.out) == c.ACCEPTED


@case("withdraw")
def withdraw(s: Scene) -> None:
    with s.full():
        in_line, let_in, queued = s.low(), s.low(), s.low()
        assert s.ring.wait(let_in, 0, always=True) == c.WAITING
        assert s.ring.wait(in_line, 0, always=True) == c.WAITING
        c.take(s.worker)
        assert c.withdraw(let_in) == 0
        assert c.withdraw(in_line) == 1
        assert c.withdraw(queued) == 1
        assert c.withdraw(NOBODY) == 1


@case("offer")
def every_policy(s: Scene) -> None:
    with s.full():
        first = c.FIRST
        assert s.ring.offer(s.low(), c.EVICT_OLDEST, s.out) in {c.EVICTED, c.EVICTED + first}
        assert s.ring.offer(s.pair(), c.EVICT_OLDEST, s.out) == c.EVICTED
        assert s.ring.offer(s.high(), c.EVICT_LOWEST, s.out) == c.EVICTED
        assert s.ring.offer(s.low(), c.EVICT_LOWEST, s.out) == c.REFUSED
        assert s.ring.offer(s.low(), c.REFUSE, s.out) == c.REFUSED
        assert s.ring.offer(s.wide(), c.EVICT_OLDEST, s.out) == c.REFUSED
        assert s.ring.offer(s.low(), c.OVERDRAW, s.out) == c.ACCEPTED
        assert s.ring.offer(NOBODY, c.REFUSE, s.out) == c.GONE
    assert s.ring.offer(s.low(), c.REFUSE, s.out) == c.ACCEPTED
    s.empty()


@case("caller_done", "withdraw")
def the_caller_runs(s: Scene) -> None:
    with s.full():
        for failed in (0, 1):
            handle = s.pair()
            assert s.ring.offer(handle, c.CALLER_RUNS, s.out) == c.RUN
            c.caller_done(handle, failed)
            c.caller_done(handle, failed)
            c.caller_done(handle, failed)  # once too often
        interrupted = s.pair()
        assert s.ring.offer(interrupted, c.CALLER_RUNS, s.out) == c.RUN
        c.caller_done(interrupted, 0)
        assert c.withdraw(interrupted) == 2
        c.caller_done(NOBODY, 0)


@case("unrouted", "state", "snapshot", "wait_idle")
def look(s: Scene) -> None:
    s.ring.unrouted(1)
    assert s.ring.state() == c.OPEN
    assert s.ring.snapshot(5, 1).total.queued == 0
    assert not s.ring.gone()
    assert s.ring.wait_idle(0)
    c.push(s.low())
    assert not s.ring.wait_idle(0)
    s.empty()


# ---- workers -------------------------------------------------------------------------------


@case("help", "failed", "done")
def help_until_the_bound(s: Scene) -> None:
    with s.full():
        for _ in range(c.MAX_NESTING):
            assert s.ring.help(s.worker, s.low(), s.out) == c.ACCEPTED
            c.failed(s.worker)
        assert s.ring.help(s.worker, s.low(), s.out) == c.FULL
        assert s.out[0] == 0
        for _ in range(c.MAX_NESTING + 1):  # once too often
            c.done(s.worker)
        c.failed(s.worker)
    assert s.ring.help(s.worker, s.low(), s.out) == c.ACCEPTED
    assert s.ring.help(s.worker, NOBODY, s.out) == c.GONE
    s.empty()
    for nobody in (c.take, c.done, c.failed, c.opened, c.worker_gone):
        nobody(NOBODY)


@case("resize", "worker_gone", "take")
def workers_come_and_go(s: Scene) -> None:
    added = s.ring.resize(5)
    assert added is not None
    assert len(added) == 4
    c.worker_gone(added[0])
    assert s.ring.resize(2) == []
    assert [c.take(worker) for worker in added[1:3]] == [0, 0]
    c.worker_gone(added[3])
    assert s.ring.resize(1) == []


@case("opened", "open_for")
def open_deliveries(s: Scene) -> None:
    assert s.ring.opened(s.worker) == (0, 0)
    assert c.push(s.low()) == c.ACCEPTED
    assert c.take(s.worker) == s.ring.opened(s.worker)[0]
    assert s.ring.opened(NOBODY) == (0, 0)
    s.empty()


@case("load")
def look_at_the_load(s: Scene) -> None:
    assert s.ring.load().deliveries >= 0


# ---- one ring for each call ------------------------------------------------------------------


@case("ring_new", "ring_free", "route", "worker_add")
def make_and_free(_: Scene) -> None:
    Scene()


@case("ring_free")
def free_with_everyone_waiting(_: Scene) -> None:
    s = Scene()
    s.fill()
    let_in, in_line = s.low(), s.low()
    assert s.ring.wait(let_in, 0, always=True) == c.WAITING
    assert s.ring.wait(in_line, 0, always=True) == c.WAITING
    c.take(s.worker)
    assert s.ring.offer(s.low(), c.CALLER_RUNS, s.out) == c.RUN


@case("close", "wait", "push", "push_many", "offer", "help", "take")
def close_with_everyone_waiting(_: Scene) -> None:
    s = Scene()
    s.fill()
    in_line = s.low()
    assert s.ring.wait(in_line, 0, always=True) == c.WAITING
    s.shut(drain=True)
    assert s.ring.wait(in_line, 0, always=True) == c.CLOSED
    assert s.ring.offer(s.low(), c.REFUSE + c.INSIDE, s.out) in {c.REFUSED, c.REFUSED + c.FIRST}
    s.shut()
    assert s.ring.push_many(array("q", [s.low()])) == c.CLOSED
    assert (c.push(s.low()), s.ring.offer(s.low(), c.REFUSE, s.out)) == (c.CLOSED, c.CLOSED)
    assert s.ring.help(s.worker, s.low(), s.out) == c.CLOSED
    assert c.take(s.worker) == 0


@case("meter_route")
def meter_a_route(_: Scene) -> None:
    s = Scene()
    base = s.ring.route(5, 1, 3)
    s.ring.meter_route(base, (1, 2, c.MAX_METERS - 1))
    with pytest.raises(MemoryError):
        s.ring.meter_route(base, (1, 2, 3))
    s.ring.meter_route(NOBODY, (1,))


@case("wait_shut", "resize")
def wait_until_shut(_: Scene) -> None:
    s = Scene()
    assert not s.ring.wait_shut(0)
    s.shut()
    assert s.ring.wait_shut(0)
    assert s.ring.resize(3) is None


@case("discard")
def discard(_: Scene) -> None:
    s = Scene()
    s.fill()
    assert s.ring.discard(s.out) == 0
    s.shut()
    assert s.ring.discard(s.out) == CAPACITY
    assert s.ring.discard(s.out) == 0


def entry_points() -> list[str]:
    """Return all but the one for after a fork, which leaves memory allocated by contract."""
    return [name for name in dir(lib) if name.startswith("bb_") and name != "bb_abandon_all"]


@pytest.mark.parametrize("name", entry_points())
def test_an_entry_point_keeps_no_memory(name: str) -> None:
    """In every case that it is tried in, and there is one for each."""
    scene = Scene()
    for work in CASES[name]:
        assert_keeps_nothing(lambda work=work: work(scene))


def test_one_worker_too_many_keeps_no_memory() -> None:
    """Of one ring at a time."""
    ring = Ring(1, 1, monitoring=False, starvation_after=None)

    def add() -> None:
        with pytest.raises(MemoryError):
            ring.resize(5000)

    assert_keeps_nothing(add)


def test_routes_come_back_with_their_ring() -> None:
    """A process has 131,071; this asks for more than twice as many, and for one too many."""

    def use_up() -> int:
        ring = Ring(1, 1, monitoring=False, starvation_after=None)
        with pytest.raises(MemoryError):
            for made in count():
                ring.route(made % 1024, 1, 1)
        return made

    made = [use_up() for _ in range(3)]
    assert made[0] > 100_000
    assert made == [made[0]] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_a_ring_without_memory_keeps_none() -> None:
    """The largest queue, in a process that may not grow by so much."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + 2**28, limits[1]))

    def make() -> None:
        with pytest.raises(MemoryError, match="no memory for a queue"):
            Ring(2**24, 1, monitoring=False, starvation_after=None)

    try:
        assert_keeps_nothing(make, times=100)  # so few that a leak cannot reach the limit
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
