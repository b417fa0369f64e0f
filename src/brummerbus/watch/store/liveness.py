"""Whether a run goes on, or has ended without saying so because its watcher was killed."""

import time

import psutil

_QUIET = 300.0
"""Seconds; a watcher that lives gives a sign each minute."""

_SAME = 5.0
"""Seconds by which the clock may have been corrected since a process began."""


def is_alive(pid: int, pid_started: float) -> bool:
    """Whether the process that wrote a run is there."""
    try:
        # A pid is used again; the moment at which its process began tells which one it is.
        return pid > 0 and abs(psutil.Process(pid).create_time() - pid_started) < _SAME
    except psutil.Error:
        return False


def may_run(ended: float | None, pid: int, pid_started: float, seen: float) -> bool:
    """Whether a run must be taken as going on.

    Its process may be in another container, where process ids are other ones, so a recent sign of
    life counts as well.
    """
    return ended is None and (is_alive(pid, pid_started) or abs(time.time() - seen) < _QUIET)
