"""Mistakes in the arguments of an executor."""

from typing import Any

import pytest

from brummerbus import BusClosed
from brummerbus.executor import BusExecutor
from helpers.buses import BusFactory
from helpers.executors import Make


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"max_workers": 0}, ValueError, "max_workers must be greater than 0.* got 0"),
        ({"max_workers": -1}, ValueError, "max_workers must be greater than 0.* got -1"),
        ({"max_workers": 1025}, ValueError, "max_workers.*1024, got 1025"),
        ({"max_workers": "2"}, TypeError, "max_workers must be an int from 1 to 1024, got '2'"),
        ({"max_workers": True}, TypeError, "max_workers must be an int from 1 to 1024, got True"),
        ({"thread_name_prefix": 3}, TypeError, "thread_name_prefix must be a string, got 3"),
        ({"initializer": 3}, TypeError, "initializer must be.* got 3"),
        ({"workers": 3}, TypeError, "max_workers, not workers"),
        ({"queue_size": 0}, ValueError, "queue_size.* got 0"),
        ({"size": 3}, TypeError, "size"),
        ({"bus": 3}, TypeError, "bus must be an EventBus or None, got 3"),
    ],
)
def test_a_wrong_argument_is_named(arguments: Any, error: type[Exception], message: str) -> None:
    """With its value and what is accepted; no thread is left."""
    with pytest.raises(error, match=message):
        BusExecutor(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"queue_size": 10},
        {"monitoring": False},
        {"thread_name_prefix": "a"},
        {"initializer": int},
        {"initargs": (1,)},
    ],
    ids=str,
)
def test_what_is_the_buss_own_cannot_be_given_with_a_bus(
    factory: BusFactory, arguments: Any
) -> None:
    """It would be ignored."""
    with pytest.raises(TypeError, match=f"with bus, {next(iter(arguments))} cannot be given"):
        BusExecutor(bus=factory.bus(), **arguments)


def test_a_wrong_priority_is_named(make: Make) -> None:
    """With the levels that the bus has."""
    with pytest.raises(ValueError, match="priority must be an int from 1 to 3, got 4"):
        make().with_priority(4)


def test_a_stopped_bus_cannot_be_shared(factory: BusFactory) -> None:
    """As it cannot be subscribed to."""
    bus = factory.bus()
    bus.stop()
    with pytest.raises(BusClosed):
        BusExecutor(bus=bus)
