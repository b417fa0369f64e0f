"""What the interpreter's end and a fork mean for buses that are alive.

Exit. Python joins all threads that are not daemons and then runs the `atexit` hooks. So a hook
cannot be what stops threads that Python joins; workers are daemons, and the hook, which runs
when the program's own threads have ended and before anything is torn down, drains them.

Fork. The child has one thread, a copy of the queue and a copy of every lock, some of them taken
by threads that it does not have. It touches none of them: rings, tables and pools of the parent
are put aside, never to be freed, because what they hold is the parent's to finish and finalize.
"""

import atexit
import os
import weakref
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

from brummerbus import ring as c
from brummerbus.pool import Pool, live_pools

T = TypeVar("T")


_begin_anew: "weakref.WeakKeyDictionary[Any, Callable[[Any], Pool]]" = weakref.WeakKeyDictionary()
_left_behind: list[Pool] = []


def after_fork(bus: T, begin_anew: Callable[[T], Pool]) -> None:
    """In the child of every fork from now on, call `begin_anew(bus)`, while the bus lives.

    It returns the pool of the parent, which is never to be freed.
    """
    _begin_anew[bus] = begin_anew


def _at_exit() -> None:
    """Drain every pool, each for at most its `shutdown_timeout`.

    Buses may publish on one another: none is closed before all are at rest together.
    """
    began = monotonic()
    pools = list(live_pools)
    seen = -1
    while (published := sum(pool.published() for pool in pools)) != seen:
        # Idle one after the other, and nothing published since the last round: all at rest.
        seen = published
        for pool in pools:
            pool.wait_idle(began + pool.shutdown_timeout)
        if monotonic() >= began + max((pool.shutdown_timeout for pool in pools), default=0.0):
            break
    for pool in pools:
        pool.stop(drain=True, timeout=max(0.0, began + pool.shutdown_timeout - monotonic()))


def _after_fork_in_child() -> None:
    c.abandon_all()
    live_pools.clear()
    _left_behind.extend(begin_anew(bus) for bus, begin_anew in list(_begin_anew.items()))


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
