"""The number of workers and the queue size for a machine, and their cost in memory.

The formulas are the study's, with its errors corrected: the memory-constrained one divides and
never gives 0 workers, "low memory" refers to the machine or the container and not to the process,
and cores are those that this process may use. `python -m brummerbus size` shows each number and
its derivation.
"""

from typing import NamedTuple

from brummerbus._arguments import check_int, shown
from brummerbus.sizing._host import available_cores, available_memory

WORKLOAD_FACTORS = {"brummer": 2.5, "io": 3.0, "mixed": 2.0, "cpu": 1.0}
"""Workers per core, by what the handlers do.

The study gives ranges: 2-4 for waiting work, 1.5-3 for mixed work, 1 for computing work.
- `io`: 3, the middle of its range.
- `cpu`: 1; more workers than cores would only compete for them.
- `mixed`: 2, half waiting and half computing: 0.5 x 3 + 0.5 x 1. Within its range.
- `brummer`: 2.5, the study's own figure for 70 % waiting and 30 % computing; the same sum gives
  0.7 x 3 + 0.3 x 1 = 2.4. It lies where the ranges for waiting and mixed work overlap.
"""

MIN_OPTIMAL_WORKERS = 4
"""The formula's minimum, for every workload.

A worker represents a handler that may be slow, not only a core: with fewer, two or three slow
handlers would delay everything else.
"""

MAX_OPTIMAL_WORKERS = 32
"""The formula's maximum; above it threads wait for each other rather than for work."""

QUEUE_FACTOR = 10
"""Slots in the queue per worker, unless a preset differs."""

WORKER_BUDGET = 256 * 1024  # bytes
"""Memory per worker that memory-constrained sizing plans for."""

WORKER_STACK = 24 * 1024  # bytes
"""Resident memory of an idle worker thread, rounded up.

Measured with psutil as the growth of the process's resident set over 16, 64 and 256 threads
blocked in a `threading.Lock`, divided by their number, after one thread had started and ended
(Linux 6.18 on x86-64, 4 KB pages, glibc): 15,808 to 16,512 bytes per thread on CPython 3.11 to
3.13, 20,224 to 20,816 on 3.10. The unique set gave the same figures. The 8 MB that a thread
reserves are address space, not memory; handlers that recurse deeply make more of it resident,
and the kernel keeps a stack of its own (16 KB on x86-64) that is charged to no process.
"""

WORKER_STATE = 512  # bytes
"""The study's figure for a worker's own counters and state."""

EVENT_SIZE = 1024  # bytes
"""The study's figure for an average queued event."""

CI_WORKERS = 4
CI_QUEUE_FACTOR = 5
LOW_MEMORY_WORKERS = 2
LOW_MEMORY_QUEUE_FACTOR = 5
HIGH_PERFORMANCE_FACTOR = 4
HIGH_PERFORMANCE_QUEUE_FACTOR = 20


class Preset(NamedTuple):
    """A size chosen for the environment of the program."""

    name: str
    """`"low_memory"`, `"ci"`, `"high_performance"` or `"default"`."""

    workers: int
    """Worker threads, at least 1."""

    queue_factor: int
    """Slots in the queue per worker."""

    @property
    def queue_size(self) -> int:
        """Slots in the queue."""
        return calculate_queue_size(self.workers, self.queue_factor)


def calculate_optimal_workers(cores: int | None = None, workload: str = "brummer") -> int:
    """Return the number of workers for a machine: `clamp(int(cores * factor), 4, 32)`.

    Args:
        cores: The number of cores, an int of at least 1; `available_cores()` if None.
        workload: What the handlers do. `"brummer"` (2.5 workers per core; 70 % waiting, 30 %
            computing), `"io"` (3; waiting), `"mixed"` (2; half and half) or `"cpu"` (1;
            computing). If in doubt, keep the default.

    Raises:
        TypeError: `cores` is not an int, or `workload` not a string.
        ValueError: `cores` is below 1, or `workload` is not one of the four.
    """
    if cores is not None:
        cores = check_int("cores", cores, 1)
    factor = _factor(workload)
    if cores is None:
        cores = available_cores()
    # No factor is below 1, so cores beyond the upper bound change nothing; ignoring them keeps the
    # product in the range of a float for any `cores`.
    return max(
        MIN_OPTIMAL_WORKERS, min(int(min(cores, MAX_OPTIMAL_WORKERS) * factor), MAX_OPTIMAL_WORKERS)
    )


def memory_constrained_workers(
    memory: int | None = None, cores: int | None = None, workload: str = "brummer"
) -> int:
    """Return how many workers fit in memory at 256 KB each.

    At least 1, and at most the result of `calculate_optimal_workers`.

    Args:
        memory: Bytes, an int of at least 0; `available_memory()` if None.
        cores: As for `calculate_optimal_workers`.
        workload: As for `calculate_optimal_workers`.

    Raises:
        TypeError: `memory` or `cores` is not an int, or `workload` not a string.
        ValueError: `memory` is below 0, `cores` below 1, or `workload` is unknown.
    """
    if memory is not None:
        memory = check_int("memory", memory, 0)
    optimal = calculate_optimal_workers(cores, workload)
    if memory is None:
        memory = available_memory()
    return max(1, min(memory // WORKER_BUDGET, optimal))


def calculate_queue_size(workers: int, factor: int = QUEUE_FACTOR) -> int:
    """Return the number of slots of the queue: `workers * factor`.

    Args:
        workers: Worker threads, an int of at least 1.
        factor: Slots per worker, an int of at least 1.

    Raises:
        TypeError: An argument is not an int.
        ValueError: An argument is below 1.
    """
    return check_int("workers", workers, 1) * check_int("factor", factor, 1)


def calculate_memory_usage(workers: int, queue_size: int, event_size: int = EVENT_SIZE) -> int:
    """Return the memory of a bus with idle workers and a full queue, in bytes.

    `workers * WORKER_STACK + queue_size * event_size + workers * WORKER_STATE`. Memory that
    handlers allocate while they run is not included.

    Args:
        workers: Worker threads, an int of at least 1.
        queue_size: Slots in the queue, an int of at least 1.
        event_size: Bytes of an average event with its payload, an int of at least 1.

    Raises:
        TypeError: An argument is not an int.
        ValueError: An argument is below 1.
    """
    workers = check_int("workers", workers, 1)
    queue_size = check_int("queue_size", queue_size, 1)
    event_size = check_int("event_size", event_size, 1)
    return workers * WORKER_STACK + queue_size * event_size + workers * WORKER_STATE


def choose_preset(
    cores: int, *, ci: bool = False, low_memory: bool = False, high_performance: bool = False
) -> Preset:
    """Return the size for an environment: low memory outranks CI outranks high performance.

    Args:
        cores: The number of cores, an int of at least 1.
        ci: Continuous integration: at most 4 workers, queue x 5, as other jobs share the machine.
        low_memory: At most 2 workers, queue x 5.
        high_performance: `min(cores * 4, 32)` workers, queue x 20.

    Raises:
        TypeError: `cores` is not an int.
        ValueError: `cores` is below 1.
    """
    cores = check_int("cores", cores, 1)
    workers = calculate_optimal_workers(cores)
    if low_memory:
        return Preset("low_memory", min(workers, LOW_MEMORY_WORKERS), LOW_MEMORY_QUEUE_FACTOR)
    if ci:
        return Preset("ci", min(workers, CI_WORKERS), CI_QUEUE_FACTOR)
    if high_performance:
        workers = min(cores * HIGH_PERFORMANCE_FACTOR, MAX_OPTIMAL_WORKERS)
        return Preset("high_performance", workers, HIGH_PERFORMANCE_QUEUE_FACTOR)
    return Preset("default", workers, QUEUE_FACTOR)


def _factor(workload: object) -> float:
    accepted = ", ".join(map(repr, WORKLOAD_FACTORS))
    if not isinstance(workload, str):
        raise TypeError(f"workload must be one of {accepted}, got {shown(workload)}")
    if workload not in WORKLOAD_FACTORS:
        raise ValueError(f"workload must be one of {accepted}, got {shown(workload)}")
    return WORKLOAD_FACTORS[workload]
