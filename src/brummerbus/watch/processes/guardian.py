"""Ends the watched processes if the watcher is killed: SIGKILL, SIGQUIT, a crash, out of memory.

It also gives the terminal of the live view back as it was.

A shell of its own session reads from a pipe which groups are alive. The kernel closes the pipe when
the watcher ends, however that happens, and then the shell kills what is left of them.

Why a process, and not `PR_SET_PDEATHSIG`: that reaches only the process itself and not what it has
started, exists on Linux only, is lost when a program changes its user, and must be set between fork
and exec, where Python may run no code in a process with threads.

What it does not reach: a descendant that has left both the group and the session (a daemon); and
nothing is ended if the shell is killed before the watcher, or if it is missing.
"""

import os
import subprocess
from contextlib import suppress

_SHELL = "/bin/sh"
_SCRIPT = """
trap '' HUP INT QUIT TERM
groups= device= mode=
while read -r verb group rest; do
    case $verb in terminal) device=$group mode=$rest; continue;; esac
    others=
    for each in $groups; do
        [ "$each" = "$group" ] || others="$others $each"
    done
    groups=$others
    [ "$verb" = add ] && groups="$groups $group"
done
for each in $groups; do
    kill -s KILL -- "-$each"
    command -v pkill && pkill -KILL -s "$each"
done
if [ -n "$device" ]; then
    stty "$mode" <"$device"
    printf '\\033[?1049l\\033[?25h\\033[0m' >"$device"
fi
"""


class Guardian:
    """Kills registered process groups, and their sessions, once this process has ended.

    A context manager. Thread-safe. Where there is no POSIX shell it does nothing.
    """

    def __init__(self) -> None:
        self._shell: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Guardian":
        if os.name == "posix":
            with suppress(OSError):
                self._shell = subprocess.Popen(
                    [_SHELL, "-c", _SCRIPT, "brummerbus-guardian"],
                    cwd="/",
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    bufsize=0,
                    start_new_session=True,
                )
        return self

    def __exit__(self, *_: object) -> None:
        """Let the shell end; it kills what was not removed."""
        if self._shell is not None:
            assert self._shell.stdin is not None
            self._shell.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self._shell.wait(1)

    def add(self, leader: int) -> None:
        """Register the group of a process that was started."""
        self._tell(f"add {leader}\n")

    def remove(self, leader: int) -> None:
        """Forget a group; call it before the process is reaped and its id may be reused."""
        self._tell(f"remove {leader}\n")

    def terminal(self, device: str, mode: str) -> None:
        """Register what to do with a terminal.

        Args:
            device: Its path; empty: there is none to be given back.
            mode: Its mode, as `stty -g` writes it.
        """
        self._tell(f"terminal {device} {mode}\n")

    def _tell(self, line: str) -> None:
        if self._shell is not None and self._shell.stdin is not None:
            with suppress(OSError, ValueError):  # the shell was killed, or was asked to end
                self._shell.stdin.write(line.encode())
