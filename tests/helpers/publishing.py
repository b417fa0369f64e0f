"""A full bus and tasks that wait to publish: what the tests of `publish_async` share."""

import asyncio
from collections.abc import Callable
from typing import Any

from brummerbus import EventBus
from helpers.buses import BusFactory, fill
from helpers.handlers import Gate, Recorder
from helpers.internals import tasks_that_wait
from helpers.waiting import HANG

FOREVER = 10 * HANG


class Full:
    """A bus whose only worker is held in a handler and whose queue is full."""

    def __init__(self, factory: BusFactory, policy: str = "block", **settings: Any) -> None:
        usual: dict[str, Any] = {"queue_size": 2, "publish_timeout": FOREVER}
        self.bus: EventBus = factory.bus(policy=policy, **{**usual, **settings})
        self.seen = Recorder()
        self.bus.subscribe("a", self.seen)
        self.bus.subscribe("b.*", self.seen)
        self.gate: Gate = factory.hold(self.bus)
        fill(self.bus, 2)

    async def waits(self, tasks: int, call: Callable[[], Any]) -> "asyncio.Task[bool]":
        """Begin to publish, and return when that many tasks wait."""
        task = asyncio.create_task(call())
        await self.wait(tasks)
        return task

    async def wait(self, tasks: int) -> None:
        """Return when that many tasks wait."""
        while tasks_that_wait(self.bus) != tasks:
            assert not self.bus.closed
            await asyncio.sleep(0.001)
