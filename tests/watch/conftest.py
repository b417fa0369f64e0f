"""Fixtures of the watcher's tests."""

import os
import signal
from collections.abc import Iterable
from pathlib import Path

import pytest

from .helpers import Watcher


@pytest.fixture
def watcher(tmp_path: Path) -> Iterable[Watcher]:
    """A watcher in an empty directory."""
    if os.name != "posix":
        pytest.skip("process groups and signals are POSIX's")
    # Ignored signals are inherited by children, and a shell in the background ignores Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    made = Watcher(tmp_path)
    yield made
    made.close()
    signal.signal(signal.SIGINT, before)
