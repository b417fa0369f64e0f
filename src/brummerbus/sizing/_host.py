"""What this process may use of the machine (cores, memory), and its environment.

The host's figures are not the answer. A container that may use 1.5 cores and 256 MB sees all 64
cores and all the memory of its host, so each figure is the minimum of what the machine has, what
the scheduler allows this process, and what is left of every control group (cgroup) it is in.
Nothing is cached: affinity, quotas and free memory change while a program runs.

Control groups exist on Linux only. Job objects on Windows are not considered.

psutil (10 ms) and `_cgroups` with pathlib (4 ms) are imported where they are needed: a program
that sets the number of workers needs neither.
"""

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

LOW_MEMORY = 512 * 1024 * 1024  # bytes
"""A process with less available memory than this runs in low memory."""

HIGH_PERFORMANCE_CORES = 8
"""A machine with at least this many cores, outside CI, counts as high performance."""

CI_VARIABLES = ("CI", "GITHUB_ACTIONS", "GITLAB_CI")
"""Environment variables set by CI systems."""


def available_cores() -> int:
    """Return the number of cores that this process may keep busy, at least 1.

    The minimum of the CPU affinity and the CPU quotas of the container. A quota of 1.5 cores
    counts as 1: a second worker would be throttled half of the time.
    """
    cores = affinity_cores()
    quota = quota_cores()
    if quota is not None:
        cores = min(cores, int(quota))
    return max(1, cores)


def gil_enabled() -> bool:
    """Return whether the GIL is enabled; before Python 3.13 it always is."""
    ask: Callable[[], bool] | None = getattr(sys, "_is_gil_enabled", None)
    return ask is None or ask()


def compute_servers() -> int:
    """Return how many threads can run Python code concurrently: 1 under a GIL, else the cores."""
    return 1 if gil_enabled() else available_cores()


def turn() -> float:
    """Return the GIL's switch interval in seconds; 0 without a GIL."""
    return sys.getswitchinterval() if gil_enabled() else 0.0


def idle_and_total() -> tuple[float, float]:
    """Return the idle seconds and all seconds of the machine's cores since its start, summed up.

    `psutil.cpu_percent` computes the difference, but since the last call of any code in this
    process.
    """
    import psutil  # noqa: PLC0415 - see the top

    times: Any = psutil.cpu_times()
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # counted twice
    return times.idle + getattr(times, "iowait", 0.0), sum(times) - guests


def available_memory() -> int:
    """Return the number of bytes that this process can allocate without swapping, at least 0.

    The minimum of the machine's available memory and what the container's limits have left. The
    size of the process does not matter: a small process on a full machine is short of memory, a
    large one on an empty machine is not.
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
    """Return the number of logical cores of the host, at least 1."""
    return os.cpu_count() or 1


def affinity_cores() -> int:
    """Return the number of cores that the scheduler may run this process on, at least 1.

    All cores of the host where a process cannot be bound to some of them (macOS).
    """
    counts = [host_cores()]
    # Looked up by name, as not every platform and version has them. `process_cpu_count` (Python
    # 3.13) honours `-X cpu_count` and PYTHON_CPU_COUNT, but not affinity on Windows.
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
    """Return the smallest CPU quota of the control groups of this process, in cores.

    None: no group has a quota. The value is positive and need not be whole.
    """
    from brummerbus.sizing import _cgroups  # noqa: PLC0415 - see the top

    return _cgroups.quota_cores()


def machine_memory() -> int:
    """Return the number of bytes that the machine has available without swapping."""
    import psutil  # noqa: PLC0415 - see the top

    return int(psutil.virtual_memory().available)


def container_memory() -> int | None:
    """Return the number of bytes left in the tightest control group of this process.

    None: no group has a limit. As in `docker stats`, inactive file cache does not count as
    used: the kernel reclaims it before it refuses an allocation.
    """
    from brummerbus.sizing import _cgroups  # noqa: PLC0415 - see the top

    return _cgroups.memory_left()


def _is_set(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(name, "").strip().lower() not in {"", "0", "false"}
