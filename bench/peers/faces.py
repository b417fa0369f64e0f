"""Each face beside what it replaces: the last tables of `make bench-peers`.

The ways of a group run in turn, several rounds. CPU time is that of the whole process, per item;
the ratio, to the first way of the group, is the median of the rounds' own ratios.
"""

import argparse
import json
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import Queue, SimpleQueue
from statistics import median

from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from bench import streams
from bench.peers import logs
from bench.peers.ways import (
    Measured,
    N,
    between_threads,
    bus_dispatcher,
    executor,
    in_one_thread,
    logging_through,
    loguru_enqueue,
    loguru_on_bus,
    metered,
    publishing,
    running,
    scraped,
    serving,
    stream,
    testing,
    traced,
)
from brummerbus import EventBus
from brummerbus.executor import BusExecutor
from brummerbus.ringqueue import RingQueue
from brummerbus.testing import TestBus

BUILD = Path(__file__).resolve().parents[2] / "build" / "bench"

Way = Callable[[], Measured]

GROUPS: dict[str, dict[str, Way]] = {
    "executor: submit, 4 workers": {
        "ThreadPoolExecutor": partial(executor, lambda: ThreadPoolExecutor(4)),
        "BusExecutor": partial(executor, lambda: BusExecutor(4, queue_size=N)),
    },
    "queue: put and get, one thread": {
        "queue.Queue": partial(in_one_thread, lambda: Queue(1000)),
        "RingQueue": partial(in_one_thread, lambda: RingQueue(1000)),
        "SimpleQueue, without a bound": partial(in_one_thread, SimpleQueue),
    },
    "queue: from thread to thread": {
        "queue.Queue": partial(between_threads, lambda: Queue(1000)),
        "RingQueue": partial(between_threads, lambda: RingQueue(1000)),
        "RingQueue, put_many and get_many of 50": partial(
            between_threads, lambda: RingQueue(1000), 50
        ),
        "SimpleQueue, without a bound": partial(between_threads, SimpleQueue),
    },
    "logging: a record": {way: partial(logging_through, way) for way in logs.WAYS},
    "loguru: a message": {"enqueue=True": loguru_enqueue, "bus_sink": loguru_on_bus},
    "asyncio: from a thread to a task": {
        way: partial(stream, way)
        for way in sorted(streams.CONTESTANTS, key=lambda way: way.startswith("bus"))
    },
    "waitress: a request, 1 thread": {
        "its own dispatcher": partial(serving, lambda _: {"threads": 1}),
        "BusDispatcher": partial(serving, partial(bus_dispatcher, 1)),
    },
    "waitress: a request, 4 threads": {
        "its own dispatcher": partial(serving, lambda _: {"threads": 4}),
        "BusDispatcher": partial(serving, partial(bus_dispatcher, 4)),
    },
    "figures: publish and handle": {
        "without": publishing,
        "BusCollector, scraped 10 times per second": partial(publishing, scraped),
        "instrument(bus), collected 10 times per second": partial(publishing, metered),
        "instrument(bus, spans=True), none sampled": partial(
            publishing, partial(traced, ALWAYS_OFF), 1
        ),
        "instrument(bus, spans=True), all sampled": partial(
            publishing, partial(traced, ALWAYS_ON), 1
        ),
    },
    "testing: a test with 20 events": {
        "EventBus": partial(testing, lambda: EventBus(workers=4)),
        "TestBus": partial(testing, lambda: TestBus(seed=1)),
    },
    "testing: publish and handle": {
        "EventBus": partial(running, lambda: EventBus(workers=4, queue_size=N)),
        "TestBus": partial(running, lambda: TestBus(seed=1, queue_size=N)),
    },
}


def measure(ways: dict[str, Way], rounds: int) -> dict[str, list[Measured]]:
    """Return what each way took in each round."""
    found: dict[str, list[Measured]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(way())
    return found


def lines(group: str, found: dict[str, list[Measured]]) -> Iterator[str]:
    """Yield the table of a group, in Markdown."""
    yield f"\n| {group} | CPU, us | time, us | CPU, ratio |"
    yield "|---|---|---|---|"
    first = next(iter(found.values()))
    for name, rounds in found.items():
        cpu, wall = (median(column) for column in zip(*rounds, strict=True))
        ratio = median(own[0] / base[0] for own, base in zip(rounds, first, strict=True))
        yield f"| {name} | {cpu:,.2f} | {wall:,.2f} | {ratio:.2f} |"


def main() -> None:
    """Measure all, or the groups whose names contain a word; print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="a part of the names of groups")
    options = parser.parse_args()
    logging.getLogger("waitress.queue").setLevel("ERROR")  # it warns of each request that waits
    logs.logger.propagate = False
    logs.logger.setLevel("INFO")
    all_found = {}
    for group, ways in GROUPS.items():
        if options.only in group:
            all_found[group] = found = measure(ways, options.rounds)
            print("\n".join(lines(group, found)), flush=True)
    BUILD.mkdir(parents=True, exist_ok=True)
    (BUILD / "faces.json").write_text(json.dumps(all_found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
