"""Who receives what: subscriptions, and the route that an event takes to them.

No lock is held here, because `publish` may be called from a signal handler or a finalizer that
interrupts `subscribe` in the same thread. Instead every step is one atomic operation on a dict,
in an order that makes the guarantee: a subscription is put into the table first, and then the
cache of routes is replaced by an empty one. Who computes a route takes hold of the cache first
and then reads the table, so a route that misses the subscription can only be stored in the older
cache, which nobody will ask again.
"""

import fnmatch
import inspect
import itertools
import re
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple

from brummerbus.arguments import shown
from brummerbus.config import EventBusConfig
from brummerbus.events import Event, Priority
from brummerbus.ring import MAX_KINDS, MAX_METERS, Ring

Handler = Callable[[Any], object]
RouteKey = tuple[type, str | None, int | None]

MAX_ROUTES = 4096
"""Cached routes. Programs have few event types; one that invents them endlessly pays a look-up
for each rather than memory without end."""

_WILD = frozenset("*?[")

MAX_METERED_ROUTES = 4096
"""Ways of levels and subscriptions that are metered; where subscriptions come and go without end,
later ones are not."""

OWN_METERS = 512
"""Subscriptions that have a meter of their own. Later ones share one with those of the same event
type and name, so that handlers subscribed time and again are still told from others."""

OTHER = "(other)"
"""Where event types are counted that came after the first `MAX_KINDS` - 1."""


class Subscription:
    """A handler's claim to the events of one type; `EventBus.subscribe` makes it.

    As a context manager it is cancelled at the end of the block.

    Attributes:
        event_type: The string, glob or class that was subscribed to.
        handler: What is called with each event.
        meter: Where its times are recorded; 0: with those of all that came too late.
        matches: Tells from an object's class, and an event's type, whether it is received.
    """

    __slots__ = ("__weakref__", "_cancel", "event_type", "handler", "matches", "meter")

    def __init__(
        self, event_type: str | type, handler: Handler, cancel: Callable[[], None]
    ) -> None:
        self.event_type = event_type
        self.handler = handler
        self.meter = 0
        self._cancel = cancel
        self.matches = _matcher(event_type)

    def cancel(self) -> None:
        """End the subscription; idempotent.

        Events whose `publish` begins after this returned are not delivered to it; what is queued
        already is. Safe from any thread, any handler and a signal handler.
        """
        self._cancel()

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cancel()

    def __repr__(self) -> str:
        return f"<Subscription {self.label}>"

    @property
    def label(self) -> str:
        """Event type and handler, for people."""
        handler = self.handler
        while isinstance(handler, partial):
            handler = handler.func
        name = getattr(handler, "__qualname__", None) or f"{type(handler).__qualname__} object"
        kind = self.event_type
        return f"{kind if isinstance(kind, str) else kind.__qualname__} -> {name}"


class Echo:
    """A subscription as seen by an event that a hook published.

    `generation` counts the hooks that led to it, so that hooks which publish come to an end.
    """

    __slots__ = ("generation", "handler", "subscription")

    def __init__(self, subscription: Subscription, generation: int) -> None:
        self.subscription = subscription
        self.handler = subscription.handler
        self.generation = generation


class Route(NamedTuple):
    """What is constant about publishing events of one type at one level.

    Attributes:
        draw: Returns the handle of the next event.
        subscriptions: Who receives them, in the order in which they were made.
    """

    draw: Callable[[], int]
    subscriptions: tuple[Subscription, ...]


NO_SINGLE = (itertools.repeat(0).__next__, None)
"""In place of a single subscription: its handle is 0, which no ring has, so that the ring refuses
it. That is told from the way of an event in a third of the time that an exception for a missing
entry takes."""


class Subscriptions:
    """The table of subscriptions; it outlives a fork."""

    def __init__(self) -> None:
        self._table: dict[int, Subscription] = {}
        self._next_key = itertools.count().__next__
        self._next_meter = itertools.count(1).__next__
        self._meter_of: dict[str, int] = {}  # by label, the last
        self.labels: dict[int, str] = {0: OTHER}
        """Subscriptions by meter, also those that were cancelled."""
        self.single: dict[str, tuple[Callable[[], int], Subscription]] = {}
        """The shortest way: of plain events by type, where exactly one subscription matches."""
        self.several: dict[str, Route] = {}
        """Of plain events by type, where none matches or more than one."""
        self.plain: dict[str, tuple[Callable[[], int], Any]] = {}
        """Both: the entry of `single`, or `NO_SINGLE`."""
        self.routes: dict[RouteKey, Route] = {}
        """All others: by class, an event's type, and explicit priority. `Router` keeps all four."""

    def add(self, event_type: str | type, handler: Handler) -> Subscription:
        """Add one; `event_type` and `handler` are checked first."""
        event_type = check_event_type(event_type)
        check_handler(handler)
        key = self._next_key()

        def cancel() -> None:
            self._table.pop(key, None)
            self.forget_routes()

        subscription = Subscription(event_type, handler, cancel)
        subscription.meter = self._meter(subscription.label)
        try:
            self._table[key] = subscription
            self.forget_routes()
        except BaseException:  # an interrupt: nobody could cancel it, and some routes know it
            cancel()
            raise
        return subscription

    def _meter(self, label: str) -> int:
        """Return the number of a meter, which is the label's own as long as there are enough."""
        number = self._meter_of.get(label) if len(self.labels) > OWN_METERS else None
        if number is None:
            number = self._next_meter()
            if number >= MAX_METERS:
                return 0
            self.labels[number] = label
            self._meter_of[label] = number
        return number

    def forget_routes(self) -> None:
        """Begin with empty caches; who is at it fills the old ones, which nobody asks again."""
        self.plain = {}
        self.single = {}
        self.several = {}
        self.routes = {}

    def matching(self, cls: type, name: str | None) -> tuple[Subscription, ...]:
        """Return who receives objects of the class, and, for events, of the type's name."""
        # One C call copies the table, so that no other thread can change it meanwhile.
        return tuple(s for s in list(self._table.values()) if s.matches(cls, name))


class Router:
    """Routes into one ring: made with it, and left behind with it by a fork."""

    def __init__(self, ring: Ring, config: EventBusConfig, subscriptions: Subscriptions) -> None:
        self._ring = ring
        self._config = config
        self._subscriptions = subscriptions
        self.kinds: dict[str, int] = {OTHER: 0}
        self._next_kind = itertools.count(1).__next__
        self._draws: dict[tuple[int, int, tuple[int, ...]], Callable[[], int]] = {}

    def route(self, event: Any, priority: int | None) -> Route:
        """Return the route of an event of any kind, at an explicit priority or its own."""
        cls = type(event)
        name = event.type if isinstance(event, Event) else None
        key = (cls, name, priority)
        # The caches are taken hold of before the subscriptions are read, see the top.
        of = self._subscriptions
        plain, single, several, routes = of.plain, of.single, of.several, of.routes
        route = routes.get(key)
        if route is None:
            route = self._make(cls, name, priority)
            if len(routes) >= MAX_ROUTES:
                for cache in (plain, single, several, routes):
                    cache.clear()
            routes[key] = route
        if cls is Event and priority is None:
            if len(route.subscriptions) == 1:
                single[event.type] = plain[event.type] = (route.draw, route.subscriptions[0])
            else:
                several[event.type] = route
                plain[event.type] = NO_SINGLE
        return route

    def _make(self, cls: type, name: str | None, priority: int | None) -> Route:
        subscriptions = self._subscriptions.matching(cls, name)
        level = self._level(cls, name, priority)
        kind = self._kind(name if name is not None else cls.__qualname__)
        return Route(self._draw(kind, level, subscriptions), subscriptions)

    def _level(self, cls: type, name: str | None, priority: int | None) -> int:
        if priority is not None:
            return priority
        levels = self._config.priority_levels
        own = getattr(cls, "priority", None)
        if isinstance(own, int) and not isinstance(own, bool):
            if own < 1:
                raise ValueError(
                    f"{cls.__qualname__}.priority must be at least 1, got {shown(own)}"
                )
            return min(int(own), levels)
        table = self._config.priorities
        entry = table.get(cls if name is None else name, table.get(cls))
        return min(int(Priority.MEDIUM if entry is None else entry), levels)

    def _kind(self, name: str) -> int:
        kind = self.kinds.get(name)
        if kind is None:
            number = self._next_kind()
            # setdefault decides which of two threads named the kind; the other number is wasted.
            kind = self.kinds.setdefault(name, number) if number < MAX_KINDS else 0
        return kind

    def _draw(
        self, kind: int, level: int, subscriptions: tuple[Subscription, ...]
    ) -> Callable[[], int]:
        meters = tuple(s.meter for s in subscriptions) or (0,)
        if (kind, level, meters) not in self._draws and len(self._draws) >= MAX_METERED_ROUTES:
            meters = (0,) * len(meters)
        key = (kind, level, meters)
        draw = self._draws.get(key)
        if draw is None:
            base = self._ring.route(kind, level, len(meters))
            self._ring.meter_route(base, meters)
            # setdefault decides which of two threads made the route; the other is not used.
            draw = self._draws.setdefault(key, itertools.count(base, len(meters)).__next__)
        return draw


def check_event_type(event_type: Any) -> str | type:
    """Return what can be subscribed to: a non-empty plain string, or a class."""
    if isinstance(event_type, type):
        try:
            issubclass(object, event_type)
        except Exception as error:  # a plain `Protocol`, say; every publish would ask, and fail
            raise TypeError(f"event_type {event_type!r} cannot be asked for subclasses: {error}")
        return event_type
    if not isinstance(event_type, str):
        raise TypeError(f"event_type must be a string, a glob or a class, got {shown(event_type)}")
    if not event_type:
        raise ValueError("event_type must be a non-empty string or a class, got ''")
    return str.__str__(event_type)  # of a subclass, the string that `Event` keeps


def check_handler(handler: Any) -> None:
    """Raise `TypeError` unless the handler is a callable that does its work when called."""
    if not callable(handler):
        raise TypeError(f"handler must be callable, got {shown(handler)}")
    call = getattr(handler, "__call__", None)  # noqa: B004, of an object with an async one
    if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call):
        raise TypeError(
            f"handler must be a plain function, got the coroutine function {shown(handler)}"
        )


def _matcher(event_type: str | type) -> Callable[[type, str | None], bool]:
    if isinstance(event_type, type):
        return lambda cls, _: issubclass(cls, event_type)
    if not _WILD.isdisjoint(event_type):
        matches = re.compile(fnmatch.translate(event_type)).match
        return lambda _, name: name is not None and matches(name) is not None
    return lambda _, name: name == event_type


def of_look_up(error: BaseException) -> bool:
    """Return whether a publisher's own look-up raised it, and not a signal handler in between."""
    trace = error.__traceback__  # kept in no frame that it leads to: it would keep the event alive
    return type(error) is KeyError and trace is not None and trace.tb_next is None
