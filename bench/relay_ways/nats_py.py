"""nats-py alone, with JetStream and its acknowledgements."""

import asyncio
import json
from contextlib import suppress
from time import monotonic

import nats

from bench.relay_ways.common import PATIENCE, WINDOW, Task, payload, ready


async def sending(task: Task) -> float:
    client = await nats.connect(task.url)
    stream = client.jetstream(publish_async_max_pending=WINDOW)
    ready()
    began = monotonic()
    for number in range(task.events):
        data = json.dumps(payload(number)).encode()
        await stream.publish_async(f"{task.run}.event", data, wait_stall=PATIENCE)
    await stream.publish_async_completed()
    await client.close()
    return began


async def receiving(task: Task) -> float:
    client = await nats.connect(task.url)
    stream = client.jetstream()
    await stream.add_stream(name=task.run, subjects=[f"{task.run}.>"])
    subscription = await stream.pull_subscribe(f"{task.run}.>", durable="bench")
    await asyncio.to_thread(ready)
    left = task.events
    while left:
        with suppress(asyncio.TimeoutError, nats.errors.TimeoutError):
            for message in await subscription.fetch(WINDOW, timeout=1):
                json.loads(message.data)
                await message.ack()
                left -= 1
    ended = monotonic()
    await client.flush()
    await stream.delete_stream(task.run)
    await client.close()
    return ended


def send(task: Task) -> float:
    """Publish all, and wait until they are acknowledged; return when the first was published."""
    return asyncio.run(sending(task))


def receive(task: Task) -> float:
    """Fetch and acknowledge all; return when the last was."""
    return asyncio.run(receiving(task))
