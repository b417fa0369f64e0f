"""The live view on a real terminal: keys, and the terminal's state on every way out."""

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers.waiting import poll

pytest.importorskip("rich", reason="the live view needs the extra 'live'")
pytest.importorskip("termios", reason="the live view needs a POSIX terminal")

from .terminals import LEFT, SHOWN, OnTerminal

pytestmark = pytest.mark.slow

WATCH = ("-m", "brummerbus", "watch", "--db", "log.db")
TALK = (
    "import signal, sys, time\n"
    "name = sys.argv[1]\n"
    "for number in range(50): print(name, 'says', number, flush=True)\n"
    "print('ERROR', name, 'is broken', flush=True)\n"
    "time.sleep(600)\n"
)

SHELL = (
    "import os, signal, subprocess, sys\n"
    "signal.signal(signal.SIGTTOU, signal.SIG_IGN)\n"
    "job = subprocess.Popen(sys.argv[1:], preexec_fn=os.setpgrp)\n"
    "os.tcsetpgrp(0, job.pid)\n"
    "os.waitpid(job.pid, os.WUNTRACED)\n"
    "os.tcsetpgrp(0, os.getpgrp())\n"
    "print('the shell goes on', flush=True)\n"
    "assert input() == 'fg'\n"
    "os.tcsetpgrp(0, job.pid)\n"
    "os.killpg(job.pid, signal.SIGCONT)\n"
    "sys.exit(job.wait())\n"
)
"""A shell's job control, for one job."""

Start = Callable[..., OnTerminal]


def until(file: str) -> str:
    """Return a command that ends once there is a file."""
    return f"until test -e {file}; do sleep 0.02; done"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts programs on terminals, in a directory with a Procfile of two processes."""
    (tmp_path / "talk.py").write_text(TALK)
    (tmp_path / "Procfile").write_text(
        f"web: {sys.executable} talk.py web\ndb: {sys.executable} talk.py db\n"
    )
    started: list[OnTerminal] = []

    def start(*arguments: str) -> OnTerminal:
        started.append(OnTerminal(tmp_path, *arguments))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture
def view(start: Start) -> OnTerminal:
    """The view of two processes that have printed everything."""
    view = start(*WATCH)
    view.wait_for("2 errors", " says 49", "q quit")
    return view


def is_left_as_it_was(view: OnTerminal) -> bool:
    """Whether the terminal has its mode, its screen and its cursor again."""
    left = view.written.rfind(LEFT)
    hidden = view.written.rfind("\x1b[?25l")
    return view.mode() == view.before and left > view.written.rfind("\x1b[?1049h") and (
        view.written.rfind(SHOWN) > hidden
    )  # fmt: skip


class TestKeys:
    """What is pressed has its effect at once."""

    def test_a_process_is_chosen_filtered_and_scrolled(self, view: OnTerminal) -> None:
        """Without Enter, and keys are not echoed."""
        view.send("\x1b[C")
        assert "db says" not in view.wait_for("output of web ──", "web says 49").split("output")[-1]
        view.send("/SAYS")
        view.wait_for("with 'SAYS'")
        view.send("\r\x1b[H")
        view.wait_for("newer below", "web says 0 ")
        view.send("\x1b")
        view.wait_for("output of all processes")

    def test_errors_and_the_bus_are_shown(self, view: OnTerminal) -> None:
        """Each with one key."""
        view.send("e")
        view.wait_for("errors of all processes")
        view.send("eb")
        view.wait_for("queued")

    def test_a_process_is_restarted_and_stopped_while_the_others_go_on(
        self, view: OnTerminal
    ) -> None:
        """Once it is chosen."""
        view.send("r")
        view.wait_for("choose a process first")
        view.send("\x1b[Cr")
        view.wait_for("restarting web", "running (x2)   102 ")
        view.send("s")
        view.wait_for("stopping web", "web     stopped", "db      running", "q quit")
        view.send("q")
        view.end()
        assert "Failed, with no error" not in view.written

    def test_q_stops_the_processes_and_reports(self, view: OnTerminal) -> None:
        """As Ctrl-C does; the report is on the ordinary screen."""
        view.send("q")
        assert view.end() == 130
        report = view.written[view.written.rindex(LEFT) :]
        assert "Watched Procfile" in report
        assert "2 errors" in report
        assert "all counts agree" in report
        assert is_left_as_it_was(view)

    def test_ctrl_c_remains_a_signal(self, view: OnTerminal) -> None:
        """The terminal sends it to the foreground, where the watcher is."""
        view.send("\x03")
        assert view.end() == 130
        assert is_left_as_it_was(view)


class TestTerminal:
    """The terminal is as it was, however the watcher ends."""

    def test_while_the_view_is_there_keys_come_without_enter(self, view: OnTerminal) -> None:
        """So the other tests of this class have something to restore."""
        assert view.mode() != view.before
        assert not is_left_as_it_was(view)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
    def test_after_a_signal(self, number: int, view: OnTerminal) -> None:
        """Each stops the processes first."""
        view.process.send_signal(number)
        view.end()
        assert is_left_as_it_was(view)

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGQUIT])
    def test_after_the_watcher_was_killed(self, number: int, view: OnTerminal) -> None:
        """It can do nothing any more; the shell beside it, which ends the processes, does it."""
        view.process.send_signal(number)
        view.end()
        view.wait_until(lambda: is_left_as_it_was(view))

    def test_after_the_processes_have_ended(self, start: Start, tmp_path: Path) -> None:
        """By themselves."""
        view = start(*WATCH, "--", "sh", "-c", until("shown"))
        view.wait_for("running")
        (tmp_path / "shown").touch()
        assert view.end() == 0
        assert "\x1b[?1049h" in view.written
        assert is_left_as_it_was(view)

    def test_after_an_exception(self, start: Start) -> None:
        """Whose traceback is readable: on the ordinary screen."""
        source = (
            "import sys\n"
            "from brummerbus.watch.view import frame\n"
            "def broken(*_): raise ZeroDivisionError('drawing')\n"
            "frame.draw = broken\n"
            "from brummerbus.__main__ import main\n"
            "sys.exit(main(['watch', '--db', 'log.db', '--', 'sleep', '600']))\n"
        )
        view = start("-c", source)
        assert view.end() == 1
        assert "ZeroDivisionError: drawing" in view.written[view.written.rindex(LEFT) :]
        assert is_left_as_it_was(view)

    def test_while_it_is_suspended_and_it_comes_back(self, start: Start) -> None:
        """By Ctrl-Z and `fg`, in a shell: only what has a shell can be suspended."""
        view = start("-c", SHELL, sys.executable, *WATCH)
        view.wait_for("2 errors", "q quit")
        view.send("\x1a")
        view.wait_for("the shell goes on")
        assert is_left_as_it_was(view)
        view.send("fg\n")
        view.wait_for("2 errors", "q quit")
        assert not is_left_as_it_was(view)
        view.send("q")
        assert view.end() == 130
        assert is_left_as_it_was(view)

    def test_what_goes_to_standard_error_is_told_afterwards(
        self, start: Start, tmp_path: Path
    ) -> None:
        """In the view it would be drawn over."""
        source = (
            "import os, sys, threading, time\n"
            "from brummerbus.__main__ import main\n"
            "def warn():\n"
            "    while not os.path.exists('shown'): time.sleep(0.01)\n"
            "    print('mind the gap', file=sys.stderr)\n"
            "    open('warned', 'w').close()\n"
            "threading.Thread(target=warn).start()\n"
            f"command = ['sh', '-c', {until('warned')!r}]\n"
            "sys.exit(main(['watch', '--db', 'log.db', '--', *command]))\n"
        )
        view = start("-c", source)
        view.wait_for("running")
        (tmp_path / "shown").touch()
        assert view.end() == 0
        assert view.written.index("mind the gap") > view.written.rindex(LEFT)


def test_a_terminal_that_does_not_read_stops_no_watcher(start: Start, tmp_path: Path) -> None:
    """Its buffer is full after some frames; a signal is answered all the same.

    The lines are few, since what is not handled within three seconds of a signal is given up.
    """
    source = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        "    open('ended', 'w').close(); sys.exit(0)\n"
        "signal.signal(signal.SIGINT, end)\n"
        "for number in range(500):\n"
        "    print('line', number, 'x' * 60, flush=True); time.sleep(0.01)\n"
        "open('printed', 'w').close()\n"
        "time.sleep(600)\n"
    )
    (tmp_path / "flood.py").write_text(source)
    view = start(*WATCH, "--", sys.executable, "flood.py")

    poll((tmp_path / "printed").exists)
    view.process.send_signal(signal.SIGINT)
    poll((tmp_path / "ended").exists)
    assert view.end() == 0
    assert is_left_as_it_was(view)


@pytest.mark.parametrize("options", [("--plain",), ("--json",)])
def test_no_view_is_drawn_if_lines_are_wanted(options: tuple[str, ...], start: Start) -> None:
    view = start(*WATCH, *options, "--", "echo", "said")
    assert view.end() == 0
    assert "echo | said" in view.text
    assert "\x1b[?1049h" not in view.written


def test_no_view_is_drawn_in_the_background(start: Start) -> None:
    """A background process that sets a terminal's mode is stopped by the system."""
    source = (
        "import os, subprocess, sys\n"
        "command = [sys.executable, '-m', 'brummerbus', 'watch', '--db', 'log.db']\n"
        "command += ['--', 'echo', 'said']\n"
        "sys.exit(subprocess.Popen(command, preexec_fn=os.setpgrp).wait())\n"
    )
    view = start("-c", source)
    assert view.end() == 0
    assert "echo | said" in view.text
    assert "\x1b[?1049h" not in view.written
