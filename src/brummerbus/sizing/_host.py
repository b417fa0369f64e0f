"""What this process may use of the machine: cores, memory, and the kind of place it runs in.

The host's figures are not the answer. A container that may use 1.5 cores and 256 MB sees all 64
cores and all the memory of its host, so each figure is the smallest of what the machine has,
what the scheduler allows this process, and what is left of every control group (cgroup) around
it. Nothing is cached: affinity, quotas and free memory change while a program runs.

Control groups are Linux's; elsewhere there are none, and that step adds nothing. Job objects of
Windows are not looked at.

psutil (10 ms) and `_cgroups` with pathlib (4 ms) are imported where they are needed: a program
that sets the number of workers needs neither.
"""

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

LOW_MEMORY = 512 * 1024 * 1024  # bytes
"""Below this many available bytes a process runs in low memory."""

HIGH_PERFORMANCE_CORES = 8
"""From this many cores on, outside CI, a machine counts as high performance."""

CI_VARIABLES = ("CI", "GITHUB_ACTIONS", "GITLAB_CI")
"""Environment variables by which continuous integration makes itself known."""


def available_cores() -> int:
    """Return how many cores this process may keep busy, at least 1.

    The smallest of the CPU affinity and the CPU quotas of the container. A quota of 1.5 cores
    counts as 1: a second worker would spend half its time throttled.
    """
    cores = affinity_cores()
    quota = quota_cores()
    if quota is not None:
        cores = min(cores, int(quota))
    return max(1, cores)


def gil_enabled() -> bool:
    """Return whether this interpreter has a GIL that is on; before Python 3.13 each has."""
    ask: Callable[[], bool] | None = getattr(sys, "_is_gil_enabled", None)
    return ask is None or ask()


def compute_servers() -> int:
    """Return how many threads can run Python code at once: 1 under a GIL, else the cores."""
    return 1 if gil_enabled() else available_cores()


def turn() -> float:
    """Return the seconds that a thread keeps the GIL while others want it; 0 without a GIL."""
    return sys.getswitchinterval() if gil_enabled() else 0.0


def idle_and_total() -> tuple[float, float]:
    """Return the seconds that the machine's cores were idle, and all that passed, since its start.

    Of all cores together. `psutil.cpu_percent` would take the difference, but from the last call
    of whoever called it in this process.
    """
    import psutil  # noqa: PLC0415 - see the top

    times: Any = psutil.cpu_times()
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # counted twice
    return times.idle + getattr(times, "iowait", 0.0), sum(times) - guests


def available_memory() -> int:
    """Return how many bytes this process can still allocate without swapping, at least 0.

    The smaller of what the machine has available and what the container's limits have left.
    What the process itself uses plays no part beyond that: a small process on a full machine
    is short of memory, a large one on an empty machine is not.
    """
    machine = machine_memory()
    container = container_memory()
    return machine if container is None else min(machine, container)


def is_ci() -> bool:
    """Return whether this process runs in continuous integration.

    True if `CI`, `GITHUB_ACTIONS` or `GITLAB_CI` is set to anything but an empty string, `0` or
    `false` (in any case).
    """
    return any(_is_set(os.environ, name) for name in CI_VARIABLES)


def is_low_memory() -> bool:
    """Return whether fewer than 512 MB (512 * 1024 * 1024 bytes) are available."""
    return available_memory() < LOW_MEMORY


def is_high_performance() -> bool:
    """Return whether there are 8 cores or more, and this is not continuous integration."""
    return available_cores() >= HIGH_PERFORMANCE_CORES and not is_ci()


def host_cores() -> int:
    """Return the logical cores of the host, at least 1, whoever may use them."""
    return os.cpu_count() or 1


def affinity_cores() -> int:
    """Return how many cores the scheduler may run this process on, at least 1.

    All of the host's where a process cannot be bound to some of them (macOS).
    """
    counts = [host_cores()]
    # Looked up by name, because not every platform and version has them. `process_cpu_count`
    # (Python 3.13) honours `-X cpu_count` and PYTHON_CPU_COUNT, but not affinity on Windows.
    process_cpu_count: Callable[[], int | None] | None = getattr(os, "process_cpu_count", None)
    if process_cpu_count is not None:
        counts.append(process_cpu_count() or 1)
    sched_getaffinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    if sched_getaffinity is not None:
        counts.append(len(sched_getaffinity(0)))
    else:
        import psutil  # noqa: PLC0415 - see the top

        process = psutil.Process()
        process_affinity: Callable[[], list[int]] | None
        process_affinity = getattr(process, "cpu_affinity", None)  # Windows, FreeBSD
        if process_affinity is not None:
            counts.append(len(process_affinity()))
    return max(1, min(counts))


def quota_cores() -> float | None:
    """Return the smallest CPU quota of the control groups around this process, in cores.

    None: no group has a quota. The value is positive and need not be whole.
    """
    from brummerbus.sizing import _cgroups  # noqa: PLC0415 - see the top

    return _cgroups.quota_cores()


def machine_memory() -> int:
    """Return how many bytes the machine has available without swapping."""
    import psutil  # noqa: PLC0415 - see the top

    return int(psutil.virtual_memory().available)


def container_memory() -> int | None:
    """Return how many bytes the tightest control group around this process has left.

    None: no group has a limit. As in `docker stats`, inactive file cache does not count as
    used: the kernel gives it up before it refuses an allocation.
    """
    from brummerbus.sizing import _cgroups  # noqa: PLC0415 - see the top

    return _cgroups.memory_left()


def _is_set(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(name, "").strip().lower() not in {"", "0", "false"}
