"""Fixtures of the executor's tests."""

from collections.abc import Iterator
from typing import Any

import pytest

from brummerbus.executor import BusExecutor
from helpers.buses import BusFactory
from helpers.executors import Make


@pytest.fixture
def make(factory: BusFactory) -> Iterator[Make]:
    """A factory of small executors, which are shut down after the test."""
    made: list[BusExecutor] = []

    def make(max_workers: int | None = 1, **options: Any) -> BusExecutor:
        if "bus" not in options:
            options.setdefault("queue_size", 10)
        made.append(BusExecutor(max_workers, **options))
        return made[-1]

    yield make
    factory.end()  # opens the gates
    for executor in made:
        executor.bus.stop(drain=False)
