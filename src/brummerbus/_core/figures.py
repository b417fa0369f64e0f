"""What the engine of a process measures, and what its flight recorder knows."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from brummerbus._core import deferred
from brummerbus._core.queue import MAX_PRESENT_WORKERS, Queue
from brummerbus._core.recorder import explanation, report
from brummerbus._core.routes import OTHER, Routes
from brummerbus._core.subscriptions import Subscription, Subscriptions
from brummerbus._measurements import NO_STREAMS, MeasuredLoad, SizingStep, StreamTotals, Timer

if TYPE_CHECKING:
    from brummerbus._stats import BusStats


def read_stats(
    queue: Queue,
    numbers: dict[str, int],
    subscriptions: Callable[[], Sequence[Subscription]] = tuple,
    sizing: Sequence[SizingStep] = (),
    scheduled: int = 0,
    streams: StreamTotals = NO_STREAMS,
) -> "BusStats":
    """Return a snapshot of all figures of a queue; `numbers` are those of the event types."""
    while True:  # until no new type was added between the two reads
        known = max(numbers.copy().values()) + 1
        recipients = subscriptions()
        snapshot = queue.snapshot(known, MAX_PRESENT_WORKERS, recipients, durations=True)
        types = numbers.copy()
        if max(types.values()) < known:
            labels = [one.label for one in recipients]
            return deferred.bus_stats(snapshot, types, labels, sizing, scheduled, streams, OTHER)


class Figures:
    """Reads the figures of one queue."""

    def __init__(
        self, name: str, queue: Queue, routes: Routes, subscriptions: Subscriptions
    ) -> None:
        self._name = name
        self._queue = queue
        self._routes = routes
        self._subscriptions = subscriptions

    def stats(
        self, sizing: Sequence[SizingStep], scheduled: int, streams: StreamTotals
    ) -> "BusStats":
        """Return a snapshot of all figures."""
        types = self._routes.types
        return read_stats(self._queue, types, self.recipients, sizing, scheduled, streams)

    def explain(self, event_id: int) -> str:
        """Return what the flight recorder knows of an event."""
        return explanation(self._queue, event_id, self._labels())

    def report(self) -> str:
        """Return all that the flight recorder knows."""
        return report(self._name, self._queue, self._labels(), self._routes.types.copy())

    def _labels(self) -> dict[int, str]:
        return {one.account: one.label for one in self._subscriptions}

    def load(self) -> tuple[MeasuredLoad, dict[int, str]]:
        """Return arrivals and handling times by subscription, and the subscriptions' labels.

        Ended subscriptions are under `OTHER`.
        """
        recipients = self.recipients()
        known = max(self._routes.types.copy().values()) + 1
        snapshot = self._queue.snapshot(known, durations=True)
        arrivals, timers = self._queue.load(recipients)
        sums = zip(snapshot.timer, *timers, strict=True)
        other = Timer(*(all_ - sum(parts) for all_, *parts in sums))
        labels = {0: OTHER} | dict(enumerate((one.label for one in recipients), start=1))
        places = {one.number: place for place, one in enumerate(recipients, start=1)}
        assert snapshot.durations is not None
        load = MeasuredLoad(
            *arrivals,
            timers={n: t for n, t in enumerate((other, *timers)) if t.deliveries > 0},
            processing=snapshot.durations[1].buckets,
            routes={
                key: tuple(places.get(number, 0) for number in numbers)
                for key, numbers in self._routes.recipients.copy().items()
            },
            types={number: one.published for number, one in enumerate(snapshot.types)},
            levels={level: one.published for level, one in enumerate(snapshot.levels, start=1)},
        )
        return load, labels

    def recipients(self) -> list[Subscription]:
        """Return the subscriptions; their counts start from 0 in each process."""
        recipients = list(self._subscriptions)
        for one in recipients:
            one.count_from(self._queue.forks)
        return recipients
