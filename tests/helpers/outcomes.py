"""`on_done`: what its tests share."""

from typing import Any

from brummerbus import EventBus, Outcome
from helpers.buses import BusFactory


class Failure(Exception):
    """What handlers raise on purpose."""


def quiet_bus(factory: BusFactory, **settings: Any) -> EventBus:
    """Make a bus that does not log what fails."""
    return factory.bus(on_error=lambda *_: None, **settings)


def raising(error: BaseException) -> Any:
    """Return a hook that raises."""

    def hook(outcome: Outcome) -> None:
        raise error

    return hook
