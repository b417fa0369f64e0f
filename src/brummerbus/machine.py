"""What this process may use of the machine: cores, memory, and the kind of place it runs in.

The host's figures are not the answer. A container that may use 1.5 cores and 256 MB sees all 64
cores and all the memory of its host, so each figure is the smallest of what the machine has,
what the scheduler allows this process, and what is left of every control group (cgroup) around
it. Nothing is cached: affinity, quotas and free memory change while a program runs.

Control groups are Linux's; elsewhere there are none, and that step adds nothing. Job objects of
Windows are not looked at.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar

import psutil

_T = TypeVar("_T")

LOW_MEMORY = 512 * 1024 * 1024  # bytes
"""Below this many available bytes a process runs in low memory."""

HIGH_PERFORMANCE_CORES = 8
"""From this many cores on, outside CI, a machine counts as high performance."""

CI_VARIABLES = ("CI", "GITHUB_ACTIONS", "GITLAB_CI")
"""Environment variables by which continuous integration makes itself known."""

# Where the kernel says which control groups this process is in (`cgroup`), and where their
# directories are mounted (`mountinfo`). Tests put a tree of their own here.
_PROC_SELF = Path("/proc/self")

# cgroup v1 writes "no limit" as the largest long, rounded down to a page (about 2**63); no
# machine has 2**60 bytes, so anything from there on is no limit.
_UNLIMITED = 2**60


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
    process_affinity: Callable[[psutil.Process], list[int]] | None
    process_affinity = getattr(psutil.Process, "cpu_affinity", None)  # Windows, FreeBSD
    if sched_getaffinity is not None:
        counts.append(len(sched_getaffinity(0)))
    elif process_affinity is not None:
        counts.append(len(process_affinity(psutil.Process())))
    return max(1, min(counts))


def quota_cores() -> float | None:
    """Return the smallest CPU quota of the control groups around this process, in cores.

    None: no group has a quota. The value is positive and need not be whole.
    """
    return min(_known(map(_quota, _groups("cpu"))), default=None)


def machine_memory() -> int:
    """Return how many bytes the machine has available without swapping."""
    return int(psutil.virtual_memory().available)


def container_memory() -> int | None:
    """Return how many bytes the tightest control group around this process has left.

    None: no group has a limit. As in `docker stats`, inactive file cache does not count as
    used: the kernel gives it up before it refuses an allocation.
    """
    return min(_known(map(_memory_left, _groups("memory"))), default=None)


def _is_set(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(name, "").strip().lower() not in {"", "0", "false"}


class _Mount(NamedTuple):
    """A place where directories of control groups can be seen."""

    version: int
    root: str  # the group whose directory stands at `point`
    point: Path
    controllers: frozenset[str]  # version 1 only


class _Group(NamedTuple):
    """A control group that binds this process."""

    version: int
    directory: Path


def _groups(controller: str) -> Iterator[_Group]:
    """Yield the groups that limit this process for `"cpu"` or `"memory"`, innermost first.

    A limit on any group binds all groups below it, hence the walk up. In version 1 each
    controller has a tree of its own; in version 2 there is one for all. A machine can have both
    (hybrid): then only one of them has the controller's files, and the other is skipped when
    they cannot be read.
    """
    mounts = list(_mounts())
    for line in _read(_PROC_SELF / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if not colon:
            continue
        version = 1 if controllers else 2
        if version == 1 and controller not in controllers.split(","):
            continue
        here = [
            mount
            for mount in mounts
            if mount.version == version and (version == 2 or controller in mount.controllers)
        ]
        for mount, inside in _places(here, path):
            directory = mount.point / inside
            yield _Group(version, directory)
            while directory != mount.point:
                directory = directory.parent
                yield _Group(version, directory)


def _places(mounts: list[_Mount], path: str) -> list[tuple[_Mount, PurePosixPath]]:
    """Say where the group `path` is below the mounts that show it.

    In a container the path may be that of the host, and so is the mount's root: what counts is
    the difference. If no mount shows the group (the process was moved, or entered a namespace
    late), the mount points themselves are the nearest groups known.
    """
    found = []
    for mount in mounts:
        try:
            inside = PurePosixPath(path).relative_to(mount.root)
        except ValueError:
            continue
        if ".." not in inside.parts:
            found.append((mount, inside))
    return found or [(mount, PurePosixPath()) for mount in mounts]


def _mounts() -> Iterator[_Mount]:
    """Yield the mounted cgroup trees; a line reads `id parent dev root point … - type … opts`."""
    for line in _read(_PROC_SELF / "mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        place, kind = left.split(" "), right.split(" ")
        if len(place) < 5 or len(kind) < 3 or kind[0] not in {"cgroup", "cgroup2"}:
            continue
        yield _Mount(
            version=2 if kind[0] == "cgroup2" else 1,
            root=_unescaped(place[3]),
            point=Path(_unescaped(place[4])),
            controllers=frozenset(kind[2].split(",")),
        )


def _unescaped(text: str) -> str:
    """Undo the octal escapes with which the kernel writes blanks and backslashes in paths."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _quota(group: _Group) -> float | None:
    """Return the group's CPU quota in cores, None if it has none."""
    if group.version == 2:
        quota, _, period = _read(group.directory / "cpu.max").partition(" ")
    else:
        quota = _read(group.directory / "cpu.cfs_quota_us")
        period = _read(group.directory / "cpu.cfs_period_us")
    share, whole = _number(quota), _number(period)
    # Version 1 writes "no quota" as -1, version 2 as "max", which is not a number.
    return share / whole if share and whole and share > 0 and whole > 0 else None


def _memory_left(group: _Group) -> int | None:
    """Return how many bytes are left of the group's memory limit, None if it has none."""
    if group.version == 2:
        limit, usage = "memory.max", "memory.current"
    else:
        limit, usage = "memory.limit_in_bytes", "memory.usage_in_bytes"
    most = _number(_read(group.directory / limit))
    if most is None or most >= _UNLIMITED:
        return None
    used = _number(_read(group.directory / usage)) or 0
    statistics = dict(
        line.split(" ", 1)
        for line in _read(group.directory / "memory.stat").splitlines()
        if " " in line
    )
    # The usage counts the groups below in. In version 1 only the `total_` figure does so too;
    # in version 2 the plain one does, and there is no other.
    cached = statistics.get("total_inactive_file", statistics.get("inactive_file", ""))
    # The files are read one after the other, so the cache can exceed the usage for a moment.
    return max(0, most - max(0, used - (_number(cached) or 0)))


def _known(values: Iterable[_T | None]) -> Iterator[_T]:
    return (value for value in values if value is not None)


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _read(path: Path) -> str:
    """Return a file's text, empty if there is no such file or it may not be read."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
