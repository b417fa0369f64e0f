"""Interpreter exit, forks, and the end of processes started by `multiprocessing`.

Python exits in this order: hooks of `threading` (last registered, first run), among them the one
with which `concurrent.futures` shuts down its workers; threads that are not daemons are joined;
hooks of `atexit` (last registered, first run). So there are three steps:

1. A hook of `threading` drains all buses, and leaves them open: threads that are not daemons may
   still publish. It is registered with the first bus, after the one of `concurrent.futures`, and so
   runs before it.
2. It registers a hook of `atexit`, which, as the last one registered, runs before those of the
   program, and stops all buses.
3. A hook of `atexit` that was registered when this module was imported runs after those of the
   program, and stops buses that one of them has made.

Guarantees
- Every bus that was not stopped drains at exit, before anything that handlers may need is torn
  down: before `concurrent.futures` shuts down and before the program's `atexit` hooks.
- Exit does not hang: each bus drains as long as its deliveries end, and gives up once none has for
  its `shutdown_timeout`. A Ctrl-C ends the drain, counts the rest as dropped and logs how much.
- Buses that publish into each other drain together.

What does not work, or was tried
- A hook of `atexit` alone: it runs after `concurrent.futures` has shut down, and after later hooks
  of the program, one of which may close what handlers use.
- `threading._register_atexit` is private, but exists in all Pythons since 3.9; without it the
  second step drains too.
- Processes of `multiprocessing` end in `os._exit`, without the hooks of `atexit` (and newer Pythons
  discard those of the parent), but they run their own finalizers before
  (`multiprocessing.util.Finalize`, python/cpython#83856).
- Waiting for publishers that never stop: they would keep a bus busy for ever. While other threads
  live, each bus drains only as many deliveries as it had at first.
"""

import _imp
import atexit
import os
import sys
import threading
import weakref
from contextlib import suppress
from functools import partial
from typing import Any

from brummerbus._core import _ext
from brummerbus._core.engine import Engine, live_engines
from brummerbus._core.queue import SHUT, fork_count
from brummerbus._core.threads import PoolThread

_stuck: "weakref.WeakKeyDictionary[Engine, int]" = weakref.WeakKeyDictionary()
"""Engines whose drain was given up, with the deliveries ended by then. Not waited for again."""

_interrupted: "weakref.WeakSet[Engine]" = weakref.WeakSet()
"""Engines whose drain was ended by a Ctrl-C. Not waited for again, whatever other threads do."""


def _standstill(engine: Engine) -> float:
    if engine in _interrupted or _stuck.get(engine) == engine.queue.ended():
        return 0.0
    limit = engine.config.shutdown_timeout
    return float("inf") if limit is None else limit


def _others(*, daemons: bool) -> bool:
    """Return whether threads other than the main thread and those of pools are alive."""
    return any(
        (daemons or not thread.daemon)
        for thread in threading.enumerate()
        if thread is not threading.main_thread() and not isinstance(thread, PoolThread)
    )


def _drain(_of_parent: object = None) -> None:
    """Wait until every bus is idle, or at a standstill.

    Buses may publish into each other: none is closed before all are idle together.
    """
    engines = live_engines()
    enough = {engine: engine.queue.published() for engine in engines}

    def has_had_enough(engine: Engine) -> bool:
        publishes_without_end = _others(daemons=True) or len(engine.schedule) > 0
        return engine.queue.ended() >= enough[engine] and publishes_without_end

    published = -1
    while (now := sum(engine.queue.published() for engine in engines)) != published:
        # All were idle, one after the other, and nothing was published since: all are idle.
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
        _stuck.clear()  # those threads may still release what a handler waits for
    atexit.unregister(_at_exit)
    atexit.register(_at_exit)


def _at_exit() -> None:
    """Drain and stop every bus. What is scheduled for later is dropped first."""
    try:
        _drain_last()
        for engine in live_engines():
            engine.stop(drain=True, timeout=float("inf"), standstill=_standstill(engine))
    except KeyboardInterrupt:
        _stop_without_draining()


def _after_hooks_of_the_program() -> None:
    if any(engine.queue.state() != SHUT for engine in live_engines()):
        _at_exit()


def _drain_last() -> None:
    """Drain, without what is scheduled for later, which is dropped."""
    for engine in live_engines():
        engine.schedule.close()
    _drain()


def _stop_without_draining() -> None:
    """After a Ctrl-C: count the rest as dropped, and log how much it is."""
    for engine in live_engines():
        _interrupted.add(engine)
        engine.stop(drain=False, timeout=0.0, standstill=0.0)


def _watch_multiprocessing() -> None:
    """Drain buses at the end of a process started by `multiprocessing`, if this is one."""
    global _watches_multiprocessing
    util = sys.modules.get("multiprocessing.util")
    if util is None or _watches_multiprocessing:
        return
    _watches_multiprocessing = True  # inherited by a fork, as its registry is
    # A new process discards all finalizers at its start, and then calls what is registered here.
    util.register_after_fork(_drain, _at_end_of_process)
    _at_end_of_process()  # this may be such a process, already started


def _at_end_of_process(_drain_of_parent: object = None) -> None:
    sys.modules["multiprocessing.util"].Finalize(None, _drain_last, exitpriority=100)
    atexit.unregister(_at_exit)
    atexit.register(_at_exit)


def note_fork() -> None:
    """In the child of a fork, before anything is started: make sure that Python knows of the fork.

    If C code forks without Python (uWSGI), the interpreter keeps its state: threads that the child
    does not have, and a GIL that one of them may hold.
    """
    if _forks_known == fork_count() or not hasattr(_ext, "after_fork") or _imp.lock_held():
        return
    _imp.acquire_lock()  # as `os.fork` does before it forks; the next call releases it
    _ext.after_fork()  # calls _after_fork_in_child too


def _after_fork_in_child() -> None:
    global _forks_known
    _forks_known = fork_count()
    _watch_multiprocessing()


def register() -> None:
    """Have all buses drained at exit; called with the first bus.

    Two threads that make the first bus may both register: a second drain finds nothing to do.
    """
    global _registered
    if _registered:
        return
    with suppress(RuntimeError):  # this is the exit already, too late for hooks of `threading`
        # It registers its own hook, which has to be there before ours.
        import concurrent.futures.thread  # noqa: F401, PLC0415

        hook: Any = getattr(threading, "_register_atexit", None)
        if hook is not None:
            hook(_before_threads_are_joined)
    atexit.register(_at_exit)
    _registered = True


_registered = False
_forks_known = fork_count()
_watches_multiprocessing = False
_watch_multiprocessing()
atexit.register(_after_hooks_of_the_program)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
