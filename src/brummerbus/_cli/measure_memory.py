"""The memory of a bus on this machine: measured, not modelled.

`measure_memory` starts its own processes, creates buses of several sizes in them, and reads with
psutil how the processes grow; a cost is the slope between two sizes. Nothing that was measured is
freed before the process ends, so that no allocator reuses its memory.

Memory is measured in two ways. Resident is RAM: pages that were touched. Reserved is address space;
most of it is never touched, and it matters only where it is limited (`ulimit -v`, 32-bit systems).
"""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path
from statistics import median_low
from typing import Any

import psutil

from brummerbus import BackpressurePolicy, Event, EventBus
from brummerbus._arguments import check_int
from brummerbus._config import MAX_STACK, MIN_STACK
from brummerbus.sizing import QUEUE_FACTOR, available_memory, calculate_optimal_workers

FEW_WORKERS, MANY_WORKERS = 4, 64
FEW_SLOTS, MANY_SLOTS = 1_000, 100_000
BUSES = 16
ROUNDS = 3

CALL_DEPTH = 32
"""The call depth of the busy handler; half of its calls go through C."""

PROBE_TIMEOUT = 60.0
"""Max seconds of one probe; it needs less than one."""

# The probe must import the same modules as its caller, wherever those come from.
_PROBE = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from brummerbus._cli.measure_memory import probe
probe(json.loads(sys.argv[2]))
"""


@dataclass(frozen=True)
class MeasuredMemory:
    """The memory of a bus on one machine and interpreter; all figures are bytes."""

    base: int
    """Resident: a bus without workers and slots. Importing the package is not counted."""

    idle_worker: int
    """Resident: a worker that has run a shallow handler and waits for the next event."""

    busy_worker: int
    """Resident: a worker in a handler 32 calls deep, without what the handler allocates.

    The touched part of the stack stays resident, so that an idle worker costs the same afterwards.
    """

    slot: int
    """Resident: a slot of the queue with a delivery in it, without the event."""

    event: int
    """Resident: a queued event with a payload of two small fields."""

    worker_reserved: int
    """Address space of one more worker among many: its stack and its guard page."""

    first_worker_reserved: int
    """Address space of one of the first few workers.

    With glibc each of the first `8 x cores` threads reserves a heap of 64 MB besides its stack.
    Where that does not fit it uses another's, so this is the safe figure.
    """

    thread_stack_size: int | None
    """The requested stack size; None: the platform's default."""

    resident_by: str
    """The measure of resident memory: `"uss"` (unique to this process) or `"rss"`."""

    def estimate(self, workers: int, queue_size: int) -> int:
        """Return the resident memory of a bus with all workers busy and a full queue, in bytes.

        Args:
            workers: Worker threads, an int of at least 1.
            queue_size: Slots in the queue, an int of at least 1.

        Raises:
            TypeError: An argument is not an int.
            ValueError: An argument is below 1.
        """
        workers = check_int("workers", workers, 1)
        queue_size = check_int("queue_size", queue_size, 1)
        return self.base + workers * self.busy_worker + queue_size * (self.slot + self.event)

    def estimate_reserved(self, workers: int) -> int:
        """Return the maximum address space of the workers, in bytes.

        Raises:
            TypeError: `workers` is not an int.
            ValueError: `workers` is below 1.
        """
        return check_int("workers", workers, 1) * self.first_worker_reserved


def workers_within(
    available: int | None,
    measured: MeasuredMemory,
    *,
    reserved: int | None = None,
    cores: int | None = None,
    workload: str = "brummer",
) -> int:
    """Return how many workers, each with 10 slots in the queue, fit by their measured cost.

    At least 1, and at most the result of `calculate_optimal_workers`.
    `memory_constrained_workers` uses the study's 256 KB per worker instead.

    Args:
        available: Bytes of memory, an int of at least 0; `available_memory()` if None.
        measured: The result of `measure_memory`.
        reserved: Bytes of address space that are left, an int of at least 0; None: no limit.
        cores: As for `calculate_optimal_workers`.
        workload: As for `calculate_optimal_workers`.

    Raises:
        TypeError: `available`, `reserved` or `cores` is not an int, or `workload` not a string.
        ValueError: One of them is out of range, or `workload` is unknown.
    """
    if available is not None:
        available = check_int("available", available, 0)
    limit = calculate_optimal_workers(cores, workload)
    if reserved is not None:
        reserved = check_int("reserved", reserved, 0) - measured.base
        limit = min(limit, reserved // max(1, measured.first_worker_reserved))
    if available is None:
        available = available_memory()
    each = measured.busy_worker + QUEUE_FACTOR * (measured.slot + measured.event)
    return max(1, min((available - measured.base) // max(1, each), limit))


def measure_memory(*, thread_stack_size: int | None = None) -> MeasuredMemory:
    """Measure the memory of a bus here, in three new processes; takes some three seconds.

    Each figure is the median of three. The caller's own process is not changed.

    Args:
        thread_stack_size: As in `EventBusConfig`: bytes of stack of each worker, an int from
            32,768 to 2^30; None: the system's default.

    Raises:
        TypeError: `thread_stack_size` is not an int.
        ValueError: `thread_stack_size` is out of range.
        RuntimeError: A process failed; the message has its output.
    """
    if thread_stack_size is not None:
        thread_stack_size = check_int("thread_stack_size", thread_stack_size, MIN_STACK, MAX_STACK)
    rounds = [_costs(_run_probe(thread_stack_size)) for _ in range(ROUNDS)]
    return MeasuredMemory(
        **{name: median_low(costs[name] for costs in rounds) for name in rounds[0]},
        thread_stack_size=thread_stack_size,
        resident_by=_resident_by(),
    )


def _run_probe(thread_stack_size: int | None) -> dict[str, list[int]]:
    paths = [str(Path(path).absolute()) for path in sys.path]  # "" is the working directory
    command = [sys.executable, "-c", _PROBE, json.dumps(paths), json.dumps(thread_stack_size)]
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=PROBE_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(f"memory could not be measured: {error}") from error
    if result.returncode:
        raise RuntimeError(f"memory could not be measured: {result.stderr.strip()[-500:]}")
    grown: dict[str, list[int]] = json.loads(result.stdout)
    return grown


def _costs(grown: dict[str, list[int]]) -> dict[str, int]:
    """Convert the growth of each step, resident and reserved, to costs; none is below 0."""
    resident = {step: figures[0] for step, figures in grown.items()}
    reserved = {step: figures[1] for step, figures in grown.items()}
    more_workers, more_slots = MANY_WORKERS - FEW_WORKERS, MANY_SLOTS - FEW_SLOTS
    idle = (resident["many workers"] - resident["few workers"]) // more_workers
    depth = (resident["many busy"] - resident["few busy"]) // more_workers
    costs = {
        "base": resident["buses"] // BUSES - idle,
        "idle_worker": idle,
        "busy_worker": idle + depth,
        "slot": (resident["many slots"] - resident["few slots"]) // more_slots,
        "event": (resident["events"] - resident["many slots"]) // MANY_SLOTS,
        "worker_reserved": reserved["crowd"] // MANY_WORKERS,
        "first_worker_reserved": reserved["few workers"] // FEW_WORKERS,
    }
    return {name: max(0, cost) for name, cost in costs.items()}


# ---- in the process that is measured ---------------------------------------------------------


def probe(thread_stack_size: int | None) -> None:
    """Measure in this process, write the growth of each step as JSON, and end the process."""
    meter, idle = _Meter(), partial(_idle_bus, thread_stack_size)
    first = idle(1)  # the first bus of a process costs more once: do not count that
    few = meter.grown("few workers", partial(idle, FEW_WORKERS))
    many = meter.grown("many workers", partial(idle, MANY_WORKERS))
    crowd = meter.grown("crowd", partial(idle, MANY_WORKERS))
    _occupy(crowd, _deep)  # so does the first deep handler
    meter.grown("buses", lambda: [first, *(idle(1) for _ in range(BUSES))])
    meter.grown("few busy", partial(_occupy, few, _deep))
    meter.grown("many busy", partial(_occupy, many, _deep))
    one = Event("queued")
    meter.grown("few slots", partial(_full_bus, repeat(one, FEW_SLOTS), FEW_SLOTS))
    meter.grown("many slots", partial(_full_bus, repeat(one, MANY_SLOTS), MANY_SLOTS))
    events = (Event("queued", {"number": n, "line": f"line {n}"}) for n in range(MANY_SLOTS))
    meter.grown("events", partial(_full_bus, events, MANY_SLOTS))
    sys.stdout.write(json.dumps(meter.growth))
    sys.stdout.flush()
    os._exit(0)  # the handlers block for ever, and the queued events are not needed


class _Meter:
    """Reads how this process grows, and keeps the results of every step alive."""

    def __init__(self) -> None:
        self.growth: dict[str, list[int]] = {}
        self._process = psutil.Process()
        self._kept: list[object] = []
        self._read()  # the first reading allocates

    def grown(self, step: str, work: Callable[[], Any]) -> Any:
        before = self._read()
        result = work()
        after = self._read()
        self._kept.append(result)
        self.growth[step] = [new - old for new, old in zip(after, before, strict=True)]
        return result

    def _read(self) -> tuple[int, int]:
        if _resident_by() == "uss":
            full = self._process.memory_full_info()
            return full.uss, full.vms
        plain = self._process.memory_info()
        return plain.rss, plain.vms


def _resident_by() -> str:
    try:
        return "uss" if hasattr(psutil.Process().memory_full_info(), "uss") else "rss"
    except psutil.Error:
        return "rss"


def _idle_bus(thread_stack_size: int | None, workers: int) -> EventBus:
    """Return a bus whose workers have all run a handler."""
    bus = EventBus(workers=workers, queue_size=workers, thread_stack_size=thread_stack_size)
    _occupy(bus, _shallow).left.wait()
    bus.flush()
    return bus


def _full_bus(events: Iterable[Event], queue_size: int) -> EventBus:
    """Return a bus with a full queue and one worker, which is blocked."""
    bus = EventBus(workers=1, queue_size=queue_size, policy=BackpressurePolicy.REJECT)
    _occupy(bus, _shallow)
    bus.subscribe("queued", _shallow)
    bus.publish_many(events, timeout=0)
    return bus


class _Hold:
    """Blocks all workers of a bus in a handler, at its deepest call."""

    def __init__(self, workers: int) -> None:
        self.entered, self.left = threading.Barrier(workers + 1), threading.Barrier(workers + 1)

    def __call__(self) -> None:
        self.entered.wait()
        self.left.wait()


def _occupy(bus: EventBus, handler: Callable[[Event], object]) -> _Hold:
    """Bring every worker into the handler, and return when all of them are blocked there."""
    hold = _Hold(bus.workers)
    with bus.subscribe("occupy", handler):
        for _ in range(bus.workers):
            bus.publish(Event("occupy", hold))
        hold.entered.wait()
    return hold


def _shallow(event: Event) -> None:
    event.data()


def _deep(event: Event) -> None:
    _descend(CALL_DEPTH, event.data)


def _descend(depth: int, hold: _Hold) -> str:
    """Recurse, every other call through C (as through `json`, `re` or `sorted`), then block."""
    if not depth:
        hold()
        return ""
    if depth % 2:
        return re.sub("x", lambda _match: _descend(depth - 1, hold), "x")
    return _descend(depth - 1, hold)
