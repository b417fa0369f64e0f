"""Listeners and waits for an event: what their tests share."""

import signal
from collections.abc import Callable
from typing import Any

from brummerbus import EventBus, Listener
from helpers.internals import held_by, types_listened_to
from helpers.opcodes import At
from helpers.threads import InThread
from helpers.waiting import poll


class Order:
    """An object that is no event."""

    def __init__(self, number: int = 0) -> None:
        self.number = number


def waiting(bus: EventBus, call: Callable[[], Any]) -> InThread:
    """Make a call in a thread, and return when it waits."""
    before = types_listened_to(bus)
    thread = InThread(call)
    poll(lambda: types_listened_to(bus) > before)
    return thread


def held(listener: Listener[Any]) -> list[Any]:
    """Return the payloads of what a listener holds."""
    return [event.data for event in held_by(listener)]


def interrupt_everywhere(call: Callable[[], object], check: Callable[[], object]) -> int:
    """Interrupt a call at one opcode after the other; how many there are."""
    for k in range(1, 20_000):
        at = At(k, lambda: signal.default_int_handler(signal.SIGINT, None))
        try:
            at.during(call)
        except KeyboardInterrupt:
            assert at.where
        if not at.where:
            return k
        try:
            check()
        except AssertionError as error:
            raise AssertionError(f"struck in {at.where}") from error
    raise AssertionError
