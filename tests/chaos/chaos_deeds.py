"""The operations on a round's buses, by publishers, handlers, hooks, finalizers and signals."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

import chaos_options
from chaos_actors import (
    ALWAYS,
    EXCEPTIONS,
    HOOK,
    ON_PURPOSE,
    Finalizer,
    Handler,
    Here,
    Publisher,
    Side,
)
from chaos_child import fork_and_check
from chaos_ledger import Claim, Ledger, Outcome
from chaos_options import PickyHandler
from chaos_plan import CLAIMS, MAX_KEY, TYPES, Fate, Key, Laden, Plan

import brummerbus
from brummerbus import BusClosed, BusError, DropReason, Event, EventBus, QueueFull, Subscription
from brummerbus._core._ext import hooks_here

HANG = 90.0
"""Seconds after which something hangs. With ten times as much to do as the machine has cores, five
publishers at a queue of two slots have taken 27 s; on an idle machine everything is far faster."""

CLAIMS_EACH = 6
"""Max subscriptions of a publisher; each is compared with each event at the end."""

ENOUGH = 5000
"""Deliveries in a round; handlers that publish to handlers that publish would take minutes."""

DELAYS = (0.0, 0.0, 0.001, 0.003)
"""Seconds after which the timer thread publishes an event."""

SCHEDULED = 999
"""The last number in the keys of such events, which come in no order with their publisher's."""

HAS_FORK = hasattr(os, "fork")


class Deeds:
    """The two buses of a plan, and all operations on them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.here = Here()
        self._process = os.getpid()
        self.is_advised = False
        self._over_all = False
        self._errors: list[BaseException] = []
        self._release = threading.Event()
        self._never = threading.Event()
        self._calls = count().__next__
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
    def in_child(self) -> bool:
        """Whether this is the child of a fork, where finalizers publish nothing."""
        return os.getpid() != self._process

    @property
    def ledger(self) -> Ledger:
        """The ledger of the main bus."""
        return self._main.ledger

    def _enough(self) -> bool:
        return len(self.ledger.handled) >= ENOUGH

    @contextmanager
    def nothing_else(self) -> Iterator[None]:
        """Keep exceptions for the end of the round: the bus would count them."""
        try:
            yield
        except BaseException as error:  # noqa: BLE001, RUF100
            self._errors.append(error)

    def interrupted_by(self, key: Key) -> None:
        """Publish from a signal handler or finalizer, without waiting for what it interrupted."""
        if self.in_child or self._over_all or self._enough():
            return
        if self.plan.exact and hooks_here():  # the third would not be reported
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
        if dice < 0.06:
            self._publish_later(self._main, p)
        elif dice < 0.90:
            many = dice > 0.75
            size = p.random.choice((0, 1, 3, 40, 300)) if many else 1
            events = [p.event() for _ in range(size)]
            options = p.options(self._main.bus.config.priority_levels)
            self._publish(self._main, events, options, many=many)
        else:
            self._other_operation(p, dice)

    def _other_operation(self, p: Publisher, dice: float) -> None:
        bus = self._main.bus
        if dice < 0.94:
            number = next(p.numbers, None)
            claim = p.random.choice(CLAIMS)
            with suppress(BusClosed):
                if number is not None:
                    options = chaos_options.draw(p.random)
                    p.mine.append(self._subscribe(self._main, claim, number, **options))
        elif dice < 0.97:
            if p.mine:
                self._cancel(p.mine.pop(p.random.randrange(len(p.mine))))
        elif dice < 0.98:
            wait = p.random.choice((bus.flush, bus.barrier))
            wait(p.random.choice((0, 0.001, 0.01)))
        elif dice < 0.985:
            Finalizer(self, next(p.keys), cycle=True)
        elif dice < 0.99:
            self._resize(p.random.randint(1, 6))
        elif dice < 0.991:
            self._fork(self._main)
        elif self.plan.stop is not None and p.random.random() < 0.05:
            self._stop(self._main, **self.plan.stop)
        else:
            assert repr(bus)
            assert bus.depth >= 0

    def _resize(self, workers: int) -> None:
        bus = self._main.bus
        with suppress(BusClosed):
            bus.resize(max(workers, bus.config.reserved_workers + 1))
        assert 1 <= self._main.bus.workers <= 8
        if not self.is_advised:  # once: it simulates for up to a second of CPU time
            self.is_advised = True
            assert str(self._main.bus.advise())

    def _fork(self, side: Side) -> None:
        if HAS_FORK:
            fork_and_check(side.bus, lambda: len(side.ledger.handled))

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
        finally:
            self.here.publishing -= 1
        if not many and outcome is Outcome.PART:
            outcome = Outcome.REFUSED
        for event in events:
            side.ledger.note(event, began, outcome, tells="on_done" in options)
        return outcome

    def _publish_later(self, side: Side, p: Publisher) -> None:
        """Publish from the timer thread, soon; and perhaps cancel that again."""
        event = Event(p.random.choice(TYPES), (*next(p.keys), SCHEDULED))
        levels = side.bus.config.priority_levels
        priority = p.random.choice((None, p.random.randint(1, levels)))
        began, outcome = side.ledger.tick(), Outcome.PART  # nobody tells what becomes of it
        try:
            scheduled = side.bus.publish_after(p.random.choice(DELAYS), event, priority=priority)
            if p.random.random() < 0.3 and scheduled.cancel():
                outcome = Outcome.CLOSED
        except BusClosed:
            outcome = Outcome.CLOSED
        side.ledger.note(event, began, outcome)

    def _subscribe(
        self, side: Side, event_type: str | type, number: int, **options: Any
    ) -> Subscription:
        claim = side.ledger.claims[number] = Claim(event_type, once=bool(options.get("once")))
        is_plain = not options.keys() - {"once"}
        handler = Handler(self, side, number)
        if not is_plain:
            handler = PickyHandler(self, side, number, options)
        subscription = side.bus.subscribe(event_type, handler, **options)
        claim.made = side.ledger.tick()
        return subscription

    def _cancel(self, subscription: Subscription) -> None:
        claim = self.ledger.claims[_number(subscription)]
        claim.leaving = self.ledger.tick()
        subscription.cancel()
        claim.gone = self.ledger.tick()

    def _stop(self, side: Side, **options: Any) -> None:
        """Stop a bus; exceptions of hooks are propagated."""
        try:
            side.bus.stop(**options)
        except (SystemExit, KeyboardInterrupt) as error:
            if error.args != (ON_PURPOSE,):
                raise

    # ---- what handlers and hooks do ---------------------------------------------------------

    def act(self, fate: Fate, key: Key, number: int, side: Side) -> None:
        """Do what a handler or hook with this number is planned to do for this event of a side."""
        waits = fate in (Fate.SLOW, Fate.STUCK, Fate.STOP, Fate.FORK)
        must_not_wait = self.here.fragile or threading.get_ident() == threading.main_thread().ident
        if waits and must_not_wait:
            return
        options = {"timeout": 0} if must_not_wait else {}
        if fate is Fate.SLOW:
            self._never.wait(0.001)
        elif fate is Fate.STUCK:
            assert self._release.wait(HANG), "the round does not end"
        elif fate is Fate.STOP:
            self._stop(self._main, timeout=0.01)
        elif fate is Fate.FORK:
            self._fork(side)
        elif fate is Fate.FLUSH:
            self._flush_inside(side)
        elif len(key) >= MAX_KEY or self._enough():
            return
        elif fate is Fate.PUBLISH:
            target = self._other if number % 3 == 0 else self._main
            luggage = Finalizer(self, (*key, number), cycle=False)
            self._publish(target, [Laden(TYPES[number % 6], (*key, number), luggage)], options)
        elif fate is Fate.PUBLISH_MANY:
            events = [Event(TYPES[(number + i) % 6], (*key, number, i)) for i in range(3)]
            self._publish(self._main, events, options, many=True)

    def _flush_inside(self, side: Side) -> None:
        for wait in (side.bus.flush, side.bus.barrier):
            try:
                wait()
            except BusError:
                continue
            raise AssertionError(f"{wait.__name__}() in a handler returned")

    def on_done(self, outcome: brummerbus.Outcome) -> None:
        """Note how an event of a publisher ended."""
        if self.in_child:
            return
        key, failed = outcome.event.data, len(outcome.failed)
        self.ledger.done.append((key, outcome.handled + failed, len(outcome.dropped)))
        if key[-1] % 10 == 0:
            raise ValueError(ON_PURPOSE)

    def _on_error(self, event: Any, subscription: Subscription, error: BaseException) -> None:
        self.ledger.told_errors.append((event.data, _number(subscription)))
        self._hook(event.data)

    def _on_drop(self, event: Any, subscription: Subscription, reason: DropReason) -> None:
        self.ledger.told_drops.append((event.data, _number(subscription), reason))
        self._hook(event.data)

    def _hook(self, key: Key) -> None:
        if self.in_child:
            return
        assert self.plan.hooks is not None
        fate = self.plan.hooks.throw(key, HOOK)
        if fate in EXCEPTIONS:
            raise EXCEPTIONS[fate](ON_PURPOSE)
        with self.nothing_else():
            # It may be called for an event several times: a number distinguishes what it publishes.
            self.act(fate, (*key, self._calls()), HOOK, self._main)

    def _other_failed(self, event: Any, subscription: Subscription, error: BaseException) -> None:
        self._other.ledger.told_errors.append((event.data, _number(subscription)))

    def _other_dropped(self, event: Any, subscription: Subscription, reason: DropReason) -> None:
        self._other.ledger.told_drops.append((event.data, _number(subscription), reason))


def _number(subscription: Subscription) -> int:
    handler = subscription.handler
    assert isinstance(handler, Handler)
    return handler.number
