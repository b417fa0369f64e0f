"""The queues of all buses of this process, for what exports their figures.

Guarantees
- What counts a bus does not keep it, nor its handlers: only its queue and the names of its types.
- No count is lost with a bus: its queue is final once its engine is gone, and the exporter that
  holds it can read it after that.
- Without an exporter nothing is kept, and a bus costs one entry in a dict.
"""

import weakref
from typing import TYPE_CHECKING, Protocol

from brummerbus._core.figures import read_stats
from brummerbus._core.queue import Queue

if TYPE_CHECKING:
    from brummerbus._stats import BusStats


class Counted:
    """What has the figures of a bus in one process, and outlives it."""

    __slots__ = ("__weakref__", "_engine", "_types", "is_timed", "name", "queue")

    def __init__(
        self, engine: object, name: str, queue: Queue, types: dict[str, int], *, is_timed: bool
    ) -> None:
        self._engine = weakref.ref(engine)
        self._types = types
        self.is_timed = is_timed
        self.name = name
        self.queue = queue

    def is_final(self) -> bool:
        """Return whether nothing can change any more: an engine exists until it is drained."""
        return self._engine() is None

    def stats(self) -> "BusStats":
        """Return its figures, without those by subscription."""
        return read_stats(self.queue, self._types)


class Watcher(Protocol):
    """What wants to know of every bus that begins."""

    def begun(self, counted: Counted) -> None:
        """Note a bus. From any thread, also in a finalizer or a signal handler; never waits."""


# By address: a WeakSet must not change while it is iterated over.
_all: "weakref.WeakValueDictionary[int, Counted]" = weakref.WeakValueDictionary()
_watchers: "weakref.WeakValueDictionary[int, Watcher]" = weakref.WeakValueDictionary()


def announce(counted: Counted) -> None:
    """A bus begins, or continues in the child of a fork."""
    _all[id(counted)] = counted
    for reference in _watchers.valuerefs():
        watcher = reference()
        if watcher is not None:
            watcher.begun(counted)


def watch(watcher: Watcher) -> None:
    """Notify a watcher of all buses, as long as it exists; perhaps twice of the same one."""
    _watchers[id(watcher)] = watcher
    for counted in living():
        watcher.begun(counted)


def living() -> list[Counted]:
    """Return those of this process. From any thread, while buses begin and end."""
    found = [counted for reference in _all.valuerefs() if (counted := reference()) is not None]
    return [counted for counted in found if not counted.queue.is_gone()]
