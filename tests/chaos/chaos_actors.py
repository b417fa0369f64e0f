"""The actors of a round: handlers, publishers, finalizers; and the two buses between them."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from chaos_ledger import Ledger
from chaos_plan import TYPES, Fate, Key, Laden, Raw, Urgent

from brummerbus import BackpressurePolicy, Event, EventBus, Subscription

if TYPE_CHECKING:
    from chaos_deeds import Deeds

FINALIZER = 96
"""The number in the keys of what finalizers publish."""

RELAY = 97
"""The number of the handler of the other bus."""

HOOK = 98
"""The number in the keys of what hooks publish."""

ALWAYS = 99
"""The number of the handler that receives everything; those of publishers follow."""

ON_PURPOSE = "on purpose"
EXCEPTIONS = {Fate.RAISE: ValueError, Fate.EXIT: SystemExit, Fate.INTERRUPT: KeyboardInterrupt}
GOES_ON = (Fate.EXIT, Fate.INTERRUPT)


class Here(threading.local):
    """What the calling thread is doing."""

    publishing = 0
    handling = 0
    fragile = 0  # finalizers and signal handlers may interrupt anything


class Side:
    """A bus, and its ledger."""

    def __init__(self, bus: EventBus) -> None:
        self.bus = bus
        self.ledger = Ledger()


class Handler:
    """A handler with its own number, whose fates are those of the plan."""

    def __init__(self, play: "Deeds", side: Side, number: int) -> None:
        self._round = play
        self._ledger = side.ledger
        self._side = side
        self.number = number

    def __call__(self, event: Any) -> None:
        """Record the call, and do as planned."""
        delivery = (event.data, self.number)
        self._ledger.handled.append(delivery)
        if self._round.in_child:
            return
        here = self._round.here
        in_place = here.publishing > 0
        with self._round.nothing_else():
            self._check_place(in_place)
        fate = self._round.plan.handlers.throw(*delivery)
        if fate in EXCEPTIONS:
            self._ledger.failed.append(delivery)
            if in_place and fate in GOES_ON:
                self._ledger.went_on.append(delivery)
            raise EXCEPTIONS[fate](ON_PURPOSE)
        self.act(fate, event)

    def act(self, fate: Fate, event: Any) -> None:
        """Do as the plan says, but raise."""
        here = self._round.here
        outer, here.publishing = here.publishing, 0
        here.handling += 1
        try:
            with self._round.nothing_else():
                self._round.act(fate, event.data, self.number, self._side)
        finally:
            here.handling -= 1
            here.publishing = outer

    def _check_place(self, in_place: bool) -> None:
        if in_place:
            policy = self._side.bus.config.policy
            assert policy is BackpressurePolicy.CALLER_RUNS, f"a handler runs in place by {policy}"
        else:
            assert self._round.here.handling == 0, "a handler runs inside another"


class Finalizer:
    """Publishes when it is released, in whichever thread that is."""

    def __init__(self, play: "Deeds", key: Key, *, cycle: bool) -> None:
        self._round = play
        self._key = key
        self._cycle = self if cycle else None

    def __del__(self) -> None:
        self._round.interrupted_by((*self._key, FINALIZER))


@dataclass
class Publisher:
    """A thread's own decisions, keys, handler numbers, and subscriptions."""

    play: "Deeds"
    random: Random
    keys: Iterator[Key]
    numbers: Iterator[int]
    mine: list[Subscription] = field(default_factory=list)

    def event(self) -> Any:
        """Create a random event."""
        dice, key = self.random.random(), next(self.keys)
        if dice < 0.1:
            return self.random.choice((Raw, Urgent))(key)
        if dice < 0.2:
            luggage = Finalizer(self.play, key, cycle=dice < 0.15)
            return Laden(self.random.choice(TYPES), key, luggage)
        return Event(self.random.choice(TYPES), key)

    def options(self, levels: int) -> dict[str, Any]:
        """Return random arguments of publish."""
        options: dict[str, Any] = {}
        if self.random.random() < 0.2:
            options["priority"] = self.random.randint(1, levels)
        if self.random.random() < 0.2:
            options["timeout"] = self.random.choice((0, 1e-9, 0.002))
        if self.random.random() < 0.1:
            options["expires"] = self.random.choice((1e-9, 0.001, 10.0))
        if self.random.random() < 0.2:
            options["on_done"] = self.play.on_done
        return options
