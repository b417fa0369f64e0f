"""What `bench.peers.faces` measures: each face, and what it replaces, doing the same."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from time import perf_counter, process_time
from typing import Any

import loguru
import waitress.server
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Sampler
from prometheus_client import CollectorRegistry, generate_latest

from bench import streams
from bench.peers import logs
from brummerbus import Event, EventBus
from brummerbus.loguru import bus_sink
from brummerbus.otel import instrument
from brummerbus.prometheus import BusCollector
from brummerbus.wsgi import BusDispatcher

N = 10_000
"""Items per round."""

REQUESTS, CONNECTIONS = 2_000, 8

SCRAPE_EVERY = 0.1
"""Seconds; a real one is scraped every 15."""

Measured = tuple[float, float]
"""Microseconds of CPU, and of time, per item."""


@contextmanager
def measured(items: int, found: list[float]) -> Iterator[None]:
    """Note the microseconds of CPU and of time per item that the block takes."""
    cpu, wall = process_time(), perf_counter()
    yield
    cpu, wall = process_time() - cpu, perf_counter() - wall
    found[:] = [cpu / items * 1e6, wall / items * 1e6]


def timing(work: Callable[[], object], items: int = N) -> Measured:
    """Run something, and return what it took per item."""
    found: list[float] = []
    with measured(items, found):
        work()
    return found[0], found[1]


def nothing(_: Any = None) -> None:
    """Do nothing."""


# ---- executor, queue -----------------------------------------------------------------------------


def executor(make: Callable[[], ThreadPoolExecutor]) -> Measured:
    """Submit calls, and wait for all."""
    with make() as pool:
        return timing(lambda: wait([pool.submit(nothing) for _ in range(N)]))


def in_one_thread(make: Callable[[], Any]) -> Measured:
    """Put and get alternately."""
    queue = make()

    def work() -> None:
        put, get = queue.put, queue.get
        for _ in range(N):
            put(None)
            get()

    return timing(work)


def between_threads(make: Callable[[], Any], many: int = 0) -> Measured:
    """One thread puts, another gets."""
    queue = make()

    def take() -> None:
        if many:
            left = N
            while left:
                left -= len(queue.get_many(many))
        else:
            for _ in range(N):
                queue.get()

    def work() -> None:
        taker = threading.Thread(target=take)
        taker.start()
        if many:
            for _ in range(N // many):
                queue.put_many([None] * many)
        else:
            for _ in range(N):
                queue.put(None)
        taker.join()

    return timing(work)


# ---- logging -------------------------------------------------------------------------------------


def logging_through(way: str) -> Measured:
    """As the table of `bench.peers.logs`, with one thread."""
    rate, cpu, *_ = logs.measure(way, 1)
    return cpu, 1e6 / rate


def loguru_through(add: Callable[[Any], Callable[[], object]]) -> Measured:
    """Log through a sink, and wait until all was handled."""
    logger = loguru.logger
    logger.remove()
    flush = add(logger)

    def work() -> None:
        for number in range(N):
            logger.info("record {}", number)  # noqa: PLE1205, not `logging`
        flush()

    try:
        return timing(work)
    finally:
        logger.remove()


def loguru_on_bus() -> Measured:
    """A `bus_sink`."""
    with EventBus(workers=1, queue_size=N, policy="block") as bus:
        bus.subscribe("log", nothing)

        def add(logger: Any) -> Callable[[], object]:
            logger.add(bus_sink(bus, event_type="log"))
            return bus.flush

        return loguru_through(add)


def loguru_enqueue() -> Measured:
    """The queue and the thread that loguru has itself."""

    def add(logger: Any) -> Callable[[], object]:
        logger.add(nothing, enqueue=True)
        complete: Callable[[], object] = logger.complete
        return complete

    return loguru_through(add)


# ---- asyncio, waitress ---------------------------------------------------------------------------


def stream(way: str) -> Measured:
    """As the table of `make bench-streams`, with one thread."""
    cpu: list[float] = []
    _, wall = timing(
        lambda: cpu.append(asyncio.run(streams.CONTESTANTS[way](N, 1)))  # type: ignore[arg-type]
    )
    return cpu[0], wall


def application(_environ: Any, start: Callable[..., object]) -> list[bytes]:
    """Answer at once."""
    start("200 OK", [("Content-Length", "2"), ("Content-Type", "text/plain")])
    return [b"ok"]


def serving(dispatcher: Callable[[ExitStack], dict[str, Any]]) -> Measured:
    """Answer requests of another process; the CPU time is that of the server."""
    with ExitStack() as stack:
        options = dispatcher(stack)
        server = waitress.server.create_server(application, host="127.0.0.1", port=0, **options)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        load = [sys.executable, "-m", "bench.peers.load", str(server.effective_port)]
        load += [str(CONNECTIONS), str(REQUESTS)]
        try:
            return timing(lambda: subprocess.run(load, check=True), REQUESTS)
        finally:
            server.task_dispatcher.shutdown()  # what still ends its work wakes the main thread
            server.trigger.pull_trigger(server.close)  # in its own thread, which waits in select
            thread.join(5)


def bus_dispatcher(workers: int, stack: ExitStack) -> dict[str, Any]:
    """Requests run on a bus."""
    bus = stack.enter_context(EventBus(workers=workers, queue_size=100, policy="reject"))
    return {"_dispatcher": BusDispatcher(bus)}


# ---- figures, spans, tests -----------------------------------------------------------------------


def publishing(around: Callable[[EventBus], Any] | None = None, times: int = 20) -> Measured:
    """Publish and handle, with or without something that reads the bus."""
    with EventBus(workers=1, queue_size=N, policy="block") as bus, ExitStack() as stack:
        bus.subscribe("bench.event", nothing)
        if around is not None:
            stack.enter_context(around(bus))
        events = [Event("bench.event", n) for n in range(N)]

        def work() -> None:
            for _ in range(times):
                for event in events:
                    bus.publish(event)
                bus.flush()

        return timing(work, times * N)


@contextmanager
def reading(read: Callable[[], object]) -> Iterator[None]:
    """Read from another thread, again and again."""
    ends = threading.Event()

    def loop() -> None:
        while not ends.wait(SCRAPE_EVERY):
            read()

    thread = threading.Thread(target=loop)
    thread.start()
    yield
    ends.set()
    thread.join()


@contextmanager
def scraped(bus: EventBus) -> Iterator[None]:
    """With a collector for Prometheus."""
    registry = CollectorRegistry()
    registry.register(BusCollector(bus))
    with reading(lambda: generate_latest(registry)):
        yield


@contextmanager
def metered(bus: EventBus) -> Iterator[None]:
    """With the metrics of OpenTelemetry."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    with reading(reader.get_metrics_data):
        instrumentation = instrument(bus, meter_provider=provider)
        yield
        instrumentation.uninstrument()
    provider.shutdown()


@contextmanager
def traced(sampler: Sampler, bus: EventBus) -> Iterator[None]:
    """With spans, of all or none of the events, that are exported nowhere."""
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    instrumentation = instrument(bus, spans=True, tracer_provider=provider)
    yield
    instrumentation.uninstrument()


def testing(make: Callable[[], EventBus]) -> Measured:
    """A bus as a test makes it: a subscription and some events; an item is such a test."""
    tests, events = 50, [Event("bench.event", n) for n in range(20)]

    def work() -> None:
        for _ in range(tests):
            with make() as bus:
                bus.subscribe("bench.event", nothing)
                for event in events:
                    bus.publish(event)
                bus.flush()

    return timing(work, tests)


def running(make: Callable[[], EventBus]) -> Measured:
    """Publish and handle many events."""
    with make() as bus:
        bus.subscribe("bench.event", nothing)
        events = [Event("bench.event", n) for n in range(N)]

        def work() -> None:
            for event in events:
                bus.publish(event)
            bus.flush()

        return timing(work)
