"""Routes into the queue of one process: what is constant about events of one type at one level."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from brummerbus._core._ext import Event, Route
from brummerbus._core.callables import attribute
from brummerbus._core.handlers import check_published
from brummerbus._core.hooks import Hooks
from brummerbus._core.plan import buffers_of, plan_for
from brummerbus._core.queue import MAX_TYPES, Queue
from brummerbus._core.subscriptions import Subscription, Subscriptions
from brummerbus._core.taps import AnyTap, Taps, taps_for
from brummerbus._events import Priority
from brummerbus._priorities import MAX_LEVELS

if TYPE_CHECKING:
    from brummerbus._config import EventBusConfig

OTHER = "(other)"
"""The label under which event types after the first `MAX_TYPES` - 1 are counted."""


def class_and_type(event: Any) -> tuple[type, str | None]:
    """Return what an event is routed by: its class and, if it is an `Event`, its type.

    Raises:
        TypeError: It can only be a mistake, or is an event that was not initialised.
    """
    cls = type(event)
    if not issubclass(cls, Event):  # and not what only says so in its `__class__`
        check_published(event)
        return cls, None
    try:
        return cls, event.type
    except AttributeError:
        raise TypeError(
            f"the {cls.__qualname__} was not initialised: its __init__ must call Event.__init__"
        ) from None


class Routes:
    """Creates routes, and numbers the event types. It belongs to the queue: a fork abandons it."""

    def __init__(
        self,
        queue: Queue,
        config: "EventBusConfig",
        hooks: Hooks,
        subscriptions: Subscriptions,
        taps: Taps,
    ) -> None:
        self._queue = queue
        self._hooks = hooks
        self._subscriptions = subscriptions
        self._taps = taps
        self._levels = config.priority_levels
        self._context = config.propagate_context
        # Classes by address: the hash of a class may run user code.
        priorities = config.priorities.items()
        self._by_name = {key: p for key, p in priorities if isinstance(key, str)}
        self._by_class = {id(key): p for key, p in priorities if isinstance(key, type)}
        self.types: dict[str, int] = {OTHER: 0}
        """The number under which each event type is counted."""
        self._next_type = itertools.count(1).__next__
        self.recipients: dict[tuple[int, int], tuple[int, ...]] = {}
        """The numbers of the subscriptions to which events of a type at a level go, by both."""

    def make(self, event: Any, priority: int | None) -> tuple[Route, type, str | None]:
        """Return the route of an event at an explicit or its own priority, its class and type.

        Raises:
            TypeError: Publishing it can only be a mistake, or it is an uninitialised `Event`.
        """
        cls, name = class_and_type(event)
        recipients = self._subscriptions.matching(cls, name)
        for one in recipients:
            one.count_from(self._queue.forks)
        level = self._level(cls, name) if priority is None else priority
        number = self._type(name if name is not None else cls.__qualname__)
        self.recipients[number, level] = tuple([one.number for one in recipients])
        taps = taps_for(self._taps, cls, name)
        return self._route(level, number, recipients, taps, cls), cls, name

    def level(self, event: Any, priority: int | None) -> int:
        """Return the level of an event, at an explicit priority or its own."""
        return self._level(*class_and_type(event)) if priority is None else priority

    def without(self, route: Route, left_out: Sequence[Subscription]) -> Route:
        """Return a route like another, to fewer recipients."""
        recipients = tuple([one for one in route.recipients if one not in left_out])
        taps = route.plan.taps
        return self._route(route.level, route.type, recipients, taps, None)

    def _route(
        self,
        level: int,
        number: int,
        recipients: tuple[Subscription, ...],
        taps: tuple[AnyTap, ...],
        key: object,
    ) -> Route:
        queue, plan = self._queue, plan_for(recipients, taps, self._hooks, context=self._context)
        way = queue, queue.address, level, number, recipients
        return Route(*way, key, plan, bool(taps), buffers_of(plan, taps))

    def _level(self, cls: type, name: str | None) -> int:
        own = attribute(cls, "priority")
        if issubclass(type(own), int) and type(own) is not bool:
            number = int.__int__(own)  # a subclass may override comparison
            if 1 <= number <= MAX_LEVELS:
                return min(number, self._levels)
        level = self._by_name.get(name) if name is not None else None
        if level is None:
            level = self._by_class.get(id(cls), Priority.MEDIUM)
        return min(int(level), self._levels)

    def _type(self, name: str) -> int:
        number = self.types.get(name)
        if number is None:
            new = self._next_type() if len(self.types) < MAX_TYPES else MAX_TYPES
            # setdefault decides between two threads with the same type; the other number is unused.
            number = self.types.setdefault(name, new) if new < MAX_TYPES else 0
        return number
