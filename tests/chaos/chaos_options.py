"""Subscriptions with options, and handlers that check that they get what they ask for."""

from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

from chaos_actors import EXCEPTIONS, ON_PURPOSE, Handler, Side
from chaos_plan import Fate, Key

from brummerbus import Retry

if TYPE_CHECKING:
    from chaos_deeds import Deeds

FIRST_SIGNALLED = 50
"""Publishers' keys begin with smaller numbers; what they publish, they publish in order."""


def draw(random: Random) -> dict[str, Any]:
    """Return options of a subscription, most often none."""
    options: dict[str, Any] = {}
    if random.random() < 0.6:
        return options
    if random.random() < 0.5:
        options["key"] = key_of
    if random.random() < 0.3:
        options["max_concurrency"] = random.choice((1, 2))
    if random.random() < 0.3:
        options["batch"] = random.choice((1, 2, 40))
        options["batch_wait"] = random.choice((0.0, 0.0005))
    if random.random() < 0.3:
        options["retries"] = random.choice((1, 3))
        options["backoff"] = random.choice((0.0, 0.0005))
    if random.random() < 0.2:
        options["once"] = True
    return options


def key_of(event: Any) -> int:
    """Return a key that the events of several publishers share."""
    return int(event.data[0] % 3)


class PickyHandler(Handler):
    """A handler of a subscription with options."""

    def __init__(self, play: "Deeds", side: Side, number: int, options: dict[str, Any]) -> None:
        super().__init__(play, side, number)
        self._options = options
        self._tries: Counter[Key] = Counter()
        self._last: dict[tuple[int, int], int] = {}
        self._busy: dict[object, object] = {}

    def __call__(self, given: Any) -> None:
        """Check the call, and do as the plan says for its first event; all events end alike."""
        is_batch = "batch" in self._options
        assert isinstance(given, list) is is_batch
        events = given if is_batch else [given]
        if self._round.in_child:
            self._ledger.handled.extend((event.data, self.number) for event in events)
            return
        with self._round.nothing_else():
            assert len(events) <= self._options.get("batch", 1)
            self._check_order(events)
        places = self._enter(events[0])
        try:
            self._handle(events)
        finally:
            for place in places:
                del self._busy[place]

    def _enter(self, event: Any) -> list[object]:
        """Take a place among those that may run at once, and that of the key; none may be taken."""
        me, places = object(), []
        with self._round.nothing_else():
            limit = self._options.get("max_concurrency")
            if limit is not None:
                numbers = ((i, self._busy.setdefault(i, me)) for i in range(limit))
                place = next((i for i, taken in numbers if taken is me), None)
                assert place is not None, f"more than {limit} calls at once"
                places.append(place)
            if "key" in self._options:
                key = ("key", key_of(event))
                assert self._busy.setdefault(key, me) is me, "two calls of one key at once"
                places.append(key)
        return places

    def _check_order(self, events: list[Any]) -> None:
        """Check that each publisher's events of a key come in the order in which it published."""
        if "key" not in self._options:
            return
        assert len({key_of(event) for event in events}) == 1, "a batch of several keys"
        for event in events:
            is_first_try = event.data not in self._tries
            if is_first_try and len(event.data) == 2 and event.data[0] < FIRST_SIGNALLED:
                publisher, number = event.data
                last = self._last.setdefault((publisher, key_of(event)), -1)
                assert last < number, f"{event.data} came after {last}"
                self._last[publisher, key_of(event)] = number

    def _handle(self, events: list[Any]) -> None:
        fate = self._round.plan.handlers.throw(events[0].data, self.number)
        may_retry = fate is Fate.RAISE
        for event in events:
            delivery = (event.data, self.number)
            self._tries[event.data] += 1
            if may_retry and self._tries[event.data] <= self._options.get("retries", 0):
                self._ledger.retried.append(delivery)
                continue
            self._ledger.handled.append(delivery)
            if fate in EXCEPTIONS:
                self._ledger.failed.append(delivery)
        if fate in EXCEPTIONS:
            at_once = may_retry and len(events) == 1 and events[0].data[-1] % 2
            raise Retry(after=0) if at_once else EXCEPTIONS[fate](ON_PURPOSE)
        self.act(fate, events[0])
