"""Interpreter exit, and the end of processes that `multiprocessing` started.

What a program leaves behind in its buses is drained before anything that handlers may need is torn
down. Python ends in this order: hooks of `threading` (last registered, first run), among them the
one with which `concurrent.futures` shuts down its workers; the threads that are not daemons are
joined; the hooks of `atexit` (last registered, first run). So there are two steps:

1. A hook of `threading` drains all buses, and leaves them open: threads that are not daemons may
   still publish. It is registered after the one of `concurrent.futures`, and so runs before it.
2. It registers a hook of `atexit`, which, being the last to be registered, runs before those of the
   program, and stops all buses.

The hook of `threading` is a private function, `_register_atexit`, of all Pythons from 3.9 on;
without it the second step drains too. Each bus drains as long as its deliveries end, and gives up
once none has for its `shutdown_timeout`.

Processes of `multiprocessing` end in `os._exit`, without the hooks of `atexit` (and newer Pythons
forget those of the parent), but not before they have run finalizers of their own
(`multiprocessing.util.Finalize`, python/cpython#83856).
"""

import _imp
import atexit
import concurrent.futures.thread  # noqa: F401, registers its hook before ours
import os
import sys
import threading
import weakref
from collections.abc import Callable
from functools import partial

from brummerbus._core import _ext
from brummerbus._core.engine import Engine, live_engines
from brummerbus._core.queue import fork_count
from brummerbus._core.threads import PoolThread

_stuck: "weakref.WeakKeyDictionary[Engine, int]" = weakref.WeakKeyDictionary()
"""Where a drain was given up: how many deliveries had ended then. It is not waited for again."""

_interrupted: "weakref.WeakSet[Engine]" = weakref.WeakSet()
"""Whose drain a Ctrl-C has ended. They are not waited for again, whatever other threads do."""


def _engines() -> list[Engine]:
    """Return those of this process; a fork leaves the parent's alone."""
    return [engine for engine in live_engines() if not engine.queue.is_gone()]


def _standstill(engine: Engine) -> float:
    if engine in _interrupted or _stuck.get(engine) == engine.queue.ended():
        return 0.0
    limit = engine.config.shutdown_timeout
    return float("inf") if limit is None else limit


def _others(*, daemons: bool) -> bool:
    """Return whether threads that are no pool's are alive beside the main thread."""
    return any(
        (daemons or not thread.daemon)
        for thread in threading.enumerate()
        if thread is not threading.main_thread() and not isinstance(thread, PoolThread)
    )


def _drain(_of_parent: object = None) -> None:
    """Wait until every bus is at rest, or stands still.

    Buses may publish into each other: none is closed before all are at rest together. But as long
    as other threads live, which may publish without an end, only for as many deliveries as there
    were.
    """
    engines = _engines()
    enough = {engine: engine.queue.published() for engine in engines}

    def has_had_enough(engine: Engine) -> bool:
        return engine.queue.ended() >= enough[engine] and _others(daemons=True)

    published = -1
    while (now := sum(engine.queue.published() for engine in engines)) != published:
        # Idle one after the other, and nothing published since the last round: all at rest.
        published = now
        for engine in engines:
            limit = _standstill(engine)
            if not engine.wait_idle(float("inf"), limit, partial(has_had_enough, engine)):
                _stuck[engine] = engine.queue.ended()
        if all(_standstill(engine) == 0.0 or has_had_enough(engine) for engine in engines):
            return


def _before_threads_are_joined() -> None:
    try:
        _drain()
    except KeyboardInterrupt:
        _stop_without_draining()
    if _others(daemons=False):
        _stuck.clear()  # they may yet free what a handler waits for
    atexit.unregister(_at_exit)
    atexit.register(_at_exit)


def _at_exit() -> None:
    """Drain and stop every bus."""
    try:
        _drain()
        for engine in _engines():
            engine.stop(drain=True, timeout=float("inf"), standstill=_standstill(engine))
    except KeyboardInterrupt:
        _stop_without_draining()


def _stop_without_draining() -> None:
    """After a Ctrl-C: count what is left as dropped, and say how much it is."""
    for engine in _engines():
        _interrupted.add(engine)
        engine.stop(drain=False, timeout=0.0, standstill=0.0)


def _watch_multiprocessing() -> None:
    """Have buses drained at the end of a process that `multiprocessing` started, if it did."""
    global _watches_multiprocessing
    util = sys.modules.get("multiprocessing.util")
    if util is None or _watches_multiprocessing:
        return
    _watches_multiprocessing = True  # its register is inherited, as this is
    # A new process forgets all finalizers at its start and then calls what was registered here.
    util.register_after_fork(_drain, _at_end_of_process)
    _at_end_of_process()  # this may be one that has started already


def _at_end_of_process(_drain_of_parent: object = None) -> None:
    sys.modules["multiprocessing.util"].Finalize(None, _drain, exitpriority=100)
    atexit.unregister(_at_exit)
    atexit.register(_at_exit)


def note_fork() -> None:
    """In the child of a fork, before anything is started in it: see that Python knows of the fork.

    C code that forks past Python (uWSGI) leaves the interpreter as it was: with threads that the
    child does not have, and its own lock as these left it.
    """
    if _forks_known == fork_count() or not hasattr(_ext, "after_fork") or _imp.lock_held():
        return
    _imp.acquire_lock()  # as before a fork of Python's own; what follows releases it
    _ext.after_fork()  # calls _after_fork_in_child, as the other hooks


def _after_fork_in_child() -> None:
    global _forks_known
    _forks_known = fork_count()
    _watch_multiprocessing()


_forks_known = fork_count()
_watches_multiprocessing = False
_register: Callable[[Callable[[], None]], None] | None = getattr(
    threading, "_register_atexit", None
)
if _register is not None:
    _register(_before_threads_are_joined)
atexit.register(_at_exit)
_watch_multiprocessing()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
