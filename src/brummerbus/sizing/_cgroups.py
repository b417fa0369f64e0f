"""The limits of the control groups (cgroup) of this process: CPU quota and memory.

Version 1, version 2 and both at once, nested. Linux only; other systems have no such files, and
so no limits.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

_T = TypeVar("_T")

# The kernel lists here the control groups of this process (`cgroup`), and where their directories
# are mounted (`mountinfo`). Tests replace it by a tree of their own.
_PROC_SELF = Path("/proc/self")

# cgroup v1 writes "no limit" as the largest long, rounded down to a page (about 2**63); no machine
# has 2**60 bytes, so any larger value means no limit.
_UNLIMITED = 2**60


def quota_cores() -> float | None:
    """Return the smallest CPU quota of this process, in cores; None: no group has one."""
    return min(_known(map(_quota, _groups("cpu"))), default=None)


def memory_left() -> int | None:
    """Return the bytes left in the tightest group; None: no group has a limit."""
    return min(_known(map(_memory_left, _groups("memory"))), default=None)


class _Mount(NamedTuple):
    """A mount point of the directories of control groups."""

    version: int
    root: str  # the group whose directory is `point`
    point: Path
    controllers: frozenset[str]  # version 1 only


class _Group(NamedTuple):
    """A control group whose limits apply to this process."""

    version: int
    directory: Path


def _groups(controller: str) -> Iterator[_Group]:
    """Yield the groups that limit this process for `"cpu"` or `"memory"`, innermost first.

    A limit on a group applies to all groups below it, hence the walk up. In version 1 each
    controller has its own tree; in version 2 all share one. A machine can have both (hybrid): then
    only one of them has the controller's files, and the other is skipped as they cannot be read.
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
    """Return the path of the group `path` relative to each mount that contains it.

    In a container both the path and the mount's root may be those of the host: the difference
    counts. If no mount contains the group (the process was moved, or entered a namespace late), the
    mount points themselves are the nearest known groups.
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
    """Undo the kernel's octal escapes for blanks and backslashes in paths."""
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
    """Return the bytes left of the group's memory limit, None if it has none."""
    if group.version == 2:
        limit, usage = "memory.max", "memory.current"
    else:
        limit, usage = "memory.limit_in_bytes", "memory.usage_in_bytes"
    maximum = _number(_read(group.directory / limit))
    if maximum is None or maximum >= _UNLIMITED:
        return None
    used = _number(_read(group.directory / usage)) or 0
    statistics = dict(
        line.split(" ", 1)
        for line in _read(group.directory / "memory.stat").splitlines()
        if " " in line
    )
    # The usage includes the groups below. In version 1 so does the `total_` figure only; in
    # version 2 the plain one, and there is no other.
    cached = statistics.get("total_inactive_file", statistics.get("inactive_file", ""))
    # The files are read one after the other, so the cache can exceed the usage.
    return max(0, maximum - max(0, used - (_number(cached) or 0)))


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
