"""The bridge of abxbus: pub/sub, of which nothing is stored or acknowledged."""

import asyncio
from time import monotonic
from typing import Any

from abxbus import BaseEvent
from abxbus.bridge_nats import NATSEventBridge
from abxbus.bridge_redis import RedisEventBridge

from bench.relay_ways.common import PATIENCE, Task, payload, ready


def bridge_of(task: Task) -> Any:
    if task.url.startswith("redis"):
        return RedisEventBridge(f"{task.url}/0/{task.run}")
    return NATSEventBridge(task.url, task.run)


async def sending(task: Task) -> float:
    bridge = bridge_of(task)
    await bridge.start()
    await asyncio.to_thread(ready)
    began = monotonic()
    for number in range(task.events):
        await bridge.emit(BaseEvent(event_type="BenchEvent", **payload(number)))
    await bridge.close()
    return began


async def receiving(task: Task) -> float:
    bridge = bridge_of(task)
    done = asyncio.Event()
    left = task.events

    async def handle(event: BaseEvent[Any]) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    bridge.on("BenchEvent", handle)
    await bridge.start()
    await asyncio.to_thread(ready)
    await asyncio.wait_for(done.wait(), PATIENCE)
    ended = monotonic()
    await bridge.close()
    return ended


def send(task: Task) -> float:
    """Emit all; return when the first was."""
    return asyncio.run(sending(task))


def receive(task: Task) -> float:
    """Handle all; return when the last was."""
    return asyncio.run(receiving(task))
