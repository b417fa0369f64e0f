"""Mistakes in subscriptions of coroutine functions."""

import asyncio
from typing import Any

import pytest

from helpers.buses import BusFactory
from helpers.loops import coroutine


@pytest.mark.parametrize(
    ("handler", "options", "error", "message"),
    [
        (coroutine, {}, TypeError, r"a coroutine function only returns.*loop=loop"),
        (print, {"loop": ...}, TypeError, "must be a coroutine function"),
        (lambda event: None, {"loop": ...}, TypeError, "must be a coroutine function"),
        (coroutine, {"loop": 3}, TypeError, "loop must be an event loop of asyncio, got 3"),
        (coroutine, {"concurrency": 3}, ValueError, "concurrency needs loop"),
        (coroutine, {"loop": ..., "concurrency": 0}, ValueError, "concurrency must be an int"),
        (coroutine, {"loop": ..., "max_concurrency": 2}, ValueError, "not max_concurrency"),
        (coroutine, {"loop": ..., "batch": 2}, ValueError, "batch cannot be used with loop"),
        (coroutine, {"loop": ..., "weak": True}, ValueError, "weak cannot be used with loop"),
    ],
)
def test_a_mistake_is_refused(
    factory: BusFactory, handler: Any, options: Any, error: type[Exception], message: str
) -> None:
    loop = asyncio.new_event_loop()
    given = {name: loop if value is ... else value for name, value in options.items()}
    bus = factory.bus()
    with pytest.raises(error, match=message):
        bus.subscribe("a", handler, **given)
    loop.close()
    with pytest.raises(ValueError, match="must not be closed"):
        bus.subscribe("a", coroutine, loop=loop)
    assert bus.subscriptions() == ()
