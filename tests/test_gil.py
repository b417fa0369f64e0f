"""Short calls keep the GIL, and calls that wait release it.

This rests on something that cffi does not document (`_ffi_build.py`), so it is tested itself:
a second thread counts, and either stands still during a call or goes on.
"""

import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator

import pytest
from conftest import HANG, poll

from brummerbus import ring
from brummerbus._cring import lib
from brummerbus.ring import Ring

MANY = 500_000
"""Handles in a long held call: some milliseconds, in which the other thread counts thousands."""

UNTOUCHED = """
import gc
cache = next(part for part in gc.get_referents(lib) if isinstance(part, dict))
print(*(set(dir(lib)) - set(cache)))
"""

ALONE = """
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
loader = ExtensionFileLoader("brummerbus._cring", {path!r})
lib = module_from_spec(spec_from_file_location("brummerbus._cring", {path!r}, loader=loader)).lib
"""


class Counter:
    """Counts in a thread of its own; gives the GIL up after each step."""

    def __init__(self) -> None:
        self.count = 0
        self._end = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.go_on()

    def _run(self) -> None:
        while not self._end:
            self.count += 1
            time.sleep(0)  # gives the GIL up, and sleeps not at all

    def go_on(self, steps: int = 100) -> None:
        """Return when it has counted on, and so is neither ended nor asleep."""
        goal = self.count + steps
        poll(lambda: self.count >= goal)

    def during(self, call: Callable[[], object]) -> int:
        """Return how far it counts during a call."""
        before = self.count
        call()
        return self.count - before

    def end(self) -> None:
        """End the thread."""
        self._end = True
        self._thread.join(HANG)


@pytest.fixture
def counter() -> Iterator[Counter]:
    """A thread that counts, and never has to be given the GIL by force."""
    interval = sys.getswitchinterval()
    counter = Counter()
    # Only who gives the GIL up loses it: nothing else can let the counter in, during a call or
    # between a call and the look at the count.
    sys.setswitchinterval(HANG)
    counter.go_on()
    yield counter
    sys.setswitchinterval(interval)
    counter.end()


@pytest.fixture
def small() -> Ring:
    """A ring with room for one delivery."""
    return Ring(1, 3, monitoring=True, starvation_after=None)


def test_a_short_call_keeps_the_gil(counter: Counter) -> None:
    """Even if half a million handles make it a long one, no other thread runs meanwhile."""
    big = Ring(MANY, 3, monitoring=True, starvation_after=None)
    base = big.route(1, 2, 1)
    handles = array("q", range(base, base + MANY))
    seconds: list[float] = []

    def push() -> None:
        began = time.monotonic()
        assert big.push_many(handles) == MANY
        seconds.append(time.monotonic() - began)

    assert counter.during(push) == 0
    assert seconds[0] > 0.0005, "too short to tell"
    assert big.depth() == MANY


@pytest.mark.parametrize(
    "call",
    [
        "depth",
        "state",
        "snapshot",
        "close",
        "discard",
        "resize",
        "load",
        "push",
        "offer",
        "withdraw",
    ],
)
def test_each_short_call_keeps_the_gil(counter: Counter, small: Ring, call: str) -> None:
    """A thousand of them in a row let nobody in."""
    base = small.route(1, 2, 1)
    out = ring.buffer(1)
    calls: dict[str, Callable[[], object]] = {
        "depth": small.depth,
        "state": small.state,
        "snapshot": lambda: small.snapshot(1, 1),
        "close": lambda: small.close(drain=False, deadline=0),
        "discard": lambda: small.discard(out),
        "resize": lambda: small.resize(2),
        "load": small.load,
        "push": lambda: ring.push(base),
        "offer": lambda: small.offer(base, ring.REFUSE, out),
        "withdraw": lambda: ring.withdraw(base),
    }
    short = calls[call]
    assert counter.during(lambda: [short() for _ in range(1000)]) == 0


def test_waiting_for_idle_releases_the_gil(counter: Counter, small: Ring) -> None:
    """`bb_wait_idle` with something queued sleeps, and others run."""
    base = small.route(1, 2, 1)
    assert ring.push(base) == ring.ACCEPTED
    assert counter.during(lambda: small.wait_idle(0.05)) > 10


def test_waiting_for_room_releases_the_gil(counter: Counter, small: Ring) -> None:
    """`bb_wait` in a full ring sleeps, and others run."""
    base = small.route(1, 2, 1)
    assert ring.push(base) == ring.ACCEPTED
    waited = counter.during(lambda: small.wait(base + 1, 0.05, always=True))
    assert waited > 10
    assert ring.withdraw(base + 1) == 1


def test_waiting_for_work_releases_the_gil(counter: Counter, small: Ring) -> None:
    """`bb_take` in an empty ring sleeps until another thread, which must run for it, pushes."""
    base = small.route(1, 2, 1)
    (worker,) = small.resize(1) or ()

    def push_later() -> None:
        goal = counter.count + 1000
        poll(lambda: counter.count >= goal)
        assert ring.push(base) == ring.ACCEPTED

    taken: list[int] = []
    pusher = threading.Thread(target=push_later)

    def take() -> None:
        pusher.start()
        taken.append(ring.take(worker))

    counted = counter.during(take)
    pusher.join(HANG)
    assert taken == [base]
    assert counted > 10


def untouched(code: str) -> set[str]:
    """Return the names of `lib` that nobody has looked up in a new process."""
    command = [sys.executable, "-c", code + UNTOUCHED]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=HANG)
    return set(done.stdout.split())


def test_every_c_function_is_looked_up_at_import() -> None:
    """A function is realised when it is first looked up, and threads might race there."""
    functions = {name for name in dir(lib) if name.startswith("bb_")}
    alone = ALONE.format(path=sys.modules["brummerbus._cring"].__file__)
    assert untouched(alone) >= functions, "this look tells nothing"
    assert untouched("from brummerbus._cring import lib") == set()
