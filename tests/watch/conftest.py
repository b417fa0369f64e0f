"""Fixtures of the watcher's tests."""

import os
import signal
from collections.abc import Iterable
from pathlib import Path

import pytest

from brummerbus.__main__ import main

from .helpers import Refusal, Watcher


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


@pytest.fixture
def refusal(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Refusal:
    """Runs a command line that must be refused, in this process, and returns what is said."""
    monkeypatch.chdir(watcher.directory)

    def refusal(*arguments: str) -> str:
        try:
            code: object = main(["watch", "--db", "log.db", *arguments])
        except SystemExit as end:  # of argparse
            code = end.code
        output = capsys.readouterr()
        assert (code, output.out) == (2, "")
        return output.err

    return refusal
