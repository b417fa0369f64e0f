"""Fixtures of all tests, made from `helpers`."""

import gc
import logging
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
    """Handle signals as in a terminal.

    Programs started in the background or by nohup ignore some, and so would their descendants.
    """
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_IGN:
            default = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
            signal.signal(getattr(signal, name), default)


def pytest_collection_finish() -> None:
    """Exclude existing objects from later collections.

    Some tests collect garbage dozens of times, and the objects of pytest, of hypothesis and of all
    test modules make that 0.09 s each time.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Fail a test that leaves a new thread running."""
    before = set(threading.enumerate())
    yield
    deadline = monotonic() + HANG / 3
    new = [t for t in threading.enumerate() if t not in before and t.name != scheduler.NAME]
    for thread in new:
        thread.join(max(0.0, deadline - monotonic()))
    assert not [thread.name for thread in new if thread.is_alive()], "threads were left behind"


@pytest.fixture
def factory(no_thread_left: None) -> Iterator[BusFactory]:
    """Create buses and gates that end with the test."""
    factory = BusFactory()
    yield factory
    factory.end()


@pytest.fixture
def logged() -> Iterator[Logged]:
    """Record the log of the library."""
    handler = Logged()
    logger = logging.getLogger("brummerbus")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Make threads interrupt each other as often as the interpreter can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
