"""Python programs in other processes, and forks of this one."""

import inspect
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import pytest

from helpers.internals import forget_routes
from helpers.waiting import HANG, poll

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

def when_main_is_in(*functions, call):  # nothing tells that a thread waits in C
    def look():
        seen = []
        while len(seen) < 4:
            time.sleep(0.02)
            frame = sys._current_frames()[threading.main_thread().ident]
            at = frame.f_code.co_name, frame.f_lasti
            seen = [at] * (1 + seen.count(at)) if at[0] in functions else []
        call()
    threading.Thread(target=look, daemon=True).start()

"""
PREAMBLE += inspect.getsource(forget_routes)


SOON = 40.0
"""Seconds in which a process without work ends, however slow the machine."""


class Ended(NamedTuple):
    """How a Python process ended."""

    code: int
    lines: list[str]
    err: str
    seconds: float


def program(code: str) -> str:
    """Return a program's text, after the imports and helpers that all of them use."""
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
    """Run a script from a file, as `multiprocessing` needs it for the method `spawn`."""
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


def modules_after(code: str) -> set[str]:
    """Return the names of the modules that a fresh interpreter has after some code."""
    code += "\nimport sys\nprint(*sys.modules, sep='\\n', file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=HANG
    )
    return set(done.stderr.split())


def assert_clean(end: Ended, code: int = 0) -> None:
    """Check the exit code, standard error, and the time."""
    assert end.err == ""
    assert end.code == code
    assert end.seconds < SOON
