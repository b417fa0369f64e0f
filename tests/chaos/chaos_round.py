"""One round of chaos: two buses, publishers, handlers, hooks, signals, forks, and someone who looks."""

import gc
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from time import monotonic
from typing import Any

from chaos_actors import (
    ALWAYS,
    EXCEPTIONS,
    HOOK,
    ON_PURPOSE,
    RELAY,
    Finalizer,
    Handler,
    Here,
    Publisher,
    Side,
)
from chaos_child import fork_and_check
from chaos_ledger import Claim, Ledger, Looker, Outcome
from chaos_plan import CLAIMS, MAX_KEY, TYPES, Fate, Key, Plan

from brummerbus import BusClosed, BusError, DropReason, Event, EventBus, QueueFull, Subscription
from brummerbus._core._ext import hooks_here

HANG = 30.0
"""Seconds after which something hangs; on an idle machine everything takes far less."""

CLAIMS_EACH = 6
"""Subscriptions that a publisher may make; each is compared with each event at the end."""

ENOUGH = 5000
"""Deliveries in a round; handlers that publish to handlers that publish would go on for minutes."""

SIGNALLED = 50
"""The first number in the keys of what the signal handler publishes."""

HAS_FORK = hasattr(os, "fork")
HAS_TIMER = hasattr(signal, "setitimer")


class Round:
    """A plan, carried out."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.here = Here()
        self.in_child = False
        self._over_all = False
        self._errors: list[BaseException] = []
        self._release = threading.Event()
        self._over = threading.Event()
        self._never = threading.Event()
        self._calls = count().__next__
        self._signals = count().__next__
        self._threads = threading.active_count()
        hooks = {} if plan.hooks is None else {"on_error": self._on_error, "on_drop": self._on_drop}
        self._main = Side(EventBus(name=f"chaos-{plan.seed}", **hooks, **plan.settings))
        self._other = Side(
            EventBus(
                name=f"other-{plan.seed}",
                on_error=self._other_failed,
                on_drop=self._other_dropped,
                **plan.other,
            )
        )

    @property
    def ledger(self) -> Ledger:
        """The notes on the main bus."""
        return self._main.ledger

    # ---- from start to end ------------------------------------------------------------------

    def run(self) -> Ledger:
        """Carry the plan out, check what came of it, and return the notes."""
        interval, threshold = sys.getswitchinterval(), gc.get_threshold()
        sys.setswitchinterval(self.plan.switch_interval)
        gc.set_threshold(self.plan.garbage)
        try:
            with self._signalled():
                self._play()
        finally:
            sys.setswitchinterval(interval)
            gc.set_threshold(*threshold)
        assert threading.active_count() == self._threads, threading.enumerate()
        if self._errors:
            raise self._errors[0]
        told = self.plan.hooks is not None
        self.ledger.check(self._main.bus.stats(), told=told, exact=self.plan.exact)
        self._other.ledger.check(self._other.bus.stats(), told=True, exact=True)
        self._leave_nothing()
        return self.ledger

    def _play(self) -> None:
        self._subscribe(self._main, object, ALWAYS)
        self._subscribe(self._other, "*", RELAY)
        looker = self._start(self._look)
        publishers = [
            self._start(partial(self._publisher, number)) for number in range(self.plan.publishers)
        ]
        self._join(publishers, self.plan.seconds)
        if self.plan.stop is not None:
            self._main.bus.stop(**self.plan.stop)
        self._release.set()
        self._join(publishers, HANG)
        self._come_to_rest()
        for side in (self._main, self._other):
            side.bus.stop(timeout=HANG)
        self._over.set()
        self._join([looker], HANG)
        left = [thread for thread in (looker, *publishers) if thread.is_alive()]
        assert not left, f"threads hang: {left}"
        gc.collect()  # finalizers that come too late
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

    def _enough(self) -> bool:
        return len(self.ledger.handled) >= ENOUGH

    @contextmanager
    def nothing_else(self) -> Iterator[None]:
        """Keep what is raised for the end of the round: the bus itself would count it."""
        try:
            yield
        except BaseException as error:  # noqa: BLE001, RUF100
            self._errors.append(error)

    def _look(self) -> None:
        lookers = [(side, Looker()) for side in (self._main, self._other)]
        while not self._over.is_set():
            for side, looker in lookers:
                looker.look(side.bus.stats())
                self.ledger.looks += 1
            self._never.wait(1e-4)

    # ---- signals and finalizers ------------------------------------------------------------

    @contextmanager
    def _signalled(self) -> Iterator[None]:
        """Have a signal handler publish, in the main thread, which waits and stops meanwhile."""
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

    def interrupted_by(self, key: Key) -> None:
        """Publish from a signal handler or finalizer, which must not wait for what it interrupted."""
        if self.in_child or self._over_all or self._enough():
            return
        outer, self.here.publishing = self.here.publishing, 0
        self.here.fragile += 1
        try:
            with self.nothing_else():
                side = self._other if key[-1] % 5 == 0 else self._main
                self._publish(side, [Event(TYPES[len(key) % 6], key)], {"timeout": 0})
        finally:
            self.here.fragile -= 1
            self.here.publishing = outer

    # ---- publishing and subscribing ---------------------------------------------------------

    def _publisher(self, thread: int) -> None:
        first = ALWAYS + 1 + thread * CLAIMS_EACH
        publisher = Publisher(
            self,
            self.plan.publisher(thread),
            ((thread, number) for number in count()),
            iter(range(first, first + CLAIMS_EACH)),
        )
        for _ in range(self.plan.operations):
            if self._enough():
                break
            self._operation(publisher)
            self.ledger.operations += 1

    def _operation(self, p: Publisher) -> None:
        dice = p.random.random()
        bus = self._main.bus
        if dice < 0.90:
            many = dice > 0.75
            size = p.random.choice((0, 1, 3, 40, 300)) if many else 1
            events = [p.event() for _ in range(size)]
            self._publish(self._main, events, p.options(bus.config.priority_levels), many=many)
        elif dice < 0.94:
            number = next(p.numbers, None)
            if number is not None:
                p.mine.append(self._subscribe(self._main, p.random.choice(CLAIMS), number))
        elif dice < 0.97:
            if p.mine:
                self._cancel(p.mine.pop(p.random.randrange(len(p.mine))))
        elif dice < 0.98:
            bus.flush(p.random.choice((0, 0.001, 0.01)))
        elif dice < 0.985:
            Finalizer(self, next(p.keys), cycle=True)
        elif dice < 0.99:
            self._resize(p.random.randint(1, 6))
        elif dice < 0.991:
            self._fork(self._main)
        elif self.plan.stop is not None and p.random.random() < 0.05:
            bus.stop(**self.plan.stop)
        else:
            assert repr(bus)
            assert bus.depth >= 0

    def _resize(self, workers: int) -> None:
        with suppress(BusClosed):
            self._main.bus.resize(workers)
        assert 1 <= self._main.bus.workers <= 8
        assert str(self._main.bus.advise())

    def _fork(self, side: Side) -> None:
        def handled() -> int:
            self.in_child = True
            return len(side.ledger.handled)

        if HAS_FORK:
            fork_and_check(side.bus, handled)

    def _publish(
        self, side: Side, events: list[Any], options: dict[str, Any], *, many: bool = False
    ) -> Outcome:
        began, accepted = side.ledger.tick(), 0
        outcome = Outcome.PART
        self.here.publishing += 1
        try:
            if many:
                accepted = side.bus.publish_many(iter(events), **options)
            else:
                accepted = side.bus.publish(events[0], **options)
            outcome = Outcome.ACCEPTED if accepted == len(events) else Outcome.PART
        except QueueFull as full:
            accepted = full.accepted
        except BusClosed:
            outcome = Outcome.CLOSED if not many else Outcome.PART
        except (SystemExit, KeyboardInterrupt) as error:
            if error.args != (ON_PURPOSE,):
                raise
            outcome = Outcome.RAISED if not many else Outcome.PART
        else:
            if not many and outcome is Outcome.PART:
                outcome = Outcome.REFUSED
        finally:
            self.here.publishing -= 1
        if not many and outcome is Outcome.PART:
            outcome = Outcome.REFUSED
        for event in events:
            side.ledger.note(event, began, outcome)
        return outcome

    def _subscribe(self, side: Side, event_type: str | type, number: int) -> Subscription:
        claim = side.ledger.claims[number] = Claim(event_type)
        try:
            subscription = side.bus.subscribe(event_type, Handler(self, side, number))
        except BusClosed:
            assert side.bus.closed
            raise Closed from None
        claim.made = side.ledger.tick()
        return subscription

    def _cancel(self, subscription: Subscription) -> None:
        claim = self.ledger.claims[_number(subscription)]
        claim.leaving = self.ledger.tick()
        subscription.cancel()
        claim.gone = self.ledger.tick()

    # ---- what handlers and hooks do ---------------------------------------------------------

    def act(self, fate: Fate, key: Key, number: int) -> None:
        """Do what a handler or hook with this number is to do about this event."""
        if fate is Fate.SLOW:
            self._never.wait(0.001)
        elif fate is Fate.STUCK:
            assert self._release.wait(HANG), "the round does not end"
        elif fate is Fate.STOP:
            self._bus.stop(timeout=0.01)
        elif fate is Fate.FLUSH:
            self._flush_inside()
        elif len(key) >= MAX_KEY or self._enough():
            return
        elif fate is Fate.PUBLISH:
            self._publish([Event(TYPES[number % 6], (*key, number))], {}, many=False)
        elif fate is Fate.PUBLISH_MANY:
            events = [Event(TYPES[(number + i) % 6], (*key, number, i)) for i in range(3)]
            self._publish(events, {}, many=True)

    def _flush_inside(self) -> None:
        try:
            self._bus.flush()
        except BusError:
            return
        raise AssertionError("flush() in a handler returned")

    def _on_error(self, event: Any, subscription: Subscription, error: BaseException) -> None:
        self.ledger.told_errors.append((event.data, _number(subscription)))
        self._hook(event.data)

    def _on_drop(self, event: Any, subscription: Subscription, reason: DropReason) -> None:
        self.ledger.told_drops.append((event.data, _number(subscription), reason))
        self._hook(event.data)

    def _hook(self, key: Key) -> None:
        assert self.plan.hooks is not None
        fate = self.plan.hooks.throw(key, HOOK)
        if fate in EXCEPTIONS:
            raise EXCEPTIONS[fate]("on purpose, in a hook")
        with self.nothing_else():
            # It may be told of an event several times: a number tells what it publishes apart.
            self.act(fate, (*key, self._calls()), HOOK)


def _number(subscription: Subscription) -> int:
    handler = subscription.handler
    assert isinstance(handler, Handler)
    return handler.number
