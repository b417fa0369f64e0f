"""`BusHandler`: logging through a bus, in place of a `QueueHandler` and a `QueueListener`."""

import logging
import threading
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from functools import partial
from logging.handlers import QueueHandler
from typing import Any, Final

from brummerbus import BusClosed, BusError, Event, EventBus, QueueFull
from brummerbus._arguments import check_timeout

__all__ = ["BusHandler", "LevelPriorities"]

OWN: Final = "brummerbus"
"""The logger of the bus."""

DEFAULT_TYPE: Final = "log.record"


class LevelPriorities:
    """The priority of a record: that of the highest listed level which its own reaches, else 1.

    Args:
        bus: What it is published on.
        priorities: Priorities by level, as 1 to the bus's `priority_levels`. None: errors get the
            highest, warnings `MEDIUM`, others the lowest.

    Raises:
        TypeError, ValueError: A level is no int, or a priority is not one of the bus.
    """

    def __init__(self, bus: EventBus, priorities: Mapping[int, int] | None) -> None:
        highest = bus.config.priority_levels
        if priorities is None:
            priorities = {logging.WARNING: min(2, highest), logging.ERROR: highest}
        if not isinstance(priorities, Mapping):
            raise TypeError(f"priorities must be a dict by level, or None, got {priorities!r}")
        for level, priority in priorities.items():
            for name, value in (("a level", level), ("a priority", priority)):
                if isinstance(value, bool) or not isinstance(value, int):
                    raise TypeError(f"priorities: {name} must be an int, got {value!r}")
            if not 1 <= priority <= highest:
                message = f"priorities[{level}] must be an int from 1 to {highest}, got {priority}"
                raise ValueError(message)
        self._levels = sorted(priorities)
        self._priorities = [1, *(int(priorities[level]) for level in self._levels)]

    def __getitem__(self, level: int) -> int:
        return self._priorities[bisect_right(self._levels, level)]


class _Delivering(threading.local):
    """Whether this thread hands a record to a handler."""

    now = False


_delivering = _Delivering()


class BusHandler(logging.Handler):
    """A logging handler that publishes records on a bus, whose workers hand them to other handlers.

    A record is published as `Event(event_type, record, source=record.name)`, prepared as
    `logging.handlers.QueueHandler` does: message and traceback are formatted in the thread that
    logs, and what may not live longer is removed. Its level decides its priority, so errors are
    handled before, and outlive, a flood of debug lines. What a full queue refuses or drops is
    counted and reported by the bus, like any event.

    No lock of a handler is held while it publishes, unlike with any other handler. So a thread that
    waits for room holds up no other that logs, handlers of the bus included; and it may be used in
    signal handlers.

    Not published are

    - records of the logger `brummerbus`, which are about the bus itself: its warning that the queue
      is full must not fill it further. They are handled in the thread that logs;
    - records once the bus is stopped, or this handler is closed, if it has handlers: they are
      handled in the thread that logs;
    - records that a handler logs while it handles one, which would have no end. Those of warnings
      and above go to standard error.

    Args:
        bus: Where records are published. It is not stopped by `close`.
        handlers: Handlers, or in a `dictConfig` their names, which must come before the name of
            this one in the alphabet, as `dictConfig` makes them in that order. Each gets the
            records of one level in the order in which they were accepted, one at a time; a slow one
            does not hold up the others. Without, records go to the bus's subscriptions only.
        level: As for any handler.
        event_type: Of the events.
        priorities: Priorities by level, `{logging.ERROR: 3}`: a record gets that of the highest
            level that it reaches, else 1. None: errors the highest, warnings `MEDIUM`.
        timeout: How long `publish` waits for room, in seconds; None: as the bus is configured.

    Raises:
        TypeError, ValueError: An argument is of the wrong type or out of range; there is no handler
            of that name.
        BusClosed: The bus is stopped.
    """

    prepare: Any = QueueHandler.prepare  # it uses nothing but `format`

    def __init__(
        self,
        bus: EventBus,
        handlers: Iterable[logging.Handler | str] = (),
        *,
        level: int | str = logging.NOTSET,
        event_type: str = DEFAULT_TYPE,
        priorities: Mapping[int, int] | None = None,
        timeout: float | None = None,
    ) -> None:
        if not isinstance(bus, EventBus):
            raise TypeError(f"bus must be an EventBus, got {bus!r}")
        if bus.closed:
            raise BusClosed(f"{bus.name}: the bus is stopped and handles no records any more")
        super().__init__(level)
        self._bus = bus
        self._is_closed = False
        self._handlers = _all_handlers(handlers)
        self._event_type = check_type(event_type)
        self._priorities = LevelPriorities(bus, priorities)
        self._timeout = None if timeout is None else check_timeout("timeout", timeout)
        self._subscriptions = [
            bus.subscribe(event_type, partial(_deliver, handler), max_concurrency=1)
            for handler in self._handlers
        ]

    def handle(self, record: logging.LogRecord) -> Any:
        """Publish a record that the filters pass, without the handler's lock."""
        passed: Any = self.filter(record)
        if isinstance(passed, logging.LogRecord):  # a filter may replace it, from Python 3.12 on
            record = passed
        if passed:
            self.emit(record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Publish a record, or handle it here if it must not be published."""
        try:
            if _delivering.now:
                _to_standard_error(record)
            elif record.name.partition(".")[0] == OWN or (self._is_closed and self._handlers):
                self._handle_here(record)
            else:
                self._publish(record)
        except RecursionError:
            raise
        except Exception:
            self.handleError(record)

    def _publish(self, record: logging.LogRecord) -> None:
        try:
            prepared = self.prepare(record)
        except Exception:
            if not self._bus.closed:
                raise
            self._handle_here(record)  # the interpreter has ended so far that nothing is imported
            return
        event = Event(self._event_type, prepared, source=str(record.name))
        priority = self._priorities[record.levelno]
        try:
            self._bus.publish(event, priority=priority, timeout=self._timeout)
        except QueueFull:
            pass  # counted and reported by the bus
        except BusClosed:
            self._handle_here(record)

    def _handle_here(self, record: logging.LogRecord) -> None:
        if not self._handlers:
            _to_standard_error(record)
        for handler in self._handlers:
            _hand(handler, record)

    def flush(self) -> None:
        """Wait until what was logged before is handled, then flush the handlers.

        For `shutdown_timeout` of the bus at most; in a handler of the bus, it does not wait.
        """
        try:
            self._bus.barrier(self._bus.config.shutdown_timeout)
        except BusError:  # in a handler
            return
        for handler in self._handlers:
            handler.flush()

    def close(self) -> None:
        """End the handler; what was logged before is still handled. The bus goes on."""
        self._is_closed = True
        for subscription in self._subscriptions:
            subscription.cancel()
        super().close()


# Public from Python 3.12 on.
_named: Any = getattr(logging, "getHandlerByName", None) or vars(logging)["_handlers"].get


def check_type(event_type: object) -> str:
    """Return the type of the events that records become.

    Raises:
        TypeError, ValueError: It is no string, or empty.
    """
    if not isinstance(event_type, str):
        raise TypeError(f"event_type must be a non-empty string, got {event_type!r}")
    if not event_type:
        raise ValueError("event_type must be a non-empty string, got ''")
    return event_type


def _all_handlers(handlers: Iterable[logging.Handler | str]) -> list[logging.Handler]:
    if isinstance(handlers, str) or not isinstance(handlers, Iterable):
        raise TypeError(f"handlers must be a list of handlers or their names, got {handlers!r}")
    return [_handler(one) for one in handlers]


def _handler(wanted: logging.Handler | str) -> logging.Handler:
    """Return a handler, by its name in a configuration if that is given."""
    if isinstance(wanted, logging.Handler):
        return wanted
    found = _named(wanted) if isinstance(wanted, str) else None
    if found is None:
        raise ValueError(
            f"handlers: {wanted!r} is no handler, nor the name of one (dictConfig makes handlers "
            "in the order of their names, so that of a BusHandler must come after those it names)"
        )
    handler: logging.Handler = found
    return handler


def _deliver(handler: logging.Handler, event: Event) -> None:
    """Hand a record to a handler, in a worker."""
    record: logging.LogRecord = event.data
    _hand(handler, record)


def _hand(handler: logging.Handler, record: logging.LogRecord) -> None:
    if record.levelno < handler.level:
        return
    before, _delivering.now = _delivering.now, True
    try:
        handler.handle(record)
    finally:
        _delivering.now = before


def _to_standard_error(record: logging.LogRecord) -> None:
    if logging.lastResort is not None and record.levelno >= logging.lastResort.level:
        logging.lastResort.handle(record)
