"""Helpers of the tests that interrupt, fork, exit and start processes."""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from types import CodeType, FrameType
from typing import Any, NamedTuple

import pytest
from conftest import HANG, Gate, assert_balance, poll

import brummerbus
from brummerbus import BusClosed, Event, EventBus, QueueFull
from brummerbus._core._ext import hooks_here

PACKAGE = str(Path(brummerbus.__file__).parent)

PREAMBLE = """
import atexit, os, signal, sys, threading, time
from brummerbus import *

def bus_of(**settings):
    return EventBus(**{"workers": 1, "queue_size": 10, "publish_timeout": 0, **settings})

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

class Gate:
    def __init__(self):
        self.entered, self.opened = threading.Semaphore(0), threading.Event()
    def __call__(self, event):
        self.entered.release()
        assert self.opened.wait(60)
"""


class Ended(NamedTuple):
    """How a Python process ended."""

    code: int
    lines: list[str]
    err: str
    seconds: float


def program(code: str) -> str:
    """Return a program's text, with the imports and helpers that all of them use before it."""
    return PREAMBLE + textwrap.dedent(code)


def start_python(code: str, first: str = "") -> "subprocess.Popen[str]":
    """Start a Python process whose output is read through pipes."""
    return subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", f"{first}\n{program(code)}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: "subprocess.Popen[str]", began: float, limit: float = HANG) -> Ended:
    """Wait for a process and return how it ended; one that hangs is killed and fails the test."""
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"the process hangs; it had said {out!r} and {err!r}")
    return Ended(process.returncode, out.splitlines(), err, monotonic() - began)


def run_python(code: str, limit: float = HANG, first: str = "") -> Ended:
    """Run a program to its end; `first` comes before its imports."""
    began = monotonic()
    return ended(start_python(code, first), began, limit)


def run_file(path: Path, limit: float = HANG) -> Ended:
    """Run a script from a file, as `multiprocessing` needs it to start from anew."""
    began = monotonic()
    command = [sys.executable, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return ended(process, began, limit)


def in_child(work: Callable[[], object]) -> int:
    """Fork, run `work` in the child and return its exit code: 0 if it raised nothing."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            code = 0
        except BaseException as error:  # noqa: BLE001, RUF100
            os.write(2, f"in the child: {error!r}\n".encode())
        finally:
            os._exit(code)
    return wait_for_child(pid)


def wait_for_child(pid: int) -> int:
    """Return the exit code of a child; one that hangs is killed and fails the test."""
    status: list[int] = []

    def gone() -> bool:
        done, code = os.waitpid(pid, os.WNOHANG)
        status.extend([code] if done else [])
        return bool(done)

    try:
        poll(gone)
    except AssertionError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        pytest.fail("the child hangs")
    return os.waitstatus_to_exitcode(status[0])


class At:
    """Does something before the k-th opcode that a call executes in the package.

    Attributes:
        where: Where that was, or "" if the call has fewer opcodes.
        result: What `action` returned.
    """

    def __init__(self, k: int, action: Callable[[], Any]) -> None:
        self._left = k
        self._action = action
        self.where = ""
        self.result: Any = None

    def during(self, call: Callable[[], object]) -> None:
        """Make the call; what it or the action raises is raised."""
        watch = _monitored if sys.version_info >= (3, 12) else _traced
        with _no_collection():
            watch(self._before_opcode, call)

    def _before_opcode(self, frame: FrameType, offset: int) -> None:
        if frame.f_lineno is None:  # of an `except` block's own ends, where no signal is handled:
            return  # CPython 3.14 would keep the exception in hand for the rest of the thread
        self._left -= 1
        if self._left == 0:
            self.where = f"{frame.f_code.co_name}, line {frame.f_lineno}, opcode {offset}"
            self.result = self._action()


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the collector away: another bus's finalizer would count, and swallow what is raised."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _traced(before_opcode: Callable[[FrameType, int], None], call: Callable[[], object]) -> None:
    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode":
            before_opcode(frame, frame.f_lasti)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)


def _monitored(before_opcode: Callable[[FrameType, int], None], call: Callable[[], object]) -> None:
    """Do as `_traced`, which from Python 3.12 on misses opcodes of frames that begin untraced."""
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined]
    tool, thread = monitoring.DEBUGGER_ID, threading.get_ident()

    def on_instruction(code: CodeType, offset: int) -> Any:
        if not code.co_filename.startswith(PACKAGE):
            return monitoring.DISABLE
        if threading.get_ident() == thread:
            before_opcode(sys._getframe(1), offset)
        return None

    monitoring.use_tool_id(tool, "opcodes")
    monitoring.register_callback(tool, monitoring.events.INSTRUCTION, on_instruction)
    monitoring.set_events(tool, monitoring.events.INSTRUCTION)
    try:
        call()
    finally:
        monitoring.set_events(tool, 0)
        monitoring.register_callback(tool, monitoring.events.INSTRUCTION, None)
        monitoring.free_tool_id(tool)
        monitoring.restart_events()


def pause(seconds: float) -> None:
    """Let time pass, because time is what is measured."""
    threading.Event().wait(seconds)


def offer(bus: EventBus, event: Any) -> None:
    """Publish without waiting, whatever the policy makes of it."""
    with contextlib.suppress(QueueFull):
        bus.publish(event, timeout=0)


def fill(bus: EventBus, count: int, event_type: str = "a") -> None:
    """Queue so many events, which must all be accepted."""
    for number in range(count):
        assert bus.publish(Event(event_type, number))


def assert_closed(bus: EventBus, event: Any = None) -> None:
    """Check that the bus refuses whatever is published, and counts none of it."""
    before = bus.stats().published, bus.stats().unrouted
    event = Event("a") if event is None else event
    with pytest.raises(BusClosed):
        bus.publish(event)
    with pytest.raises(BusClosed):
        bus.publish(event, priority=1, timeout=HANG)
    with pytest.raises(BusClosed):
        bus.publish(Event("nobody subscribed to this"))
    with pytest.raises(BusClosed):
        bus.publish_many([event, event])
    assert (bus.stats().published, bus.stats().unrouted) == before


def accepts(bus: EventBus) -> bool:
    """Return whether the bus is open."""
    try:
        return bus.publish(Event("nobody"))
    except BusClosed:
        return False


def inside(bus: EventBus, call: Callable[[], Any]) -> Any:
    """Make a call in a handler of a bus, and return or raise its outcome."""
    outcome: list[Any] = []
    done = threading.Event()

    def handler(event: Event) -> None:
        try:
            outcome.append(call())
        except Exception as error:  # noqa: BLE001, RUF100
            outcome.append(error)
        done.set()

    with bus.subscribe("inside", handler):
        assert bus.publish(Event("inside"))
        assert done.wait(HANG)
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def assert_at_rest(bus: EventBus) -> None:
    """Check that a flush ends, the books balance, and nothing is kept."""
    assert bus.flush(HANG)
    stats = bus.stats()
    assert_balance(stats)
    assert (stats.queued, stats.running) == (0, 0)
    assert (stats.waiting, stats.reserve_used) == (0, 0)
    assert hooks_here() == 0


class Turnstile:
    """Holds the one worker of a bus in a handler, again and again."""

    def __init__(self, bus: EventBus, gate: Gate) -> None:
        self._bus = bus
        self._gate = gate
        self._held = False
        bus.subscribe("hold", gate)

    def hold(self, filled: int = 0) -> None:
        """Hold the worker, and put so many deliveries into the queue, which was empty."""
        assert self._bus.flush(HANG)
        assert self._bus.publish(Event("hold"), timeout=HANG)
        self._gate.wait_entered()
        self._held = True
        for _ in range(filled):
            assert self._bus.publish(Event("fill"))
        assert self._bus.depth == filled

    def let_go(self) -> None:
        """Let the worker go on."""
        if self._held:
            self._held = False
            self._gate.let_through()

    def assert_whole(self) -> None:
        """Check that no slot was lost: held, the bus fills to its capacity; let go, it empties."""
        room = self._bus.config.queue_size
        for _ in range(room + 2):
            offer(self._bus, Event("fill"))
        assert self._bus.depth == room
        self.let_go()
        assert_at_rest(self._bus)
