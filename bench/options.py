"""What each option costs, measured in one process: the children of `python -m bench.before`.

A program of its own, since an older version of the package runs it, too: it imports nothing else of
this directory, and measures only what the version that it finds has. It prints a JSON object: for
each name the CPU nanoseconds per event to publish, and to take and handle.
"""

import argparse
import gc
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import brummerbus
from brummerbus import Event, EventBus

N = 4_000
"""Events per round: less than the queue has slots."""

WARM_UP = "warm-up"

Figures = tuple[float, float]


def no_op(_: Any) -> None:
    """Do nothing."""


class Method:
    """Has a handler that is a bound method."""

    def handle(self, _: Any) -> None:
        """Do nothing."""


class Case:
    """Publishing with one option: a bus, its subscriptions, the call."""

    def __init__(
        self,
        settings: dict[str, Any] | None = None,
        subscribe: dict[str, Any] | None = None,
        publish: dict[str, Any] | None = None,
        *,
        handler: Callable[[Any], object] = no_op,
        many: int = 0,
        times: int = 1,
        around: Callable[[EventBus], Any] | None = None,
    ) -> None:
        self.settings = settings or {}
        self.subscribe = subscribe or {}
        self.publish = publish or {}
        self.handler = handler
        self.many = many
        self.times = times
        self.around = around

    @contextmanager
    def running(self) -> Iterator[Callable[[], Figures]]:
        """Give what runs one round; the worker is held while events are published."""
        usual: dict[str, Any] = {
            "workers": 1,
            "queue_size": 4096 * max(1, self.times),
            "policy": "block",
        }
        with ExitStack() as stack:
            bus = stack.enter_context(EventBus(**{**usual, **self.settings}))
            gate, entered = threading.Semaphore(0), threading.Semaphore(0)

            def hold(_: Any) -> None:
                entered.release()
                gate.acquire()

            bus.subscribe("bench.hold", hold)
            for _ in range(self.times):
                bus.subscribe("bench.event", self.handler, **self.subscribe)
            if self.around is not None:
                stack.enter_context(self.around(bus))
            events = [Event("bench.event", n) for n in range(N)]
            batches = [events[i : i + self.many] for i in range(0, N, self.many or N)]

            def run() -> Figures:
                bus.publish(Event("bench.hold"))
                entered.acquire()
                began = time.thread_time_ns()
                self._publish(bus, events, batches)
                published = time.thread_time_ns() - began
                began = time.process_time_ns()
                gate.release()
                bus.flush()
                return published / N, (time.process_time_ns() - began) / N

            yield run

    def _publish(self, bus: EventBus, events: list[Any], batches: list[list[Any]]) -> None:
        publish, options = bus.publish, self.publish
        if self.many:
            for batch in batches:
                bus.publish_many(batch)
        elif options:
            for event in events:
                publish(event, **options)
        else:
            for event in events:
                publish(event)


# ---- what does not fit into that ---------------------------------------------------------------


@contextmanager
def listening(bus: EventBus) -> Iterator[None]:
    """With a listener that drops."""
    with bus.listen("bench.event", maxsize=64, policy="drop_oldest"):
        yield


@contextmanager
def waiting(bus: EventBus) -> Iterator[None]:
    """With a thread that waits for an event that does not come."""
    thread = threading.Thread(target=bus.wait_for, args=("bench.event", _ends), daemon=True)
    thread.start()
    yield
    bus.publish(Event("bench.event", "end"))
    thread.join()


def _ends(event: Any) -> bool:
    return bool(event.data == "end")


def calls(each: Callable[[EventBus], Callable[[], object]], times: int = 2_000) -> Figures:
    """Return the CPU nanoseconds of a call, of its thread and of the whole process until idle."""
    with EventBus(workers=1, queue_size=4096, policy="block") as bus:
        call = each(bus)
        thread, process = time.thread_time_ns(), time.process_time_ns()
        for _ in range(times):
            call()
        used = time.thread_time_ns() - thread
        bus.flush()
        while bus.stats().queued or getattr(bus.stats(), "scheduled", 0):
            time.sleep(0.001)
        return used / times, (time.process_time_ns() - process - used) / times


def later(bus: EventBus) -> Callable[[], object]:
    """Publish when the timer comes to it."""
    bus.subscribe("bench.event", no_op)
    event = Event("bench.event")
    return lambda: bus.publish_after(0, event)


def later_cancelled(bus: EventBus) -> Callable[[], object]:
    """Schedule, and cancel."""
    event = Event("bench.event")
    return lambda: bus.publish_after(1000, event).cancel()


def once(bus: EventBus) -> Callable[[], object]:
    """A subscription that takes one event, and that event."""
    event = Event("bench.event")

    def call() -> None:
        bus.subscribe("bench.event", no_op, once=True)
        bus.publish(event)

    return call


def not_once(bus: EventBus) -> Callable[[], object]:
    """The same by hand."""
    event = Event("bench.event")

    def call() -> None:
        subscription = bus.subscribe("bench.event", no_op)
        bus.publish(event)
        subscription.cancel()

    return call


def cases(old: bool) -> dict[str, Case]:
    """Return what is measured: of both versions first, then what only the present one has."""
    both = {
        WARM_UP: Case(),  # the first one is the slowest, whatever it is
        "publish": Case(),
        "monitoring=False": Case({"monitoring": False}),
        "publish_many of 64": Case(many=64),
        "5 subscriptions": Case(times=5),
        "nobody": Case(times=0),
    }
    if old:
        return both
    method = Method()
    return both | {
        "on_done": Case(publish={"on_done": no_op}),
        "expires": Case(publish={"expires": 1000.0}),
        "key": Case(subscribe={"key": "data"}),
        "one key": Case(subscribe={"key": "type"}),
        "max_concurrency": Case(subscribe={"max_concurrency": 1}),
        "batch": Case(subscribe={"batch": 64}),
        "retries": Case(subscribe={"retries": 3}),
        "bound method": Case(handler=method.handle),
        "bound method, weak": Case(subscribe={"weak": True}, handler=method.handle),
        "propagate_context": Case({"propagate_context": True}),
        "reserved_workers, idle": Case({"workers": 2, "reserved_workers": 1}),
        "flight_recorder": Case({"flight_recorder": 10_000}),
        "on_unrouted, routed": Case({"on_unrouted": no_op}),
        "on_unrouted, nobody": Case({"on_unrouted": no_op}, times=0),
        "on_worker_start": Case({"on_worker_start": lambda: None, "on_worker_stop": lambda: None}),
        "listen": Case(around=listening),
        "wait_for, of another": Case(around=waiting),
    }


CALLS: dict[str, Callable[[EventBus], Callable[[], object]]] = {
    "publish_after(0)": later,
    "publish_after, cancel": later_cancelled,
    "subscribe(once=True), publish": once,
    "subscribe, publish, cancel": not_once,
}


def low(values: list[float]) -> float:
    """Return the mean of the lowest tenth: what other load on the machine has left alone."""
    best = sorted(values)[: max(1, len(values) // 10)]
    return sum(best) / len(best)


def main() -> None:
    """Measure, each case in turn, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--old", action="store_true")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    found: dict[str, list[Figures]] = {}
    gc.disable()
    with ExitStack() as stack:
        runs = {n: stack.enter_context(c.running()) for n, c in cases(options.old).items()}
        names = list(runs)
        for number in range(options.rounds):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                found.setdefault(name, []).append(runs[name]())
            gc.collect()
    del found[WARM_UP]
    for _ in range(0 if options.old else options.rounds // 4 + 1):
        for name, each in CALLS.items():
            found.setdefault(name, []).append(calls(each))
            gc.collect()
    figures = {
        name: [low(list(c)) for c in zip(*all_, strict=True)] for name, all_ in found.items()
    }
    json.dump({"from": brummerbus.__file__, "figures": figures}, sys.stdout)


if __name__ == "__main__":
    main()
