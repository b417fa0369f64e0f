"""Executors on a bus: what their tests share."""

from collections.abc import Callable
from typing import Any

import pytest

from brummerbus.executor import BusExecutor
from helpers.buses import BusFactory
from helpers.handlers import Gate

Make = Callable[..., BusExecutor]


def hold(factory: BusFactory, executor: BusExecutor, workers: int = 1) -> Gate:
    """Occupy workers, so that what is submitted then stays in the queue."""
    gate = factory.gate()
    for _ in range(workers):
        executor.submit(gate, None)
        gate.wait_entered()
    return gate


SHARED = pytest.mark.parametrize("shared", [False, True], ids=["own bus", "shared bus"])


def either(make: Make, factory: BusFactory, *, shared: bool, **settings: Any) -> BusExecutor:
    """Return an executor with one worker and room for ten tasks."""
    if shared:
        return make(None, bus=factory.bus(policy="reject", **settings))
    return make(**settings)
