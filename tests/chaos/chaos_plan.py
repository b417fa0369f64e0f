"""The random decisions of one round of chaos, all determined by the round's seed.

What a handler does with an event depends on the seed, the event's key and the handler's number, and
not on a generator, so that it does not depend on the order of the threads.
"""

from bisect import bisect
from dataclasses import dataclass
from enum import Enum, auto
from itertools import accumulate
from random import Random
from typing import Any

from brummerbus import BackpressurePolicy, Event

Key = tuple[int, ...]
"""Identifies an event: the publisher and its number there; for what a handler or a hook published,
the key of its cause and the handler's number."""

MAX_KEY = 5
"""Longer keys cause no further events, so that a round ends."""

TYPES = ("a", "a.b", "a.c", "log.line", "process.started", "build.event")


class Raw:
    """Something published that is not an event."""

    def __init__(self, data: Key) -> None:
        self.data = data


class Urgent(Raw):
    """An event with its own priority."""

    priority = 8


class Laden(Event):
    """An event with a finalizer in its data, which runs where the event is released."""

    def __init__(self, event_type: str, data: Key, luggage: object) -> None:
        super().__init__(event_type, data)
        self.luggage = luggage


CLAIMS: tuple[str | type, ...] = (*TYPES, "a.*", "*", "?", "[bl]*", Event, Raw, Urgent, object)
"""Event types of subscriptions."""


class Fate(Enum):
    """What happens in a delivery, or in a call of a hook."""

    RETURN = auto()
    RAISE = auto()
    EXIT = auto()
    INTERRUPT = auto()
    SLOW = auto()
    STUCK = auto()
    PUBLISH = auto()
    PUBLISH_MANY = auto()
    FLUSH = auto()
    FORK = auto()
    STOP = auto()


_ALWAYS = {Fate.RETURN: 600.0, Fate.FLUSH: 2.0}
_SOMETIMES = {
    Fate.RAISE: 80.0,
    Fate.EXIT: 20.0,
    Fate.INTERRUPT: 20.0,
    Fate.SLOW: 40.0,
    Fate.STUCK: 2.0,
    Fate.PUBLISH: 200.0,
    Fate.PUBLISH_MANY: 60.0,
    Fate.FORK: 0.3,
    Fate.STOP: 0.3,
}
_HOOK_RAISES = (Fate.RAISE, Fate.EXIT, Fate.INTERRUPT)
_HOOK_PUBLISHES = (Fate.PUBLISH, Fate.PUBLISH_MANY)


class Dice:
    """Fates with their weights."""

    def __init__(self, seed: int, weights: dict[Fate, float]) -> None:
        self._seed = seed
        self._fates = list(weights)
        self._sums = list(accumulate(weights.values()))

    def throw(self, key: Key, number: int) -> Fate:
        """Return what this handler does with this event; the same at each call."""
        share = (hash((self._seed, *key, number)) & 0xFFFFFFFF) / 2**32
        return self._fates[bisect(self._sums, share * self._sums[-1], hi=len(self._sums) - 1)]


@dataclass(frozen=True)
class Plan:
    """A round.

    Attributes:
        settings: Fields of the bus's configuration.
        other: Those of a second bus, whose handlers publish to the first, and vice versa.
        handlers: What handlers do.
        hooks: What hooks do; None: the bus has none.
        exact: The hooks publish nothing. The bus ends chains of hooks that publish by not calling
            them any more, so only then are they called for every drop and failure.
        switch_interval: Seconds after which the interpreter switches threads.
        seconds: Seconds until whatever blocks the publishers is released.
        stop: Arguments of a stop during the work, or None.
        signals: Seconds between two signals, whose handler publishes; 0: none.
        garbage: Objects created after which the garbage collector runs, and finalizers with it.
    """

    seed: int
    settings: dict[str, Any]
    other: dict[str, Any]
    handlers: Dice
    hooks: Dice | None
    exact: bool
    publishers: int
    operations: int
    switch_interval: float
    seconds: float
    stop: dict[str, Any] | None
    signals: float
    garbage: int

    def publisher(self, number: int) -> Random:
        """Return the generator of one publisher's decisions."""
        return Random(self.seed * 1000 + number)


def plan(seed: int) -> Plan:
    """Return the round of a seed."""
    random = Random(seed)
    weights = {**_ALWAYS, **{fate: w for fate, w in _SOMETIMES.items() if random.random() < 0.6}}
    raises, publishes = random.random() < 0.4, random.random() < 0.4
    hook_weights = {
        Fate.RETURN: 600.0,
        **(dict.fromkeys(_HOOK_RAISES, 50.0) if raises else {}),
        **(dict.fromkeys(_HOOK_PUBLISHES, 150.0) if publishes else {}),
    }
    return Plan(
        seed=seed,
        settings=_settings(random),
        other=_settings(random),
        handlers=Dice(seed, weights),
        hooks=Dice(seed + 1, hook_weights) if random.random() < 0.8 else None,
        exact=not publishes,
        publishers=random.randint(1, 5),
        operations=random.choice((20, 100, 400)),
        switch_interval=random.choice((5e-3, 1e-4, 1e-6)),
        seconds=random.uniform(0.01, 0.2),
        stop=_stop(random) if random.random() < 0.4 else None,
        signals=random.choice((0, 0.001, 0.01)),
        garbage=random.choice((50, 700)),
    )


def _settings(random: Random) -> dict[str, Any]:
    settings = _plain_settings(random)
    workers = settings["workers"]
    if random.random() < 0.3 and workers not in (1, (1, 4)):
        settings["reserved_workers"] = 1
    return settings


def _plain_settings(random: Random) -> dict[str, Any]:
    return {
        "policy": random.choice(list(BackpressurePolicy)),
        "workers": random.choice((1, 2, 3, 8, (1, 4), (2, 8))),
        "queue_size": random.choice((1, 2, 5, 20, 200, 2000)),
        "priority_levels": random.choice((1, 2, 3, 8)),
        "publish_timeout": random.choice((0, 0.001, 0.02)),
        "handler_reserve": random.choice((0, 1, 10, 4096)),
        "starvation_after": random.choice((None, 1e-9, 0.001)),
        "monitoring": random.random() < 0.7,
        "slow_handler_after": random.choice((None, None, 0.001)),
        "propagate_context": random.random() < 0.2,
    }


def _stop(random: Random) -> dict[str, Any]:
    return {"drain": random.random() < 0.6, "timeout": random.choice((0, 0.01, 0.05))}
