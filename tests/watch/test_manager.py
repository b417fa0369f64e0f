"""The functions of the process manager that a view calls, and its parts."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace

import pytest

from brummerbus import EventBus
from brummerbus.watch.interrupts import Interrupts
from brummerbus.watch.processes import group
from brummerbus.watch.processes.guardian import Guardian
from brummerbus.watch.processes.launch import Launched, launch
from brummerbus.watch.processes.managed import State
from brummerbus.watch.processes.manager import Plan, ProcessManager
from brummerbus.watch.processes.process import WatchedProcess
from brummerbus.watch.processes.procfile import Command, plan
from brummerbus.watch.processes.ready import Search
from brummerbus.watch.processes.restart import BackOff, Policy
from helpers.handlers import Recorder
from helpers.waiting import HANG, pause, poll

from .helpers import ended


class Running:
    """A manager whose main loop runs in a thread."""

    def __init__(self, **lines: str) -> None:
        self._stack = ExitStack()
        bus = self.bus = self._stack.enter_context(EventBus())
        guardian = self._stack.enter_context(Guardian())
        self.interrupts = Interrupts()
        changed = threading.Event()
        processes = [
            WatchedProcess(command(name, line), bus, guardian, on_change=changed.set)
            for name, line in lines.items()
        ]
        self.said: list[str] = []
        self.manager = ProcessManager(
            processes, self.interrupts, changed, plan=Plan(), say=self.said.append
        )
        self._thread = threading.Thread(target=self.manager.run, args=(lambda: None,))
        self._thread.start()

    def wait_for(self, name: str, state: State, starts: int = 1) -> int:
        """Wait until a process is in a state; return its process id."""
        poll(lambda: self.of(name)[:2] == (state, starts))
        return self.of(name)[2]

    def of(self, name: str) -> tuple[State, int, int]:
        """Return the state of a process, how often it was started, and its id."""
        [found] = [each for each in self.manager.states() if each.name == name]
        return found.state, found.starts, found.pid

    def close(self) -> None:
        """End all."""
        self.interrupts.count += 2
        self._thread.join(HANG)
        self._stack.close()
        assert not self._thread.is_alive()


def command(name: str, line: str) -> Command:
    """Return a command that keeps its standard input open."""
    return replace(plan(name, line, directory="/"), keeps_stdin=True)


@pytest.fixture
def running() -> Iterable[Running]:
    made = Running(web="cat", other="sleep 600")
    made.wait_for("web", State.RUNNING)
    made.wait_for("other", State.RUNNING)
    yield made
    made.close()


def test_a_process_is_restarted_by_hand_and_the_others_go_on(running: Running) -> None:
    pid, other = running.of("web")[2], running.of("other")
    running.manager.restart("web")
    assert running.wait_for("web", State.RUNNING, starts=2) != pid
    assert running.of("other") == other
    assert running.said == []


def test_a_restart_is_later_than_the_end_before_it_however_long_a_launch_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Handlers get both in any order, and know by their times whether the process runs."""
    launched: list[Launched] = []

    def launch_slowly(command: Command, *, terminal: bool) -> Launched:
        launched.append(launch(command, terminal=terminal))
        pause(0.5 if len(launched) == 1 else 0)
        return launched[-1]

    monkeypatch.setattr("brummerbus.watch.processes.process.launch", launch_slowly)
    running, seen = Running(web="cat"), Recorder()
    try:
        running.bus.subscribe("process.*", seen)
        pid = running.wait_for("web", State.RUNNING)
        running.manager.restart("web")
        again = running.wait_for("web", State.RUNNING, starts=2)
        poll(lambda: {("process.exited", pid), ("process.started", again)} <= times(seen).keys())
        assert times(seen)["process.exited", pid] <= times(seen)["process.started", again]
    finally:
        running.close()


def times(seen: Recorder) -> dict[tuple[str, int], float]:
    """Return when which process has started and ended."""
    return {(event.type, event.data.pid): event.data.time for event in tuple(seen.events)}


def test_a_process_is_stopped_by_hand_and_started_again(running: Running) -> None:
    running.manager.stop("web")
    running.wait_for("web", State.ENDED)
    assert running.of("other")[0] is State.RUNNING
    running.manager.restart("web")
    running.wait_for("web", State.RUNNING, starts=2)


def test_a_process_is_started_again_only_once_its_last_lines_are_published(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = threading.Event()

    def done(process: WatchedProcess) -> bool:
        return process._done.is_set() and (process.name != "web" or published.is_set())

    running.manager.stop("web")
    running.wait_for("web", State.ENDED)
    monkeypatch.setattr(WatchedProcess, "done", property(done))
    running.manager.restart("web")
    running.manager.restart("other")
    running.wait_for("other", State.RUNNING, starts=2)
    assert running.of("web")[:2] == (State.WAITING, 1)
    published.set()
    running.wait_for("web", State.RUNNING, starts=2)


def test_what_was_stopped_by_hand_has_no_exit_code_that_counts(running: Running) -> None:
    running.manager.stop("web")
    running.wait_for("web", State.ENDED)
    [web, _] = running.manager.states()
    assert web.exit_code == 143
    assert running.manager.exit_code == 0


def test_a_process_gets_what_is_written_to_it(running: Running) -> None:
    assert running.manager.write("web", b"text\n") == 5
    # `cat` takes no more than the pipes hold, as nothing reads what it prints any more.
    assert running.of("web")[0] is State.RUNNING


def test_writing_never_waits_for_a_process_that_does_not_read(running: Running) -> None:
    taken = running.manager.write("other", b"x" * 10_000_000)
    assert 0 < taken < 10_000_000
    assert running.manager.write("other", b"x") == 0


def test_a_process_that_has_ended_takes_nothing(running: Running) -> None:
    running.manager.stop("web")
    running.wait_for("web", State.ENDED)
    with pytest.raises(OSError):
        running.manager.write("web", b"text\n")


@pytest.mark.parametrize("verb", ["restart", "stop"])
def test_a_name_that_is_none_is_refused(verb: str, running: Running) -> None:
    with pytest.raises(ValueError, match="no process 'wep'; there are: web, other"):
        getattr(running.manager, verb)("wep")
    with pytest.raises(ValueError, match="no process 'wep'"):
        running.manager.write("wep", b"")


def test_the_delay_doubles_up_to_a_minute_and_begins_again_after_a_steady_run() -> None:
    back_off = BackOff(1.0)
    assert [back_off.delay(0.1) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert [back_off.delay(30.0), back_off.delay(0.1)] == [1, 2]


def test_a_first_delay_beyond_a_minute_stays_as_it_is() -> None:
    back_off = BackOff(100.0)
    assert [back_off.delay(0.0), back_off.delay(0.0)] == [100, 100]


@pytest.mark.parametrize(
    ("policy", "codes"),
    [(Policy.NEVER, []), (Policy.ON_FAILURE, [1, 143]), (Policy.ALWAYS, [0, 1, 143])],
)
def test_a_policy_says_after_which_codes(policy: Policy, codes: list[int]) -> None:
    assert [code for code in (0, 1, 143) if policy.wants(code)] == codes


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_a_pattern_is_found_wherever_the_chunks_end(size: int) -> None:
    text = b"one\nLis\ntening\nListening on 80"
    chunks = [text[start : start + size] for start in range(0, len(text), size)]
    search = Search(re.compile(rb"^Listening on \d"))
    found = [search.feed(chunk) for chunk in chunks]
    assert found.index(True) == 28 // size


FAMILY = """
import os, time
def tell():
    os.write(1, b"%d\\n" % os.getpid())
if os.fork() == 0:
    os.setsid()
    tell()
elif os.fork() == 0:
    if os.fork() != 0:
        os._exit(0)
    os.setpgid(0, 0)
    tell()
time.sleep(600)
"""
"""Its child has left the session; its grandchild has left the group, and has no parent any more.
Each writes its line in one call; unbuffered print() takes two, and the lines of both may mix."""


def test_killing_reaches_the_whole_session_and_descendants_that_have_left_it() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", FAMILY], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    pids = [int(process.stdout.readline()) for _ in range(2)]
    assert group.is_alive(process.pid)
    group.kill(process.pid)
    poll(lambda: not group.is_alive(process.pid))
    for pid in pids:
        assert ended(pid)
    process.communicate()
