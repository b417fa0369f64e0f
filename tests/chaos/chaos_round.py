"""One round of chaos: a bus, its publishers, handlers and hooks, and someone who looks."""

import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from random import Random
from time import monotonic
from typing import Any

from chaos_ledger import Claim, Ledger, Looker, Outcome, Sent
from chaos_plan import CLAIMS, MAX_KEY, TYPES, Fate, Key, Plan, Raw, Urgent

from brummerbus import BusClosed, BusError, DropReason, Event, EventBus, QueueFull, Subscription

HANG = 30.0
"""Seconds after which something hangs; on an idle machine everything takes far less."""

HOOK = 98
"""The number in the keys of what hooks publish."""

ALWAYS = 99
"""The number of the handler that receives everything; those of publishers follow."""

CLAIMS_EACH = 6
"""Subscriptions that a publisher may make; each is compared with each event at the end."""

ENOUGH = 5000
"""Deliveries in a round; handlers that publish to handlers that publish would go on for minutes."""

EXCEPTIONS = {Fate.RAISE: ValueError, Fate.EXIT: SystemExit, Fate.INTERRUPT: KeyboardInterrupt}


class Handler:
    """A handler with a number of its own, whose fates are the plan's."""

    def __init__(self, play: "Round", number: int) -> None:
        self._round = play
        self.number = number
        self.subscription: Subscription | None = None

    def __call__(self, event: Any) -> None:
        """Note the call, and do as the plan says."""
        ledger = self._round.ledger
        delivery = (event.data, self.number)
        ledger.handled.append(delivery)
        fate = self._round.plan.handlers.throw(*delivery)
        if fate in EXCEPTIONS:
            ledger.failed.append(delivery)
            raise EXCEPTIONS[fate]("on purpose")
        with self._round.nothing_else():
            self._round.act(fate, event.data, self.number)


@dataclass
class Publisher:
    """A thread's own decisions, keys, numbers of handlers, and subscriptions."""

    random: Random
    keys: Iterator[Key]
    numbers: Iterator[int]
    mine: list[Subscription] = field(default_factory=list)

    def event(self) -> Any:
        """Make any event."""
        if self.random.random() < 0.1:
            return self.random.choice((Raw, Urgent))(next(self.keys))
        return Event(self.random.choice(TYPES), next(self.keys))

    def options(self, levels: int) -> dict[str, Any]:
        """Return arguments of publish."""
        options: dict[str, Any] = {}
        if self.random.random() < 0.2:
            options["priority"] = self.random.randint(1, levels)
        if self.random.random() < 0.2:
            options["timeout"] = self.random.choice((0, 1e-9, 0.002))
        return options


class Round:
    """A plan, carried out."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.ledger = Ledger()
        self._errors: list[BaseException] = []
        self._release = threading.Event()
        self._over = threading.Event()
        self._never = threading.Event()
        self._calls = count().__next__
        self._threads = threading.active_count()
        hooks = {} if plan.hooks is None else {"on_error": self._on_error, "on_drop": self._on_drop}
        self._bus = EventBus(name=f"chaos-{plan.seed}", **hooks, **plan.settings)

    # ---- from start to end ------------------------------------------------------------------

    def run(self) -> Ledger:
        """Carry the plan out, check what came of it, and return the notes."""
        interval, threads = sys.getswitchinterval(), self._threads
        sys.setswitchinterval(self.plan.switch_interval)
        try:
            self._play()
        finally:
            sys.setswitchinterval(interval)
        assert threading.active_count() == threads, threading.enumerate()
        if self._errors:
            raise self._errors[0]
        stats = self._bus.stats()
        self.ledger.check(stats, told=self.plan.hooks is not None, exact=self.plan.exact)
        self._leave_nothing()
        return self.ledger

    def _play(self) -> None:
        self._subscribe(object, ALWAYS)
        looker = self._start(self._look)
        publishers = [
            self._start(partial(self._publisher, number)) for number in range(self.plan.publishers)
        ]
        self._join(publishers, self.plan.seconds)
        if self.plan.stop is not None:
            self._bus.stop(**self.plan.stop)
        self._release.set()
        self._join(publishers, HANG)
        assert self._bus.flush(HANG), "nobody is woken, or a handler hangs"  # a stop wakes everyone
        self._bus.stop(timeout=HANG)
        self._over.set()
        self._join([looker], HANG)
        left = [thread for thread in (looker, *publishers) if thread.is_alive()]
        assert not left, f"threads hang: {left}"
        with self.nothing_else():
            assert self._publish([Event("a", (0,))], {}, many=False) is Outcome.CLOSED
            assert self._bus.flush(0), "a stopped bus is not at rest"

    def _leave_nothing(self) -> None:
        deliveries = self._bus._pool.deliveries
        assert deliveries.table == {}, "the bus keeps deliveries that are finished"
        assert self._bus._reporting == {}, "a hook seems to run still"
        assert (deliveries._worker_of, deliveries._nesting) == ({}, {}), (
            "a worker seems to run still"
        )
        gone = weakref.ref(self._bus)
        del self._bus
        gc.collect()
        assert gone() is None, "the bus is not released"

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
        looker = Looker()
        while not self._over.is_set():
            looker.look(self._bus.stats())
            self.ledger.looks += 1
            self._never.wait(1e-4)

    # ---- publishing and subscribing ---------------------------------------------------------

    def _publisher(self, thread: int) -> None:
        first = ALWAYS + 1 + thread * CLAIMS_EACH
        publisher = Publisher(
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
        if dice < 0.90:
            many = dice > 0.75
            size = p.random.choice((0, 1, 3, 40, 300)) if many else 1
            events = [p.event() for _ in range(size)]
            self._publish(events, p.options(self._bus.config.priority_levels), many=many)
        elif dice < 0.94:
            number = next(p.numbers, None)
            if number is not None:
                p.mine.append(self._subscribe(p.random.choice(CLAIMS), number))
        elif dice < 0.97:
            if p.mine:
                self._cancel(p.mine.pop(p.random.randrange(len(p.mine))))
        elif dice < 0.985:
            self._bus.flush(p.random.choice((0, 0.001, 0.01)))
        elif dice < 0.99:
            self._resize(p.random.randint(1, 6))
        elif self.plan.stop is not None and p.random.random() < 0.05:
            self._bus.stop(**self.plan.stop)
        else:
            assert repr(self._bus)
            assert self._bus.depth >= 0

    def _resize(self, workers: int) -> None:
        with suppress(BusClosed):
            self._bus.resize(workers)
        assert 1 <= self._bus.workers <= 8
        assert str(self._bus.advise())

    def _publish(self, events: list[Any], options: dict[str, Any], *, many: bool) -> Outcome:
        began, accepted = self.ledger.tick(), 0
        outcome = Outcome.PART
        try:
            if many:
                accepted = self._bus.publish_many(iter(events), **options)
            else:
                accepted = self._bus.publish(events[0], **options)
            outcome = Outcome.ACCEPTED if accepted == len(events) else Outcome.PART
        except QueueFull as full:
            accepted = full.accepted
        except BusClosed:
            outcome = Outcome.CLOSED if not many else Outcome.PART
        if not many and outcome is Outcome.PART:
            outcome = Outcome.REFUSED
        ended = self.ledger.tick()
        self.ledger.sent.extend(Sent(event, began, ended, outcome) for event in events)
        return outcome

    def _subscribe(self, event_type: str | type, number: int) -> Subscription:
        claim = self.ledger.claims[number] = Claim(event_type)
        subscription = self._bus.subscribe(event_type, Handler(self, number))
        claim.made = self.ledger.tick()
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
