"""One round: one contestant in one shape, in its own process, which prints figures as JSON.

In its own process, because peak memory is measured per process, and so that no round inherits
threads, garbage or used memory from the previous one.
"""

import gc
import json
import sys
from collections.abc import Callable, Iterable
from itertools import chain, islice, repeat
from threading import Barrier, Semaphore, Thread
from time import perf_counter, perf_counter_ns, process_time, process_time_ns, sleep
from typing import Any

from bench.peers.contestants import TYPE, Contestant
from bench.peers.handlers import Handled, no_op, spin
from bench.peers.machine import peak_memory, reset_peak_memory
from bench.peers.packages import ALL
from bench.peers.shapes import SHAPES, Shape
from brummerbus import Event

Figures = dict[str, Any]

POOL = 1_000
"""Distinct events in a throughput shape, used repeatedly: creating them is not measured."""

PAYLOAD = 1_000
"""Bytes in each event of a burst, so that queued events are visible in memory; the study's figure
is 1,024."""

WARM_UP = 100
SETTLE = 0.02
PAUSE = 0.001
FILLINGS = 100
GROUP = 20
"""Publishes in a row beside a computing handler, before the publisher sleeps again."""


class Round:
    """A contestant, timed from `begin` to `end`."""

    def __init__(self, shape: Shape, contestant: type[Contestant], turns: int) -> None:
        self.shape = shape
        self.make = contestant
        self.handled = Handled(shape.handler, turns)
        self.figures: Figures = {}

    def contestant(self, handler: Callable[[Any], None] | None = None) -> Contestant:
        """Create the contestant."""
        shape = self.shape
        return self.make(handler or self.handled.handler, shape.workers, shape.queue)

    def begin(self) -> None:
        """Start the clocks."""
        gc.collect()
        gc.freeze()
        self.memory = reset_peak_memory()
        self.cpu = process_time()
        self.wall = perf_counter()

    def end(self, events: int) -> None:
        """Stop the clocks."""
        seconds = perf_counter() - self.wall
        cpu = process_time() - self.cpu
        self.figures |= {
            "events": events,
            "rate": events / seconds,
            "cpu_us": cpu / events * 1e6,
            "memory_mb": max(0, peak_memory() - self.memory) / 2**20,
        }

    def latencies(self, samples: list[int]) -> None:
        """Record quantiles of durations in nanoseconds."""
        ordered = sorted(samples)
        for name, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)):
            at = min(len(ordered) - 1, int(share * len(ordered)))
            self.figures[name] = ordered[at] / 1e3


def warm_up(contestant: Contestant) -> int:
    """Start all threads; return the number of events used for it."""
    events = [Event(TYPE, n) for n in range(WARM_UP)]
    for call in contestant.calls(events):
        contestant.publish(call)
    sleep(SETTLE)
    return WARM_UP


def publish_all(contestant: Contestant, events: Iterable[Any], _: list[int]) -> None:
    """Publish as fast as possible."""
    publish_calls(contestant, contestant.calls(events))


def publish_calls(contestant: Contestant, calls: Iterable[Any]) -> None:
    """Publish the prepared events."""
    publish = contestant.publish
    for call in calls:
        publish(call)


def publish_timed(contestant: Contestant, events: Iterable[Any], samples: list[int]) -> None:
    """Publish, and read the clock before and after each call."""
    publish = contestant.publish
    note = samples.append
    for call in contestant.calls(events):
        start = perf_counter_ns()
        publish(call)
        note(perf_counter_ns() - start)


def run_publishers(
    round_: Round,
    work: Callable[[Contestant, Iterable[Any], list[int]], None],
    events: list[Iterable[Any]],
    count: int,
) -> list[int]:
    """Publish from several threads that start together; time until all is handled."""
    contestant = round_.contestant()
    barrier = Barrier(len(events) + 1)
    samples: list[list[int]] = [[] for _ in events]

    def publisher(number: int) -> None:
        barrier.wait()
        work(contestant, events[number], samples[number])

    threads = [Thread(target=publisher, args=(n,), daemon=True) for n in range(len(events))]
    for thread in threads:
        thread.start()
    published = count + warm_up(contestant)
    round_.begin()
    barrier.wait()
    for thread in threads:
        thread.join()
    round_.figures["publishing_s"] = perf_counter() - round_.wall
    contestant.finish()
    round_.end(count)
    counted = round_.handled.counted
    lost = published - round_.handled.calls() if counted else contestant.lost()
    round_.figures["lost"] = lost
    return list(chain.from_iterable(samples))


def sources(shape: Shape, each: int) -> list[Iterable[Any]]:
    """Return the events of each publisher."""
    if shape.made:
        return [(Event(TYPE, n) for n in range(each)) for _ in range(shape.publishers)]
    pool = [Event(TYPE, n) for n in range(POOL)]
    return [pool * (each // POOL) + pool[: each % POOL] for _ in range(shape.publishers)]


# ---- the kinds of shapes ---------------------------------------------------------------------


def throughput(round_: Round, count: int) -> None:
    """Publish; the time from the first publish to the last handled."""
    each = max(1, count // round_.shape.publishers)
    run_publishers(round_, publish_all, sources(round_.shape, each), each * round_.shape.publishers)


def full(round_: Round, count: int) -> None:
    """`throughput` with each call timed, and handlers that cannot keep up."""
    each = max(1, count // round_.shape.publishers)
    events = sources(round_.shape, each)
    total = each * round_.shape.publishers
    round_.latencies(run_publishers(round_, publish_timed, events, total))


def burst(round_: Round, count: int) -> None:
    """Events of 1 KB, created as they are published: memory shows the queued ones."""
    publishers = round_.shape.publishers
    each = count // publishers

    def events() -> Iterable[Any]:
        return (Event(TYPE, bytes(PAYLOAD)) for _ in range(each))

    run_publishers(round_, publish_all, [events() for _ in range(publishers)], each * publishers)


def ping_pong(round_: Round, count: int) -> None:
    """Two contestants with one worker each exchange one event: the time of one hop."""
    samples: list[int] = []
    over = Semaphore(0)
    sides: list[Contestant] = []
    call: Any = None
    thrown = 0

    def throw(to: int) -> None:
        nonlocal thrown
        now = perf_counter_ns()
        samples.append(now - thrown)
        if len(samples) > count + WARM_UP:
            over.release()
            return
        thrown = perf_counter_ns()
        sides[to].publish(call)

    sides.append(round_.contestant(lambda _: throw(1)))
    sides.append(round_.contestant(lambda _: throw(0)))
    call = next(iter(sides[0].calls([Event(TYPE)])))
    round_.begin()
    thrown = perf_counter_ns()
    sides[0].publish(call)
    over.acquire()
    round_.end(len(samples))
    round_.latencies(samples[WARM_UP:])
    for side in sides:
        side.finish()


def idle(round_: Round, count: int) -> None:
    """Publish to workers that have slept for a millisecond: time to the handler's first line."""
    samples: list[int] = []
    started = 0

    def note(_: Any) -> None:
        samples.append(perf_counter_ns() - started)

    contestant = round_.contestant(note)
    call = next(iter(contestant.calls([Event(TYPE)])))
    round_.begin()
    for _ in range(count + WARM_UP // 2):
        sleep(PAUSE)
        started = perf_counter_ns()
        contestant.publish(call)
    contestant.finish()
    round_.end(len(samples))
    round_.latencies(samples[WARM_UP // 2 :])


def beside(round_: Round, count: int) -> None:
    """Publish while a handler computes in Python all the time: the time of a call.

    The publisher sleeps, like one that reads lines from a pipe, and then publishes a few events.
    """
    running = Semaphore(0)
    over = False

    def handle(event: Any) -> None:
        if event.data == "compute":
            running.release()
            while not over:
                spin(1_000)
        else:
            no_op(event)

    contestant = round_.contestant(handle)
    contestant.publish(next(iter(contestant.calls([Event(TYPE, "compute")]))))
    running.acquire()
    calls = contestant.calls(repeat(Event(TYPE)))
    samples: list[int] = []
    round_.begin()
    for _ in range(count // GROUP):
        sleep(PAUSE)
        for call in islice(calls, GROUP):
            start = perf_counter_ns()
            contestant.publish(call)
            samples.append(perf_counter_ns() - start)
    round_.end(len(samples))
    round_.latencies(samples)
    over = True
    contestant.finish()


def filling(round_: Round, count: int) -> None:
    """Fill a queue whose worker is blocked, then drain it: CPU time, the best twentieth.

    There is no hand-over between threads, and of many tries some are undisturbed (the best one was
    a clock error once, 8 ns instead of 240): the least noisy of all shapes, and the only one that
    separates publishing from handling.
    """
    entered, leave = Semaphore(0), Semaphore(0)

    def handle(event: Any) -> None:
        if event.data:
            entered.release()
            leave.acquire()

    contestant = round_.contestant(handle)
    calls = list(contestant.calls([Event(TYPE)] * count))
    gate = next(iter(contestant.calls([Event(TYPE, "gate")])))
    contestant.publish(gate)
    entered.acquire()
    publishing, handling = [], []
    round_.begin()
    for _ in range(FILLINGS):
        start = process_time_ns()
        publish_calls(contestant, calls)
        middle = process_time_ns()
        contestant.publish(gate)
        leave.release()
        entered.acquire()
        publishing.append(middle - start)
        handling.append(process_time_ns() - middle)
    round_.end(count * FILLINGS)
    leave.release()
    contestant.finish()
    cost = [sorted(tries)[FILLINGS // 20] / count for tries in (publishing, handling)]
    round_.figures |= {"publish_ns": cost[0], "handle_ns": cost[1], "both_ns": sum(cost)}


KINDS: dict[str, Callable[[Round, int], None]] = {
    function.__name__: function
    for function in (throughput, filling, full, burst, ping_pong, idle, beside)
}


def main() -> None:
    """Run the round described by the first argument."""
    order = json.loads(sys.argv[1])
    shape = next(shape for shape in SHAPES if shape.name == order["shape"])
    round_ = Round(shape, ALL[order["contestant"]], order["turns"])
    KINDS[shape.kind](round_, order["events"])
    print(json.dumps(round_.figures))


if __name__ == "__main__":
    main()
