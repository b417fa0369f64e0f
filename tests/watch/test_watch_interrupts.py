"""Ctrl-C at `python -m brummerbus watch`: real processes, real signals."""

import signal

import pytest

from .helpers import TIMEOUT, Watcher, ended, wait_for

pytestmark = pytest.mark.slow

# What a process must do before it may be interrupted: print a line, which the watcher prints too.
WAIT = "import signal, time; print('ready', flush=True); time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); " + WAIT


class TestInterrupts:
    """Ctrl-C once is forwarded, twice kills; SIGTERM is like the first."""

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_the_first_is_passed_on_and_all_is_reported(
        self, number: int, watcher: Watcher
    ) -> None:
        """A process may still print something, and that is kept."""
        source = (
            "import signal, sys, time\n"
            "def end(number, frame):\n"
            "    print('last words', number, flush=True); sys.exit(7)\n"
            "for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):\n"
            "    signal.signal(number, end)\n"
            "print('ready', flush=True)\n"
            "time.sleep(600)\n"
        )
        process = watcher.start("--", *watcher.script("app.py", source).split())
        wait_for(process, "| ready")
        process.send_signal(number)
        out, _ = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 7
        assert f"| last words {int(number)}" in out
        assert "2 lines read, 2 rows stored" in out
        assert "all counts agree" in out

    def test_it_reaches_what_a_process_has_started(self, watcher: Watcher) -> None:
        """The shell and the program within it are one group."""
        script = watcher.script("app.py", WAIT)
        process = watcher.start(watcher.procfile(web=f"{script}; exit 5"))
        wait_for(process, "| ready")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT)
        assert process.returncode != 0

    def test_the_second_kills_what_does_not_listen(self, watcher: Watcher) -> None:
        """The other process had ended before."""
        deaf, good = watcher.script("deaf.py", DEAF), watcher.script("good.py", WAIT)
        process = watcher.start(watcher.procfile(deaf=deaf, good=good), "--kill-timeout", "600")
        wait_for(process, "deaf | ready", "good | ready")
        process.send_signal(signal.SIGINT)
        wait_for(process, "good exited with code 130")
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=TIMEOUT)
        assert "deaf exited with code 137" in out
        assert "all counts agree" in out
        assert process.returncode == 130

    @pytest.mark.parametrize("signals", [1, 2])
    def test_nothing_is_left_running(self, signals: int, watcher: Watcher) -> None:
        """Not even descendants that ignore Ctrl-C."""
        deaf = watcher.script("deaf.py", "import os; print('pid', os.getpid()); " + DEAF)
        process = watcher.start(watcher.procfile(web=f"{deaf} & wait"))
        [said] = [line for line in wait_for(process, "| ready") if "| pid " in line]
        for _ in range(signals):
            process.send_signal(signal.SIGINT)
            wait_for(process, "web exited") if signals == 1 else None
        process.communicate(timeout=TIMEOUT)
        assert ended(int(said.split()[-1]))

    def test_a_flood_that_is_interrupted_still_adds_up(self, watcher: Watcher) -> None:
        """Everything read is stored and handled, although the process was interrupted.

        It pauses, since what is not handled within three seconds of a signal is given up.
        """
        source = "import time\nwhile True: print('y\\n' * 99, flush=True); time.sleep(0.001)"
        process = watcher.start("--", *watcher.script("yes.py", source).split())
        wait_for(process, "| y")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=TIMEOUT)
        assert "all counts agree" in out
