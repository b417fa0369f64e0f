"""What the interpreter's end and a fork mean for buses that are alive.

Exit. Python joins all threads that are not daemons and then runs the `atexit` hooks. So a hook
cannot be what stops threads that Python joins; workers are daemons, and the hook, which runs
when the program's own threads have ended and before anything is torn down, drains them.

Fork. The child has one thread, a copy of the queue and a copy of every lock, some of them taken
by threads that it does not have. It touches none of them: rings, tables and pools of the parent
are put aside, never to be freed, because what they hold is the parent's to finish and finalize.

Processes of `multiprocessing` end in `os._exit`, without the hooks of `atexit` (and newer Pythons
forget those of the parent), but not before they have run finalizers of their own.
"""

import atexit
import os
import sys
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
    """Drain every pool, each for at most its `shutdown_timeout`."""
    began = monotonic()
    _drain(began)
    for pool in list(live_pools):
        pool.stop(drain=True, timeout=max(0.0, began + pool.shutdown_timeout - monotonic()))


def _drain(began: float | None = None) -> None:
    """Wait until every pool is at rest, each for at most its `shutdown_timeout`.

    Buses may publish on one another: none is closed before all are at rest together.
    """
    began = monotonic() if began is None else began
    pools = list(live_pools)
    seen = -1
    while (published := sum(pool.published() for pool in pools)) != seen:
        # Idle one after the other, and nothing published since the last round: all at rest.
        seen = published
        for pool in pools:
            if not pool.wait_idle(began + pool.shutdown_timeout):
                pool.shutdown_timeout = 0.0  # it is waited once
        if monotonic() >= began + max((pool.shutdown_timeout for pool in pools), default=0.0):
            break


def _after_fork_in_child() -> None:
    c.abandon_all()
    live_pools.clear()
    _left_behind.extend(begin_anew(bus) for bus, begin_anew in list(_begin_anew.items()))
    _tell_multiprocessing()


def _tell_multiprocessing() -> None:
    """Have pools drained at the end of a process that `multiprocessing` started, if it did."""
    global _multiprocessing_knows
    util = sys.modules.get("multiprocessing.util")
    if util is None or _multiprocessing_knows:
        return
    _multiprocessing_knows = True  # its register is inherited, as this is
    # A new process forgets all finalizers at its start and then calls what was registered here.
    util.register_after_fork(_drain, _at_end_of_process)
    _at_end_of_process()  # this may be one that has started already


def _at_end_of_process(_drain_of_parent: object = None) -> None:
    sys.modules["multiprocessing.util"].Finalize(None, _drain, exitpriority=100)
    atexit.unregister(_at_exit)
    atexit.register(_at_exit)


_multiprocessing_knows = False
atexit.register(_at_exit)
_tell_multiprocessing()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
