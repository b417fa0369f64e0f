"""Ends the watched processes if the watcher is killed: SIGKILL, SIGQUIT, a crash, out of memory.

It also gives the terminal of the live view back as it was. It has inherited that terminal: opened
by its path, it would become the controlling terminal of the shell's session if it had none, and
might be another one by then, since the system gives such names again.

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
exec 3>&1 >/dev/null
groups= mode=
while read -r verb group; do
    case $verb in terminal) mode=$group; continue;; esac
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
if [ -n "$mode" ]; then
    stty "$mode" <&3
    printf '\\033[?1049l\\033[?25h\\033[0m' >&3
fi
"""


_END_WAIT = 10.0
"""Seconds for the shell to end: it has nothing to wait for, but the machine may be busy."""


class Guardian:
    """Kills registered process groups, and their sessions, once this process has ended.

    A context manager. Thread-safe. Where there is no POSIX shell it does nothing.
    """

    def __init__(self) -> None:
        self._shell: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Guardian":
        if os.name == "posix":
            terminal = next((fd for fd in (1, 0, 2) if os.isatty(fd)), subprocess.DEVNULL)
            with suppress(OSError):
                self._shell = subprocess.Popen(
                    [_SHELL, "-c", _SCRIPT, "brummerbus-guardian"],
                    cwd="/",
                    stdin=subprocess.PIPE,
                    stdout=terminal,
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
                self._shell.wait(_END_WAIT)

    def add(self, leader: int) -> None:
        """Register the group of a process that was started."""
        self._tell(f"add {leader}\n")

    def remove(self, leader: int) -> None:
        """Forget a group; call it before the process is reaped and its id may be reused."""
        self._tell(f"remove {leader}\n")

    def terminal(self, mode: str) -> None:
        """Register the mode that the terminal is to have, as `stty -g` writes it; empty: none."""
        self._tell(f"terminal {mode}\n")

    def _tell(self, line: str) -> None:
        if self._shell is not None and self._shell.stdin is not None:
            with suppress(OSError, ValueError):  # the shell was killed, or was asked to end
                self._shell.stdin.write(line.encode())
