"""One round of chaos: two buses, publishers, handlers, hooks, signals, forks, and a monitor."""

import gc
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from time import monotonic

from chaos_actors import ALWAYS, RELAY
from chaos_deeds import HANG, Deeds
from chaos_ledger import Ledger, Outcome, SnapshotChecker
from chaos_plan import Plan

from brummerbus import Event
from brummerbus._core import scheduler
from brummerbus._core._ext import hooks_here

SIGNALLED = 50
"""The first number in the keys of what the signal handler publishes."""

HAS_TIMER = hasattr(signal, "setitimer")


def _threads() -> int:
    """Return how many threads there are, but for the timer, one for the process, which stays."""
    return sum(thread.name != scheduler.NAME for thread in threading.enumerate())


class Round(Deeds):
    """A plan in execution."""

    def __init__(self, plan: Plan) -> None:
        self._threads = _threads()
        self._over = threading.Event()
        self._signals = count().__next__
        super().__init__(plan)

    def run(self) -> Ledger:
        """Execute the plan, check the result, and return the records."""
        interval, threshold = sys.getswitchinterval(), gc.get_threshold()
        sys.setswitchinterval(self.plan.switch_interval)
        gc.set_threshold(self.plan.garbage)
        try:
            with self._signalled():
                self._play()
        finally:
            sys.setswitchinterval(interval)
            gc.set_threshold(*threshold)
        assert _threads() == self._threads, threading.enumerate()
        if self._errors:
            raise self._errors[0]
        hooked = self.plan.hooks is not None
        self.ledger.check(self._main.bus.stats(), reported=hooked, exact=self.plan.exact)
        self._other.ledger.check(self._other.bus.stats(), reported=True, exact=self.plan.exact)
        self._leave_nothing()
        return self.ledger

    def _play(self) -> None:
        self._subscribe(self._main, object, ALWAYS)
        self._subscribe(self._other, "*", RELAY)
        checker = self._start(self._check_snapshots)
        publishers = [
            self._start(partial(self._publisher, number)) for number in range(self.plan.publishers)
        ]
        self._join(publishers, self.plan.seconds)
        if self.plan.stop is not None:
            self._stop(self._main, **self.plan.stop)
        self._release.set()
        self._join(publishers, HANG)
        self._come_to_rest()
        for side in (self._main, self._other):
            self._stop(side, timeout=HANG)
            self._stop(side, timeout=HANG)  # joins the threads, if a hook ended the first
        self._over.set()
        self._join([checker], HANG)
        left = [thread for thread in (checker, *publishers) if thread.is_alive()]
        assert not left, f"threads hang: {left}"
        gc.collect()  # late finalizers
        with self.nothing_else():
            assert self._publish(self._main, [Event("a", (0,))], {}) is Outcome.CLOSED
            assert self._main.bus.flush(0), "a stopped bus is not at rest"
        self._over_all = True

    def _come_to_rest(self) -> None:
        published = -1
        while (now := self._published()) != published:
            published = now
            for side in (self._main, self._other):
                assert side.bus.flush(HANG), "nobody is woken, or a handler hangs"

    def _published(self) -> int:
        return sum(side.bus.stats().published for side in (self._main, self._other))

    def _leave_nothing(self) -> None:
        assert hooks_here() == 0, "a hook seems to run still"
        gone = [weakref.ref(side.bus) for side in (self._main, self._other)]
        for side in (self._main, self._other):
            del side.bus
        gc.collect()
        assert not any(bus() is not None for bus in gone), "a bus is not released"

    def _start(self, work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            with self.nothing_else():
                work()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def _join(self, threads: list[threading.Thread], seconds: float) -> None:
        deadline = monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, deadline - monotonic()))

    def _check_snapshots(self) -> None:
        checkers = [(side, SnapshotChecker()) for side in (self._main, self._other)]
        while not self._over.is_set():
            for side, checker in checkers:
                checker.check(side.bus.stats())
                self.ledger.snapshots += 1
            self._never.wait(1e-4)

    @contextmanager
    def _signalled(self) -> Iterator[None]:
        """Have a signal handler publish in the main thread, while it waits and stops."""
        if not (HAS_TIMER and self.plan.signals):
            yield
            return
        before = signal.signal(
            signal.SIGALRM, lambda *_: self.interrupted_by((SIGNALLED, self._signals()))
        )
        signal.setitimer(signal.ITIMER_REAL, self.plan.signals, self.plan.signals)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
