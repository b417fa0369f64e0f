"""Fixtures of all tests; what they are made of is in `helpers`."""

import gc
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from time import monotonic

import pytest

from helpers.buses import BusFactory
from helpers.handlers import Logged
from helpers.waiting import HANG


def pytest_configure() -> None:
    """Take signals as a terminal delivers them.

    What is started in the background or by nohup ignores some, and so would whatever a test starts.
    """
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_IGN:
            default = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
            signal.signal(getattr(signal, name), default)


def pytest_collection_finish() -> None:
    """Keep what is there now out of later collections.

    Some tests collect garbage dozens of times, and the objects of pytest, of hypothesis and of all
    test modules make that 0.09 s each time.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Fail a test after which a thread runs that did not run before."""
    before = set(threading.enumerate())
    yield
    deadline = monotonic() + HANG / 3
    new = [thread for thread in threading.enumerate() if thread not in before]
    for thread in new:
        thread.join(max(0.0, deadline - monotonic()))
    assert not [thread.name for thread in new if thread.is_alive()], "threads were left behind"


@pytest.fixture
def factory(no_thread_left: None) -> Iterator[BusFactory]:
    """Make buses and gates that are gone after the test."""
    factory = BusFactory()
    yield factory
    factory.end()


@pytest.fixture
def logged() -> Iterator[Logged]:
    """Keep what the library logs."""
    handler = Logged()
    logger = logging.getLogger("brummerbus")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Let threads interrupt each other as often as the interpreter can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
