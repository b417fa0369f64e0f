"""How cost grows: one quantity is increased, and the cost per event must stay constant.

Wall time is what a program experiences, CPU time what it pays; on a busy machine only the latter is
comparable, so the verdicts use it. Each point is the best of several tries, since other load on the
machine only adds. Events are created in advance: this is the cost of the bus.

The cost may grow with the number of publishers and workers, as the machine has few cores; these,
and handlers, are shown without a verdict. Writes growth.json to build/bench/.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Barrier, Semaphore, Thread
from time import perf_counter, process_time
from typing import Any

import psutil

from bench.peers.machine import describe
from brummerbus import BackpressurePolicy, Event, EventBus

BUILD = Path(__file__).resolve().parents[1] / "build" / "bench"
TYPE = "bench.event"
QUEUE = 4096
POOL = 1_000
TRIES = 5
LONG = 2_000_000
"""With at least this many events one try is enough: it averages over the machine's variations."""

GROWTH = 1.5
"""A larger ratio between the last point and the cheapest counts as growth, beyond noise."""

MEMORY_MB = 5.0
"""Growth of resident memory up to this counts as none: allocators keep some."""


@dataclass
class Point:
    """The cost of a delivery in microseconds; of publishing alone if timed separately."""

    x: int
    wall: float
    cpu: float
    publish: float | None = None


def no_op(_: Any) -> None:
    """Do nothing."""


def ready(count: int, types: int = 1) -> Iterator[Event]:
    """Return an iterator over `count` existing events of `types` types."""
    names = [TYPE] if types == 1 else [f"{TYPE}.{n}" for n in range(1, types + 1)]
    pool = [Event(names[n % types], n) for n in range(POOL)]
    whole, rest = divmod(count, POOL)
    return (event for part in (*[pool] * whole, pool[:rest]) for event in part)


@contextmanager
def running(**settings: Any) -> Iterator[EventBus]:
    """Create a bus that blocks when it is full, and stop it at the end."""
    usual = {"workers": 1, "queue_size": QUEUE, "policy": BackpressurePolicy.BLOCK}
    bus = EventBus(**{**usual, **settings})
    try:
        yield bus
    finally:
        bus.stop(timeout=None)


def publish_all(bus: EventBus, events: Iterator[Event]) -> None:
    """Publish in a loop."""
    publish = bus.publish
    for event in events:
        publish(event)


def timed(x: int, deliveries: int, work: Callable[[], object]) -> Point:
    """Run once, timed by both clocks."""
    wall, cpu = perf_counter(), process_time()
    work()
    wall, cpu = perf_counter() - wall, process_time() - cpu
    return Point(x, wall / deliveries * 1e6, cpu / deliveries * 1e6)


def best(tries: int, measure: Callable[[], Point]) -> Point:
    """Return the best of each clock."""
    points = [measure() for _ in range(tries)]
    apart = [point.publish for point in points if point.publish is not None]
    return Point(
        points[0].x,
        min(point.wall for point in points),
        min(point.cpu for point in points),
        min(apart) if apart else None,
    )


# ---- what is turned up -----------------------------------------------------------------------


def by_events(count: int) -> Point:
    """Publish `count` events, one after the other."""
    with running() as bus:
        bus.subscribe(TYPE, no_op)
        publish_all(bus, ready(POOL))
        bus.flush()

        def work() -> None:
            publish_all(bus, ready(count))
            bus.flush()

        # A few events are published repeatedly, so that the time is measurable.
        repeat = max(1, 10_000 // count)

        def repeated() -> None:
            for _ in range(repeat):
                work()

        return timed(count, count * repeat, repeated)


def by_depth(depth: int) -> Point:
    """Publish into a queue of this depth; then let the worker handle all."""
    some = 20_000
    entered, leave = Semaphore(0), Semaphore(0)

    def hold(_: Any) -> None:
        entered.release()
        leave.acquire()

    with running(queue_size=depth + some) as bus:
        bus.subscribe("hold", hold)
        bus.subscribe(TYPE, no_op)
        bus.publish(Event("hold"))
        entered.acquire()
        publish_all(bus, ready(depth))
        publishing = timed(depth, some, lambda: publish_all(bus, ready(some)))

        def drain() -> None:
            leave.release()
            bus.flush()

        draining = timed(depth, depth + some, drain)
        wall, cpu = publishing.wall + draining.wall, publishing.cpu + draining.cpu
        return Point(depth, wall, cpu, publishing.cpu)


def by_levels(levels: int) -> Point:
    """Distribute events over `levels` levels."""
    table = {TYPE: 1, **{f"{TYPE}.{n}": n for n in range(1, levels + 1)}}
    with running(priority_levels=levels, priorities=table) as bus:
        bus.subscribe(TYPE + "*", no_op)
        return publish_and_flush(bus, levels, 50_000, types=levels)


def by_handlers(handlers: int) -> Point:
    """Deliver each event to `handlers` handlers; the cost of one delivery."""
    with running(queue_size=max(QUEUE, handlers)) as bus:
        for _ in range(handlers):
            bus.subscribe(TYPE, no_op)
        return publish_and_flush(bus, handlers, max(1_000, 50_000 // handlers), fan=handlers)


def by_workers(workers: int) -> Point:
    """Distribute the work over `workers` workers."""
    with running(workers=workers) as bus:
        bus.subscribe(TYPE, no_op)
        return publish_and_flush(bus, workers, 50_000)


def publish_and_flush(bus: EventBus, x: int, count: int, types: int = 1, fan: int = 1) -> Point:
    """Time `count` events until all are handled."""

    def work() -> None:
        publish_all(bus, ready(count, types))
        bus.flush()

    return timed(x, count * fan, work)


def by_publishers(publishers: int) -> Point:
    """Publish from `publishers` threads, to 4 workers."""
    each = 64_000 // publishers
    barrier = Barrier(publishers + 1)
    with running(workers=4) as bus:
        bus.subscribe(TYPE, no_op)

        def publish() -> None:
            barrier.wait()
            publish_all(bus, ready(each))

        threads = [Thread(target=publish, daemon=True) for _ in range(publishers)]
        for thread in threads:
            thread.start()

        def work() -> None:
            barrier.wait()
            for thread in threads:
                thread.join()
            bus.flush()

        return timed(publishers, each * publishers, work)


@dataclass(frozen=True)
class Series:
    """One quantity, its values, and whether cost must not grow with it."""

    name: str
    measure: Callable[[int], Point]
    values: tuple[int, ...]
    quick: tuple[int, ...]
    judged: bool


POWERS = tuple(10**n for n in range(8))

SERIES = (
    Series("events", by_events, POWERS[3:8], POWERS[3:6], judged=True),
    Series("depth", by_depth, POWERS[:7], POWERS[:6], judged=True),
    Series("levels", by_levels, (1, 2, 3, 4, 6, 8), (1, 3, 8), judged=True),
    Series("handlers", by_handlers, (1, 2, 3, 10, 30, 100), (1, 3, 10), judged=False),
    Series("publishers", by_publishers, (1, 2, 4, 16, 64), (1, 4, 16), judged=False),
    Series("workers", by_workers, (1, 2, 4, 8, 16, 32), (1, 4, 16), judged=False),
)


def run_series(series: Series, *, quick: bool) -> dict[str, Any]:
    """Measure and print one series."""
    note = "" if series.judged else ", shown only"
    print(f"\n{series.name}{note}\n{'':>12}  wall us  CPU us  of it publish")
    points = []
    for x in series.quick if quick else series.values:
        tries = 1 if series.name == "events" and x >= LONG else TRIES
        point = best(tries, partial(series.measure, x))
        points.append(point)
        apart = "" if point.publish is None else f"{point.publish:8.2f}"
        print(f"{x:>12,}  {point.wall:7.2f} {point.cpu:7.2f}  {apart}", flush=True)
    growth = points[-1].cpu / min(point.cpu for point in points)
    grows = series.judged and growth > GROWTH
    print(f"  last / least: {growth:.2f}" + (f", GROWS (limit {GROWTH})" if grows else ""))
    data = [point.__dict__ for point in points]
    return {"series": series.name, "points": data, "growth": growth, "grows": grows}


def run_memory(count: int) -> dict[str, Any]:
    """Measure resident memory over many events, each newly created."""
    process = psutil.Process()
    samples = []
    with running(workers=4) as bus:
        bus.subscribe(TYPE, no_op)
        for part in range(11):
            for n in range(count // 10 if part else POOL * 10):
                bus.publish(Event(TYPE, n))
            bus.flush()
            samples.append(process.memory_info().rss / 2**20)
    growth = samples[-1] - samples[0]
    grows = growth > MEMORY_MB
    print(f"\nresident memory over {count:,} events, MB, at each tenth")
    print("  " + " ".join(f"{sample:.1f}" for sample in samples))
    print(f"  growth: {growth:.1f} MB" + (f", GROWS (limit {MEMORY_MB})" if grows else ""))
    return {"events": count, "rss_mb": samples, "growth_mb": growth, "grows": grows}


def main() -> int:
    """Measure all series; the exit code is 1 if something grows that must not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller maxima: about a minute")
    names = [series.name for series in SERIES]
    parser.add_argument("--only", choices=[*names, "memory"], help="one series")
    parser.add_argument("--build", type=Path, default=BUILD, help="where growth.json goes")
    options = parser.parse_args()
    machine = describe()
    print(f"{machine['python']}, {machine['processor']}, {machine['cores']} cores, ", end="")
    print(f"load {machine['load']}; commit {machine['commit']}")
    only = options.only
    memory = None
    if only in {None, "memory"}:  # first, while the process is small
        memory = run_memory(POWERS[5] if options.quick else POWERS[7])
    results = [run_series(s, quick=options.quick) for s in SERIES if only in {None, s.name}]
    options.build.mkdir(parents=True, exist_ok=True)
    path = options.build / "growth.json"
    data = {"machine": machine, "quick": options.quick, "memory": memory, "series": results}
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    grows = any(result["grows"] for result in [*results, *([memory] if memory else [])])
    return 1 if grows else 0


if __name__ == "__main__":
    sys.exit(main())
