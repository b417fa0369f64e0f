"""Starts a process with pipes, or with a terminal of its own for each stream.

Programs print colours and progress, and do not buffer, where a stream is a terminal. Standard
output and standard error are two terminals, which keeps them apart; what is typed goes to the
first. They change no byte: no echo, no carriage return before each newline. Neither is the
controlling terminal of the process, so `/dev/tty` and job control do not work in it.
"""

import os
import shutil
import struct
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO

from brummerbus.watch.processes.procfile import Command

_POSIX = os.name == "posix"


@dataclass(frozen=True)
class Launched:
    """A process that was started, and the watcher's ends of its streams."""

    popen: "subprocess.Popen[bytes]"
    stdout: IO[bytes]
    stderr: IO[bytes]
    stdin: int | None
    """A descriptor that does not block, or None if it reads from /dev/null."""


def launch(command: Command, *, terminal: bool) -> Launched:
    """Start a process, as the leader of a session of its own.

    Args:
        command: What to start.
        terminal: Whether its streams are terminals.

    Raises:
        OSError: The system cannot start it.
    """
    if terminal:
        return _launch_in_terminal(command)
    stdin = subprocess.PIPE if command.keeps_stdin else subprocess.DEVNULL
    popen = _popen(command, stdin, subprocess.PIPE, subprocess.PIPE)
    assert popen.stdout is not None
    assert popen.stderr is not None
    descriptor = None
    if popen.stdin is not None:
        descriptor = os.dup(popen.stdin.fileno())
        popen.stdin.close()
        if _POSIX:
            os.set_blocking(descriptor, False)
    return Launched(popen, popen.stdout, popen.stderr, descriptor)


def _popen(command: Command, stdin: int, stdout: int, stderr: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command.argv,
        executable=command.executable,
        env=dict(command.environment),
        cwd=command.directory,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        bufsize=0,
        start_new_session=_POSIX,
        creationflags=0 if _POSIX else getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )


if sys.platform != "win32":
    import fcntl
    import pty
    import termios

    def _launch_in_terminal(command: Command) -> Launched:
        with ExitStack() as undo:
            pairs = [_open_terminal() for _ in range(2)]
            (out, out_child), (err, err_child) = pairs
            for pair in pairs:
                for descriptor in pair:
                    undo.callback(os.close, descriptor)
            popen = _popen(command, out_child, out_child, err_child)
            undo.pop_all()
        os.close(out_child)
        os.close(err_child)
        stdin = os.dup(out)
        os.set_blocking(stdin, False)
        out_file = os.fdopen(out, "rb", buffering=0)
        return Launched(popen, out_file, os.fdopen(err, "rb", buffering=0), stdin)

    def _open_terminal() -> tuple[int, int]:
        """Return the watcher's end and the process's end of a new terminal."""
        master, slave = pty.openpty()
        modes = termios.tcgetattr(slave)
        modes[1] &= ~termios.ONLCR
        modes[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, modes)
        size = shutil.get_terminal_size()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size.lines, size.columns, 0, 0))
        return master, slave

else:

    def _launch_in_terminal(_command: Command) -> Launched:
        raise OSError("terminals for processes exist on POSIX systems only")
