"""`bus_sink`: a sink for loguru that publishes messages on a bus. It needs nothing of loguru."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from brummerbus import BusClosed, Event, EventBus, QueueFull
from brummerbus._arguments import check_timeout
from brummerbus.loghandler import DEFAULT_TYPE, OWN, LevelPriorities, check_type

__all__ = ["bus_sink"]


def bus_sink(
    bus: EventBus,
    *,
    event_type: str = DEFAULT_TYPE,
    priorities: Mapping[int, int] | None = None,
    timeout: float | None = None,
) -> Callable[[Any], None]:
    """Return a sink for `loguru.logger.add`, whose messages the bus's subscriptions get.

    A message is published as `Event(event_type, message, source=name)`: the formatted string, with
    loguru's `record` as an attribute. Its level decides its priority. What a full queue refuses or
    drops is counted and reported by the bus, like any event.

    Messages once the bus is stopped go to standard error; and so do those of the bus itself, if
    the program forwards `logging` to loguru, since its warning that the queue is full must not
    fill it further.

    loguru holds a lock of the sink while it calls it. So a publisher that waits for room there
    holds up all threads that log; with `timeout=0` it does not wait. And a handler of the bus that
    logs must not be what it waits for: not with the policy `BLOCK`, then.

    Args:
        bus: Where messages are published.
        event_type: Of the events.
        priorities: Priorities by level number, as for `BusHandler`.
        timeout: How long `publish` waits for room, in seconds; None: as the bus is configured.

    Raises:
        TypeError, ValueError: An argument is of the wrong type or out of range.
    """
    if not isinstance(bus, EventBus):
        raise TypeError(f"bus must be an EventBus, got {bus!r}")
    event_type = check_type(event_type)
    limit = None if timeout is None else check_timeout("timeout", timeout)
    by_level = LevelPriorities(bus, priorities)

    def sink(message: Any) -> None:
        record = message.record
        name = record["name"] or ""
        if name.partition(".")[0] == OWN:
            sys.stderr.write(message)
            return
        event = Event(event_type, message, source=name)
        try:
            bus.publish(event, priority=by_level[record["level"].no], timeout=limit)
        except QueueFull:
            pass  # counted and reported by the bus
        except BusClosed:
            sys.stderr.write(message)

    return sink
