"""Fixtures of all tests, from the classes in `helpers`."""

import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from time import monotonic

import pytest

from brummerbus._core import scheduler
from helpers.buses import BusFactory
from helpers.handlers import Logged
from helpers.waiting import HANG


def pytest_configure() -> None:
    """Undo what the user's environment would change for the tests and their child processes.

    A shell in the background, or nohup, has us ignore signals; a proxy knows no server of a test.
    """
    for variable in ("no_proxy", "NO_PROXY"):
        os.environ[variable] = "127.0.0.1,localhost," + os.environ.get(variable, "")
    gc.disable()  # collecting the tests makes little garbage and many objects to look through
    for name in ("SIGINT", "SIGHUP", "SIGQUIT"):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_IGN:
            default = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
            signal.signal(getattr(signal, name), default)


def pytest_collection_finish() -> None:
    """Exclude everything that exists by now from garbage collections.

    The objects of pytest, hypothesis and all test modules add 0.09 s to each full collection, and
    some tests request dozens.
    """
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Fail a test that leaves a thread running."""
    before = set(threading.enumerate())
    yield
    deadline = monotonic() + HANG / 3
    new = [t for t in threading.enumerate() if t not in before and t.name != scheduler.NAME]
    for thread in new:
        thread.join(max(0.0, deadline - monotonic()))
    assert not [thread.name for thread in new if thread.is_alive()], "threads were left behind"


@pytest.fixture
def factory(no_thread_left: None) -> Iterator[BusFactory]:
    """A factory of buses and gates that stops and opens them after the test."""
    factory = BusFactory()
    yield factory
    factory.end()


@pytest.fixture
def logged() -> Iterator[Logged]:
    """What the library logs during the test."""
    handler = Logged()
    logger = logging.getLogger("brummerbus")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """The shortest switch interval, so that threads interrupt each other very often."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
