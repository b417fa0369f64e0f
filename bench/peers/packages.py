"""Contestants from PyPI, and the list of all. Those that are not installed are omitted."""

import importlib
import importlib.util
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.peers.contestants import (
    TYPE,
    Barest,
    Bounded,
    Bus,
    BusAsExecutor,
    BusDropping,
    BusInBatches,
    BusUnmonitored,
    Contestant,
    Executor,
    Handler,
    Pool,
    Prioritised,
    Ring,
    Simple,
    ThreadPerEvent,
)


class Pyee(Contestant):
    """An event emitter whose handlers run in an executor."""

    label = "pyee"
    share = 0.1
    module = "pyee.executor"

    def __init__(self, handler: Handler, workers: int, size: int) -> None:
        self.executor = ThreadPoolExecutor(workers)
        emitter = importlib.import_module(self.module).ExecutorEventEmitter
        self.emitter = emitter(executor=self.executor)
        self.emitter.on(TYPE, handler)
        self.publish = self.emit

    def emit(self, event: Any) -> None:
        """Emit one event."""
        self.emitter.emit(event.type, event)

    def finish(self) -> None:
        """Shut the executor down, which waits for all calls."""
        self.executor.shutdown()


class Culsans(Prioritised):
    """A priority queue for threads and tasks; threads here."""

    label = "culsans"
    share = 0.1
    module = "culsans"

    def make(self, size: int) -> Any:
        """Create the queue, and return its interface for threads."""
        return importlib.import_module(self.module).PriorityQueue(size).sync_q


class Pebble(Contestant):
    """A thread pool with futures."""

    label = "pebble"
    share = 0.05
    module = "pebble"

    def __init__(self, handler: Handler, workers: int, size: int) -> None:
        self.pool = importlib.import_module(self.module).ThreadPool(max_workers=workers)
        self.handler = handler
        self.publish = self.schedule

    def schedule(self, event: Any) -> None:
        """Schedule one call."""
        self.pool.schedule(self.handler, args=(event,))

    def finish(self) -> None:
        """Close and wait."""
        self.pool.close()
        self.pool.join()


BASELINE = Bus
ALL: dict[str, type[Contestant]] = {
    contestant.label: contestant
    for contestant in (
        Bus,
        BusInBatches,
        BusUnmonitored,
        BusDropping,
        Barest,
        Simple,
        Bounded,
        Ring,
        Prioritised,
        Executor,
        BusAsExecutor,
        Pool,
        ThreadPerEvent,
        Pyee,
        Culsans,
        Pebble,
    )
}


def available() -> tuple[list[str], list[str]]:
    """Return the labels of the available contestants, and of those not installed."""
    present, missing = [], []
    for label, contestant in ALL.items():
        package = getattr(contestant, "module", "brummerbus").partition(".")[0]
        found = importlib.util.find_spec(package) is not None
        (present if found else missing).append(label)
    return present, missing


def takes_part(label: str, kind: str) -> bool:
    """Return whether the contestant takes part in shapes of this kind."""
    kinds = ALL[label].kinds
    return not kinds or kind in kinds
