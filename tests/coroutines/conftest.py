"""Fixtures of the tests of coroutine handlers."""

from collections.abc import Iterator

import pytest

from helpers.buses import BusFactory
from helpers.loops import LoopThread


@pytest.fixture
def loop(factory: BusFactory) -> Iterator[LoopThread]:
    """A loop in a thread, which is closed after the buses were stopped."""
    loop = LoopThread()
    yield loop
    loop.open()
    factory.end()
    loop.close()
