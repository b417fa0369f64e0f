"""Access to the internals of a bus, which are known here and nowhere else.

`helpers.processes` passes the source of `forget_routes` to the programs that it runs.
"""

from threading import Thread
from typing import Any

from brummerbus import EventBus, Listener, Stream, Subscription
from brummerbus._core._ext import Lane, Route
from brummerbus._core.autoscaler import Autoscaler
from brummerbus._core.lanes import LaneTable
from brummerbus._core.queue import Queue
from brummerbus._measurements import MeasuredLoad


def queue_of(bus: EventBus) -> Queue:
    """Return the C queue."""
    return bus._engine.queue


def workers_of(bus: EventBus) -> list[Thread]:
    """Return the threads that were started for the bus and have not been joined."""
    return list(bus._engine.threads._threads)


def autoscaler_of(bus: EventBus) -> Autoscaler:
    """Return a new autoscaler for the bus, in addition to that of its monitor thread."""
    return Autoscaler(bus.config, bus._engine.queue, bus._engine.resize)


def oldest_wait(autoscaler: Autoscaler) -> float:
    """Return the seconds that the next delivery has waited, as the autoscaler reads it."""
    return autoscaler._read().oldest_wait


def load_of(bus: EventBus) -> tuple[MeasuredLoad, Any]:
    """Return the adviser's input: the measured load, and the labels of its timers."""
    return bus._engine.figures.load()


def type_numbers(bus: EventBus) -> dict[str, int]:
    """Return the number of each event type."""
    return bus._engine.routes.types


def discard_queued(bus: EventBus) -> None:
    """Close the queue and drop what it holds, as a stop does."""
    bus._engine.queue.close(drain=False)
    bus._engine.discard()


def cached_route(bus: EventBus, event: Any) -> Route | None:
    """Return the cached route of the event without a priority."""
    return bus._cached_route(event, 0)


def forget_routes(bus: EventBus) -> None:
    """Empty the cache of routes, which refers to subscriptions."""
    bus._forget_routes(None)


def subscriptions_of(bus: EventBus) -> list[Subscription]:
    """Return all subscriptions."""
    return list(bus._subscriptions)


def types_subscribed_to(bus: EventBus) -> list[Any]:
    """Return the keys of the table of subscriptions; cancelled ones must not leave any."""
    return list(bus._subscriptions._entries)


def schedule_of(bus: EventBus) -> Any:
    """Return what keeps the scheduled events."""
    return bus._engine.schedule


def overdue(bus: EventBus) -> int:
    """Return how many scheduled events are due and wait for their turn, or for a listener."""
    schedule = schedule_of(bus)
    due = sum(len(line) for line in list(schedule._overdue.values()))
    return due + sum(len(numbers) for numbers in list(schedule._joined.values()))


def close_schedule(bus: EventBus) -> None:
    """Drop what is scheduled, as a stop does after it has closed the queue."""
    bus._engine.schedule.close()


def types_listened_to(bus: EventBus) -> int:
    """Return how many event types threads listen to or wait for."""
    return len(list(bus._taps))


def held_by(listener: Listener[Any]) -> list[Any]:
    """Return the events that a listener holds."""
    return list(listener._tap._events)


def publishers_asleep(listener: Listener[Any]) -> int:
    """Return how many publishers wait until the listener can take more."""
    return len(listener._tap._givers._locks)


def takers_asleep(listener: Listener[Any]) -> int:
    """Return how many threads wait for the listener's next event."""
    return len(listener._tap._takers._locks)


def tasks_asleep(stream: Stream[Any]) -> int:
    """Return how many tasks wait for the stream's next event."""
    return len(stream._tap.waiters)


def tasks_that_wait(bus: EventBus) -> int:
    """Return how many tasks wait to publish."""
    tasks = bus._engine.waiting_tasks
    return len(tasks._waiting) + (tasks._tried is not None)


def level_waited_for(bus: EventBus) -> int | None:
    """Return the level of the event for which the thread of waiting tasks waits in the queue."""
    tried = bus._engine.waiting_tasks._tried
    return None if tried is None or bus.stats().waiting != 1 else tried.level


def publishes_in_c(bus: EventBus, event: Any) -> bool:
    """Publish an event; return whether that took no method in Python."""
    slow: list[Any] = []
    publish = bus._publish
    bus._publish = lambda *args, **options: (slow.append(1), publish(*args, **options))[1]  # type: ignore[method-assign]
    try:
        assert bus.publish(event)
    finally:
        del bus._publish
    return not slow


def lane_tables_of(subscription: Subscription) -> list[LaneTable]:
    """Return the tables of the keys of a subscription, one for each process since the first."""
    return list(subscription.lane_tables.values())


def lanes_of(subscription: Subscription) -> dict[Any, Lane]:
    """Return the keys that a subscription remembers, and their lanes."""
    generations = [table._generations[""] for table in lane_tables_of(subscription)]
    return {key: lane for young, old in generations for key, lane in (*old.items(), *young.items())}


def keep_few_keys(bus: EventBus, subscription: Subscription, limit: int) -> None:
    """Have the table of a subscription's keys turn over from that many keys on."""
    subscription.lanes(bus._engine.queue.forks)._limit = limit


def retry_delay(subscription: Subscription, attempt: int, error: BaseException) -> int:
    """Return the nanoseconds until a delivery that has failed is tried again."""
    return subscription._retry_delay(attempt, error)


def sources_of(collector: Any) -> list[Any]:
    """Return the buses that an exporter holds the queues of."""
    return list(collector._exported._sources)


def stepped_workers(bus: EventBus) -> list[Any]:
    """Return the workers of a bus without threads."""
    threads: Any = bus._engine.threads
    return [worker for worker, _ in threads._all]


def timers_of(bus: EventBus) -> list[Any]:
    """Return what is to happen later on a bus without threads, in the order of arrangement."""
    engine: Any = bus._engine
    return sorted(engine._timers._entries, key=lambda entry: entry[1])
