"""The response of an elastic pool to a step, a ramp, a burst and idleness, in real time.

Handlers wait 10 ms, so a hundredth of the deliveries per second is the number of workers needed.
Shown are the steps, the time to the steady size, the overshoot, drops, and the CPU time of the
monitor alone, when idle.
"""

import time
from collections.abc import Callable
from math import ceil
from typing import NamedTuple

from brummerbus import Event, EventBus

SERVICE = 0.010
TICK = 0.01
MIN_WORKERS, MAX_WORKERS = 4, 32


class Answer(NamedTuple):
    """The result of one load."""

    load: str
    needed: int
    steps: int
    seconds_to_size: float | None
    largest: int
    last: int
    dropped: int
    p99_wait: float


def publish(bus: EventBus, rate: Callable[[float], float], seconds: float) -> None:
    """Publish at a rate in events per second, open-loop: late events are made up for."""
    began, due, sent = time.monotonic(), 0.0, 0
    while (now := time.monotonic() - began) < seconds:
        due += rate(now) * TICK
        while sent < due:
            bus.publish(Event("work"), timeout=0)
            sent += 1
        time.sleep(max(0.0, TICK - (time.monotonic() - began - now)))


def answer(load: str, rate: Callable[[float], float], peak: float, seconds: float) -> Answer:
    """Run a load on a new pool, then wait until it is small again, for 10 s at most."""
    needed = ceil(peak * SERVICE)
    with EventBus(workers=(MIN_WORKERS, MAX_WORKERS), name=load) as bus:
        bus.subscribe("work", lambda _: time.sleep(SERVICE))
        began = time.monotonic()
        publish(bus, rate, seconds)
        time.sleep(10)
        stats, last = bus.stats(), bus.workers
    sizes = [(step.time - began, step.after) for step in stats.sizing]
    reached = next((at for at, size in sizes if size >= needed), None)
    largest = max([size for _, size in sizes] + [MIN_WORKERS])
    return Answer(
        load, needed, len(sizes), reached, largest, last, stats.dropped, stats.queue_wait.p99
    )


def cost_at_rest(seconds: float = 10.0) -> float:
    """Return the fraction of a core that an idle elastic bus uses."""
    with EventBus(workers=(MIN_WORKERS, MAX_WORKERS), slow_handler_after=60.0):
        began = time.process_time()
        time.sleep(seconds)
        return (time.process_time() - began) / seconds


def main() -> None:
    """Run all loads and print the table."""
    loads = [
        answer("step", lambda _: 1200.0, 1200, 10),
        answer("ramp", lambda t: 150.0 * t, 1500, 10),
        answer("burst", lambda t: 3000.0 if t < 2 else 0.0, 3000, 3),
        answer("rest", lambda _: 0.0, 0, 3),
    ]
    print("load   needed  largest  steps  s to size  10 s later  dropped  p99 wait")
    for a in loads:
        reached = "-" if a.seconds_to_size is None else f"{a.seconds_to_size:.1f}"
        print(
            f"{a.load:<6} {a.needed:>6} {a.largest:>8} {a.steps:>6} {reached:>10} "
            f"{a.last:>11} {a.dropped:>8} {a.p99_wait * 1e3:>6.0f} ms"
        )
    print(f"An idle elastic bus uses {cost_at_rest():.3%} of a core.")


if __name__ == "__main__":
    main()
