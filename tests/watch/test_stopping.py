"""Stopping `python -m brummerbus watch`, whatever stands still: real processes, pipes, signals."""

import fcntl
import os
import select
import signal
import sqlite3
import subprocess
import termios
from pathlib import Path

import pytest

from helpers.waiting import poll

from .helpers import TIMEOUT, Refusal, Watcher, ended, wait_for
from .terminals import OnTerminal

pytestmark = pytest.mark.slow

FLOOD = "import itertools\nfor number in itertools.count(): print('line', number)"
READY = (
    "import os, signal, time; print('ready', flush=True); open('pid', 'w').write(str(os.getpid()))"
)
DEAF = f"{READY}; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]; open('deaf', 'w')"
JOB = "import os; os.setpgid(0, 0); "
"""A process group of its own, as a shell's job control makes."""
SLEEP = "; time.sleep(600)"


def is_full(pipe: int) -> bool:
    """Whether the next writer to a pipe waits: every page is in use, if not to its last byte."""
    writer = os.open(f"/proc/self/fd/{pipe}", os.O_WRONLY | os.O_NONBLOCK)
    try:
        return not select.select([], [writer], [], 0)[1]
    finally:
        os.close(writer)


def stand_still(process: "subprocess.Popen[str]", stream: str = "stdout") -> None:
    """Wait until a watcher's output has filled the pipe that nobody reads."""
    pipe = getattr(process, stream)
    poll(lambda: is_full(pipe.fileno()))


class TestStandstill:
    """Neither output nor the store keeps it."""

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_output_that_nobody_reads_does_not_keep_it(self, number: int, watcher: Watcher) -> None:
        """As with `watch ... | less`: one signal is enough, and the store has every line."""
        process = watcher.start("--", *watcher.script("flood.py", FLOOD).split())
        assert process.stderr is not None
        stand_still(process)
        process.send_signal(number)
        assert process.wait(TIMEOUT) == 128 + number
        assert process.stderr.readline() == "stopping; press Ctrl-C again to kill\n"
        [(rows, last)] = watcher.rows(
            "SELECT count(*), max(number) FROM lines WHERE stream='stdout'"
        )
        assert rows == last + 1 > 1_000

    def test_standard_error_that_nobody_reads_does_not_keep_it(self, watcher: Watcher) -> None:
        """Where `--json` prints the lines; the report is on standard output."""
        process = watcher.start("--json", "--", *watcher.script("flood.py", FLOOD).split())
        assert process.stdout is not None
        stand_still(process, "stderr")
        process.send_signal(signal.SIGINT)
        assert '"adds_up": true' in process.stdout.read()
        assert process.wait(TIMEOUT) == 130

    def test_what_is_still_to_be_printed_does_not_keep_it(self, watcher: Watcher) -> None:
        """The process has ended by itself before."""
        process = watcher.start("--", "seq", "30000")
        poll(lambda: exits(watcher) == [0])
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 0
        assert process.stderr is not None
        assert process.stderr.read().endswith(" lines not printed\n")
        assert watcher.rows("SELECT count(*) FROM lines") == [(30_000,)]

    def test_a_store_that_another_program_holds_does_not_keep_it(self, watcher: Watcher) -> None:
        """What could not be written is said, and in the exit code."""
        source = FLOOD.replace("print", "os.path.exists('go') and print")
        script = watcher.script("flood.py", f"{READY}\n{source}")
        process = watcher.start("--", *script.split())
        wait_for(process, "| ready")
        poll(lambda: watcher.rows("SELECT count(*) FROM lines") == [(1,)])
        other = sqlite3.connect(watcher.database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        (watcher.directory / "go").touch()
        wait_for(process, "| line ")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=TIMEOUT)
        other.close()
        assert process.returncode in (130, 137)
        assert err.splitlines()[-1].endswith(" not stored")
        assert ended(int((watcher.directory / "pid").read_text()))

    def test_a_store_that_cannot_be_opened_yet_does_not_keep_it(self, watcher: Watcher) -> None:
        """SQLite would wait for half a minute."""
        assert watcher.run("--", "true").returncode == 0
        other = sqlite3.connect(watcher.database, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        process = watcher.start("--", "touch", "started")
        files = Path(f"/proc/{process.pid}/fd")
        poll(lambda: any("log.db" in str(file.resolve()) for file in files.iterdir()))
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == -signal.SIGINT
        other.close()
        assert not (watcher.directory / "started").exists()

    def test_a_terminal_that_stands_still_does_not_keep_it(self, watcher: Watcher) -> None:
        """The live view, after Ctrl-S."""
        pytest.importorskip("rich")
        script = watcher.script("ready.py", READY + SLEEP)
        view = OnTerminal(watcher.directory, "-m", "brummerbus", "watch", "--", *script.split())
        view.wait_for("running")
        termios.tcflow(view._slave, termios.TCOOFF)
        poll((watcher.directory / "pid").exists)
        view.process.send_signal(signal.SIGINT)
        assert view.process.wait(TIMEOUT) == 130
        view.close()


def exits(watcher: Watcher) -> list[int]:
    """Return the exit codes in the store."""
    try:
        return [code for (code,) in watcher.rows("SELECT exit_code FROM processes")]
    except sqlite3.OperationalError:
        return []  # the store is not there yet


class TestOrphans:
    """Nothing is left when the watcher itself is killed."""

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGQUIT, signal.SIGSEGV])
    def test_nothing_outlives_a_watcher_that_is_killed(self, number: int, watcher: Watcher) -> None:
        """The shell, what it has started, and a job in a process group of its own."""
        deaf = watcher.script("deaf.py", JOB + DEAF + SLEEP)
        shell = f"{deaf} & echo job $!; sleep 600 & echo pids $! $$; wait"
        process = watcher.start(watcher.procfile(web=shell))
        poll((watcher.directory / "deaf").exists)
        said = wait_for(process, "| pids ", "| job ")
        pids = [
            int(word)
            for line in said
            if " web | " in line
            for word in line.split()
            if word.isdigit()
        ]
        process.send_signal(number)
        process.communicate(timeout=TIMEOUT)
        assert process.returncode == -number
        assert len(pids) == 3
        assert all(ended(pid) for pid in pids)


class TestTimeOut:
    """What does not end when it is asked to is killed."""

    def test_what_ignores_the_first_signal_is_killed_later(self, watcher: Watcher) -> None:
        """One Ctrl-C is enough."""
        script = watcher.script("deaf.py", DEAF + SLEEP)
        process = watcher.start("--kill-timeout", "0.2", "--", *script.split())
        poll((watcher.directory / "deaf").exists)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 137
        assert err.splitlines()[1].endswith(" did not stop within 0.2 s: killed")

    @pytest.mark.parametrize("first", ["", JOB], ids=["in its group", "in its session"])
    def test_a_descendant_that_outlives_its_parent_is_killed_too(
        self, first: str, watcher: Watcher
    ) -> None:
        """It has closed its pipes, so only its group, or its session, tells that it is there."""
        deaf = watcher.script("deaf.py", first + DEAF + SLEEP)
        process = watcher.start(
            watcher.procfile(web=f"{deaf} >/dev/null 2>&1 & wait"), "--kill-timeout", "2"
        )
        poll((watcher.directory / "deaf").exists)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT)
        assert process.returncode == 130
        assert ended(int((watcher.directory / "pid").read_text()))

    def test_a_descendant_has_the_same_time_as_its_parent(self, watcher: Watcher) -> None:
        """The shell ends at once, and what it started tidies up."""
        source = (
            "import signal, sys, time\n"
            "def end(*_):\n"
            "    time.sleep(2.5); print('tidied up', flush=True); sys.exit()\n"
            "signal.signal(signal.SIGINT, end)\n"
            "print('ready', flush=True); time.sleep(600)\n"
        )
        script = watcher.script("app.py", source)
        process = watcher.start(watcher.procfile(web=f"{script} & wait"), "--kill-timeout", "60")
        wait_for(process, "| ready")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=TIMEOUT)
        assert "web | tidied up" in out

    @pytest.mark.parametrize("value", ["-1", "nan", "inf", "soon"])
    def test_a_time_out_that_is_none_is_refused(
        self, value: str, watcher: Watcher, refusal: Refusal
    ) -> None:
        """Before anything is started."""
        assert "--kill-timeout: " in refusal(f"--kill-timeout={value}", "--", "touch", "started")
        assert not (watcher.directory / "started").exists()


class TestOneEnds:
    """The others are stopped, as with foreman."""

    @pytest.mark.parametrize("code", [0, 3])
    def test_when_one_ends_the_others_are_stopped(self, code: int, watcher: Watcher) -> None:
        """Its exit code counts, and theirs does not: they were asked to end."""
        script = watcher.script("ready.py", READY + SLEEP)
        quick = f"until test -e pid; do sleep 0.02; done; exit {code}"
        result = watcher.run(watcher.procfile(web=script, quick=quick, other="sleep 600"))
        assert result.returncode == code
        assert "web exited with code 143" in result.stdout
        message = f"quick ended with code {code}: stopping the others"
        assert result.stderr == f"{message} (--keep-going lets them run)\n"

    def test_one_that_ignores_it_is_killed(self, watcher: Watcher) -> None:
        """After the kill time-out."""
        script = watcher.script("deaf.py", DEAF + SLEEP)
        quick = "until test -e deaf; do sleep 0.02; done"
        result = watcher.run(watcher.procfile(web=script, quick=quick), "--kill-timeout", "0.1")
        assert result.returncode == 0
        assert "web exited with code 137" in result.stdout

    def test_they_go_on_if_they_are_to(self, watcher: Watcher) -> None:
        """The second waits for what the first does last."""
        procfile = watcher.procfile(
            first="touch gone", second="until test -e gone; do sleep 0.02; done; sleep 0.5; exit 5"
        )
        result = watcher.run(procfile, "--keep-going")
        assert (result.returncode, result.stderr) == (5, "")


@pytest.fixture(autouse=True)
def _on_linux() -> None:
    if not hasattr(fcntl, "F_GETPIPE_SZ"):
        pytest.skip("the size of a pipe is known on Linux only")
