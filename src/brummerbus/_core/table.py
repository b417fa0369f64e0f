"""Which subscriptions, and which taps, match an event.

Guarantees
- A route in the cache has everything that was inserted before the look-up and nothing that had been
  removed: a change is written to the table first and announced afterwards (`_forget_routes`), which
  changes the version; a thread that computes a route reads the version first and the table
  afterwards, and the route is stored only if the version is still the same (`csrc/python/cache.c`).
- No lock is held, because `publish` may be called from a signal handler or a finalizer that
  interrupts a change in the same thread. The tables are dicts of tuples, replaced by
  compare-and-swap (`swap_item`).
- After a change for an exact string, the next publish of that type computes a new route, and no
  other type does; after one for a glob or a class, each type does. What was removed leaves nothing.

What does not work, or was tried
- Routes numbered for the whole process, as in the first core: those of subscriptions that come and
  go were never freed, and 131,071 of them ended every bus of the process with MemoryError.
- A lambda, or a tuple from a generator: CPython 3.13.0 crashes when it creates a function, or such
  a tuple, and memory runs out. Hence the lists in `_change` and `matching`.
"""

import fnmatch
import itertools
import re
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any, Generic, TypeVar

from brummerbus._core._ext import Publisher, swap_item
from brummerbus._core.log import ERROR, log

_WILD = frozenset("*?[")
_INEXACT = ""
"""Where a table has the entries with a glob or a class: no event type is empty."""

next_number: Callable[[], int] = itertools.count(1).__next__
"""Numbers the entries of tables in order of creation."""


class Matcher:
    """Base of what matches an event type, a glob or a class."""

    __slots__ = ()

    event_type: str | type[Any]
    number: int
    pattern: Callable[[str], object] | None
    warned: bool

    def receives(self, cls: type, name: str | None) -> bool:
        """Return whether an entry with a glob or a class matches.

        Args:
            cls: The class of the event.
            name: Its event type; None if it is not an `Event`.
        """
        if self.pattern is not None:
            return name is not None and self.pattern(name) is not None
        try:
            return issubclass(cls, self.event_type)  # type: ignore[arg-type]
        except Exception as error:  # from a __subclasscheck__; not the publisher's fault
            if not self.warned:
                self.warned = True  # type: ignore[misc]  # the subclass has the slot
                message = "%r receives nothing of %s: the subclass check of its class raised"
                log(ERROR, message, self, cls.__qualname__, exc_info=error)
            return False


M = TypeVar("M", bound=Matcher)


class Table(Generic[M]):
    """Entries that match events; it survives a fork."""

    def __init__(self, bus: Callable[[], Publisher | None]) -> None:
        self._bus = bus  # a weak reference: a collected bus has no routes to forget
        self._entries: dict[str, tuple[M, ...]] = {}  # by event type

    def __iter__(self) -> Iterator[M]:
        for several in list(self._entries.values()):
            yield from several

    def insert(self, one: M) -> None:
        """Insert an entry, whose event type was checked; all or nothing, also if interrupted."""
        event_type = one.event_type
        if isinstance(event_type, type):
            metaclass: Any = type(event_type)
            if metaclass.__subclasscheck__ is not type.__subclasscheck__:
                self._watch_abcs()
        elif not _WILD.isdisjoint(event_type):
            one.pattern = re.compile(fnmatch.translate(event_type)).match
        try:
            self._change(one, present=True)
        except BaseException:  # an interrupt: the caller could not remove it
            self.remove(one)
            raise

    def remove(self, one: M) -> bool:
        """Remove an entry; return whether it was there."""
        return self._change(one, present=False)

    def _change(self, one: M, *, present: bool) -> bool:
        """Insert or remove an entry; return whether it was there before."""
        exact = one.event_type if isinstance(one.event_type, str) and one.pattern is None else None
        key = exact or _INEXACT
        while True:
            old = self._entries.get(key, ())
            others = tuple([other for other in old if other is not one])
            if swap_item(self._entries, key, old, (*others, one) if present else others):
                break
        bus = self._bus()
        if bus is not None:
            bus._forget_routes(exact)
        return len(others) < len(old)

    def _watch_abcs(self) -> None:
        bus = self._bus()
        if bus is not None:
            bus._watch_abcs()

    def matching(self, cls: type, name: str | None) -> tuple[M, ...]:
        """Return the entries that match a class and, for an `Event`, an event type.

        In order of creation. Linear in the number of globs and classes.
        """
        exact = self._entries.get(name, ()) if name is not None else ()
        others = self._entries.get(_INEXACT, ())
        found = [*exact, *[one for one in others if one.receives(cls, name)]]
        return tuple(sorted(found, key=attrgetter("number")))
