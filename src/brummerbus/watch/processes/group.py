"""Signals to a process and what it has started.

Each process leads a session and a process group of its own. What it starts is in its group, unless
it makes another one (a shell with job control), and in its session, unless it leaves that too (a
daemon). On Windows a process is ended alone.
"""

import os
import signal
import sys
from contextlib import suppress

KILL = int(getattr(signal, "SIGKILL", signal.SIGTERM))


def send(leader: int, number: int) -> None:
    """Send a signal to the group of a process that has not been reaped."""
    with suppress(OSError):  # the group is empty
        if sys.platform == "win32":
            os.kill(leader, signal.SIGTERM)
        else:
            os.killpg(leader, number)


def kill(leader: int) -> None:
    """Kill the process, its group, its session, and all descendants that it has at this moment."""
    import psutil  # noqa: PLC0415 - takes a while to import, and is needed at the end only

    others = set(_members(leader))
    with suppress(psutil.Error):
        others.update(child.pid for child in psutil.Process(leader).children(recursive=True))
    send(leader, KILL)
    for pid in others:
        with suppress(OSError):
            os.kill(pid, KILL)


def is_alive(leader: int) -> bool:
    """Return whether any process of its group or session is alive. Costs about a millisecond."""
    import psutil  # noqa: PLC0415

    for pid in _members(leader):
        with suppress(psutil.Error):
            # One that was not reaped yet, the leader itself included, counts as ended.
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                return True
    return False


def _members(leader: int) -> list[int]:
    """Return the ids of all processes in its group or its session."""
    if sys.platform == "win32":
        return []
    import psutil  # noqa: PLC0415

    members = []
    for pid in psutil.pids():
        with suppress(OSError):
            if leader in (os.getpgid(pid), os.getsid(pid)):
                members.append(pid)
    return members
