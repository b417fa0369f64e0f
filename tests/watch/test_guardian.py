"""The shell beside the watcher, and the terminal that it gives back."""

import os
import select
import signal
from pathlib import Path

import pytest

from helpers.waiting import poll

pytest.importorskip("termios", reason="terminals are POSIX's")

import termios

from brummerbus.watch.processes import guardian

from .helpers import has_ended
from .terminals import OnTerminal

PROGRAM = """
import subprocess, time
from brummerbus.watch.processes.guardian import Guardian

mode = subprocess.run(["stty", "-g"], capture_output=True, text=True, check=True).stdout.strip()
with Guardian() as guardian:
    guardian.terminal(mode)
    print("shell", guardian._shell.pid, "of a watcher", flush=True)
    time.sleep(600)
"""


def test_a_terminal_that_has_got_the_name_of_the_watcher_s_is_left_alone(tmp_path: Path) -> None:
    """The watcher is killed, its terminal is closed, and the next one has the same name.

    Its mode is not changed, nothing is printed on it, and it is no session's: the next that asks
    for it as controlling terminal gets it.
    """
    before = OnTerminal(tmp_path, "-c", PROGRAM)
    before.wait_for("of a watcher")
    shell = int(before.text.split()[1])
    os.kill(shell, signal.SIGSTOP)
    before.close()
    master, slave = os.openpty()
    try:
        mode = termios.tcgetattr(slave)
        mode[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, mode)
        os.kill(shell, signal.SIGCONT)
        poll(lambda: has_ended(shell))
        assert termios.tcgetattr(slave) == mode
        assert not select.select([master], [], [], 0)[0]
    finally:
        os.close(slave)
        os.close(master)


@pytest.mark.slow
def test_a_shell_that_takes_its_time_to_end_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a busy machine; else it would be a process that still runs, and then a zombie."""
    monkeypatch.setattr(guardian, "_SCRIPT", "while read -r line; do :; done; sleep 1.5")
    with guardian.Guardian() as watched:
        pass
    assert watched._shell is not None
    assert watched._shell.returncode == 0
