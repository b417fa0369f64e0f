"""Fixtures of the store's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from brummerbus.watch.store import LogStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that does not exist yet."""
    return tmp_path / "log.db"


@pytest.fixture
def store(path: Path) -> Iterator[LogStore]:
    """A store of one run."""
    with LogStore(path, "Procfile") as store:
        yield store
