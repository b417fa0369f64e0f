"""redis-py alone, with Redis Streams and a consumer group."""

import json
from time import monotonic

import redis

from bench.relay_ways.common import WINDOW, Task, payload, ready


def send(task: Task) -> float:
    """Append all, a window at a time; return when the first was."""
    client = redis.Redis.from_url(task.url)
    ready()
    began = monotonic()
    for first in range(0, task.events, WINDOW):
        pipeline = client.pipeline(transaction=False)
        for number in range(first, min(first + WINDOW, task.events)):
            pipeline.xadd(task.run, {"data": json.dumps(payload(number))})
        pipeline.execute()
    return began


def receive(task: Task) -> float:
    """Read and acknowledge all; return when the last was."""
    client = redis.Redis.from_url(task.url, protocol=2)
    client.xgroup_create(task.run, "bench", id="0", mkstream=True)
    ready()
    left = task.events
    while left:
        for _, entries in client.xreadgroup("bench", "one", {task.run: ">"}, WINDOW, block=1000):
            for _, fields in entries:
                json.loads(fields[b"data"])
            client.xack(task.run, "bench", *[entry for entry, _ in entries])
            left -= len(entries)
    ended = monotonic()
    client.delete(task.run)
    return ended
