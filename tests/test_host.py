"""Cores and memory are those this process may use, whatever the host has."""

import os
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from brummerbus.sizing import _cgroups, _host

MB = 1024 * 1024
NO_LIMIT_V1 = 0x7FFFFFFFFFFFF000


class Tree:
    """A fake `/proc/self` with mounted control groups below it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.proc = root / "proc"
        self.proc.mkdir()
        self.groups: list[str] = []
        self.mounts: list[str] = []

    def mount(self, name: str, *, kind: str, root: str = "/", options: str = "rw") -> Path:
        """Mount a tree at `name`; `root` is the group whose directory stands there."""
        point = self.root / name
        point.mkdir(parents=True, exist_ok=True)
        escaped = str(point).replace(" ", r"\040")
        self.mounts.append(f"31 23 0:28 {root} {escaped} rw,relatime - {kind} cgroup {options}")
        (self.proc / "mountinfo").write_text("\n".join(self.mounts) + "\n")
        return point

    def join(self, line: str) -> None:
        """Put this process into a group, by a line of `/proc/self/cgroup`."""
        self.groups.append(line)
        (self.proc / "cgroup").write_text("\n".join(self.groups) + "\n")


def write(directory: Path, **files: object) -> None:
    """Write a group's files; `__` in a name stands for the dot."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name.replace("__", ".")).write_text(f"{content}\n")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """A machine of 64 cores and 8,000 MB available whose control groups the test builds."""
    made = Tree(tmp_path)
    monkeypatch.setattr(_cgroups, "_PROC_SELF", made.proc)
    monkeypatch.setattr(_host, "affinity_cores", lambda: 64)
    monkeypatch.setattr(_host, "machine_memory", lambda: 8000 * MB)
    return made


@pytest.fixture
def v2(tree: Tree) -> Path:
    """The mount point of a unified tree in which this process is in `/a/b`."""
    tree.join("0::/a/b")
    return tree.mount("cgroup", kind="cgroup2")


class TestCores:
    """`available_cores` counts what this process may keep busy."""

    def test_is_an_int_of_at_least_one_and_at_most_the_hosts_here(self) -> None:
        """On the machine that runs the tests, too."""
        cores = _host.available_cores()
        assert type(cores) is int
        assert 1 <= cores <= _host.host_cores()

    def test_without_control_groups_the_affinity_counts(self, tree: Tree) -> None:
        """As on macOS and Windows, where there are no such files."""
        assert _host.available_cores() == 64
        assert _host.quota_cores() is None

    def test_affinity_is_counted_and_not_the_host(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A process bound to three of 64 cores has three."""
        monkeypatch.setattr(os, "cpu_count", lambda: 64)
        monkeypatch.delattr(os, "process_cpu_count", raising=False)
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 5, 9}, raising=False)
        assert _host.affinity_cores() == 3

    def test_affinity_comes_from_psutil_where_os_has_none(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As on Windows."""
        monkeypatch.setattr(os, "cpu_count", lambda: 64)
        monkeypatch.delattr(os, "process_cpu_count", raising=False)
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
        monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda process: [0, 1], raising=False)
        assert _host.affinity_cores() == 2

    def test_without_any_affinity_all_cores_of_the_host_count(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As on macOS."""
        monkeypatch.setattr(os, "cpu_count", lambda: 6)
        monkeypatch.delattr(os, "process_cpu_count", raising=False)
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
        monkeypatch.delattr(psutil.Process, "cpu_affinity", raising=False)
        assert _host.affinity_cores() == 6

    def test_the_users_own_cpu_count_is_honoured(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """`python -X cpu_count=1` changes `os.process_cpu_count`."""
        monkeypatch.setattr(os, "process_cpu_count", lambda: 1, raising=False)
        assert _host.affinity_cores() == 1

    def test_an_unknown_number_of_cores_is_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """`os.cpu_count` may return None."""
        monkeypatch.setattr(os, "cpu_count", lambda: None)
        assert _host.host_cores() == 1
        assert _host.affinity_cores() == 1

    @pytest.mark.parametrize(
        ("cpu_max", "cores"),
        [
            ("400000 100000", 4),
            ("150000 100000", 1),
            ("50000 100000", 1),
            ("max 100000", 64),
            ("9900000 100000", 64),
            ("", 64),
            ("nonsense", 64),
            ("100000 0", 64),
        ],
    )
    def test_a_quota_of_version_2_counts(self, v2: Path, cpu_max: str, cores: int) -> None:
        """Rounded down, never below 1, never above the affinity; "max" is none."""
        write(v2 / "a" / "b", cpu__max=cpu_max)
        assert _host.available_cores() == cores

    def test_the_smallest_quota_on_the_way_up_counts(self, v2: Path) -> None:
        """A group's quota applies to all groups below it."""
        write(v2, cpu__max="800000 100000")
        write(v2 / "a", cpu__max="250000 100000")
        write(v2 / "a" / "b", cpu__max="max 100000")
        assert _host.quota_cores() == 2.5
        assert _host.available_cores() == 2

    def test_the_quota_of_a_neighbour_does_not_count(self, v2: Path) -> None:
        """Only the groups of this process do."""
        write(v2 / "a" / "c", cpu__max="100000 100000")
        assert _host.available_cores() == 64

    def test_a_quota_of_version_1_counts(self, tree: Tree) -> None:
        """The cpu controller has a tree of its own, shared with cpuacct."""
        tree.join("5:memory:/elsewhere")
        tree.join("4:cpu,cpuacct:/a")
        point = tree.mount("cpu,cpuacct", kind="cgroup", options="rw,cpu,cpuacct")
        write(point / "a", cpu__cfs_quota_us=350000, cpu__cfs_period_us=100000)
        assert _host.available_cores() == 3

    def test_minus_one_is_no_quota_in_version_1(self, tree: Tree) -> None:
        """And keeps those of the groups above in force."""
        tree.join("4:cpu:/a")
        point = tree.mount("cpu", kind="cgroup", options="rw,cpu")
        write(point, cpu__cfs_quota_us=500000, cpu__cfs_period_us=100000)
        write(point / "a", cpu__cfs_quota_us=-1, cpu__cfs_period_us=100000)
        assert _host.available_cores() == 5

    def test_the_path_of_another_controller_does_not_count(self, tree: Tree) -> None:
        """In version 1 a process is in one group for each controller."""
        tree.join("5:memory:/b")
        tree.join("4:cpu:/a")
        point = tree.mount("cpu", kind="cgroup", options="rw,cpu")
        write(point / "b", cpu__cfs_quota_us=100000, cpu__cfs_period_us=100000)
        assert _host.available_cores() == 64

    def test_a_hybrid_machine_is_read_in_both_versions(self, tree: Tree) -> None:
        """The unified tree of a hybrid machine has no controller files."""
        tree.join("4:cpu:/a")
        tree.join("0::/")
        tree.mount("unified", kind="cgroup2")
        point = tree.mount("cpu", kind="cgroup", options="rw,cpu")
        write(point / "a", cpu__cfs_quota_us=200000, cpu__cfs_period_us=100000)
        assert _host.available_cores() == 2

    @pytest.mark.parametrize("path", ["/docker/1f/inner", "/docker/other", "/../../x"])
    def test_a_container_finds_its_own_quota_whatever_path_it_is_told(
        self, tree: Tree, path: str
    ) -> None:
        """Paths can be the host's, while the mount shows the container's group as the root."""
        tree.join(f"0::{path}")
        point = tree.mount("cgroup", kind="cgroup2", root="/docker/1f")
        write(point, cpu__max="300000 100000")
        assert _host.available_cores() == 3

    def test_the_group_inside_a_container_is_found_below_the_mounts_root(self, tree: Tree) -> None:
        """`/docker/1f/inner` is at `inner` where `/docker/1f` is mounted."""
        tree.join("0::/docker/1f/inner")
        point = tree.mount("cgroup", kind="cgroup2", root="/docker/1f")
        write(point / "inner", cpu__max="200000 100000")
        assert _host.available_cores() == 2

    def test_a_path_out_of_the_mounted_tree_is_not_followed(self, tree: Tree) -> None:
        """It shows that a process was moved out of its namespace."""
        tree.join("0::/../x")
        tree.mount("cgroup", kind="cgroup2")
        write(tree.root / "x", cpu__max="100000 100000")
        assert _host.available_cores() == 64

    def test_a_path_with_a_blank_is_understood(self, tree: Tree) -> None:
        """The kernel writes it as an octal escape; a colon is unchanged."""
        tree.join("0::/a:b")
        point = tree.mount("control groups", kind="cgroup2")
        write(point / "a:b", cpu__max="200000 100000")
        assert _host.available_cores() == 2

    def test_broken_files_count_as_no_quota(self, tree: Tree) -> None:
        """Sizing must not be the reason for a program to fail."""
        (tree.proc / "cgroup").write_bytes(b"\xff\n\n4\n0:\n")
        (tree.proc / "mountinfo").write_bytes(b"\xff\n - \n1 2 - cgroup2 x\n")
        assert _host.available_cores() == 64


class TestMemory:
    """`available_memory` is what can still be allocated here."""

    def test_is_an_int_of_at_least_zero_here(self) -> None:
        """On the machine that runs the tests, too."""
        memory = _host.available_memory()
        assert type(memory) is int
        assert memory >= 0

    def test_without_control_groups_the_machine_counts(self, tree: Tree) -> None:
        """As on macOS and Windows."""
        assert _host.available_memory() == 8000 * MB
        assert _host.container_memory() is None

    def test_the_machines_figure_is_what_is_available_and_not_what_the_process_uses(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The study used the process's own memory."""
        state = SimpleNamespace(total=9000, available=4321, free=17, used=5)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: state)
        assert _host.machine_memory() == 4321

    @pytest.mark.parametrize(
        ("used", "cached", "left"), [(500, 0, 100), (500, 150, 250), (100, 150, 600), (601, 0, 0)]
    )
    def test_what_the_limit_of_version_2_has_left_counts(
        self, v2: Path, used: int, cached: int, left: int
    ) -> None:
        """Inactive file cache is free, active is not; neither difference goes below 0."""
        write(
            v2 / "a" / "b",
            memory__max=600 * MB,
            memory__current=used * MB,
            memory__stat=f"anon 7\nactive_file {90 * MB}\ninactive_file {cached * MB}",
        )
        assert _host.available_memory() == left * MB

    def test_max_is_no_limit(self, v2: Path) -> None:
        """The word of version 2."""
        write(v2 / "a" / "b", memory__max="max", memory__current=200 * MB)
        assert _host.container_memory() is None

    def test_the_tightest_group_on_the_way_up_counts(self, v2: Path) -> None:
        """It is the one with the least left, not the one with the lowest limit."""
        write(v2 / "a", memory__max=900 * MB, memory__current=850 * MB)
        write(v2 / "a" / "b", memory__max=600 * MB, memory__current=200 * MB)
        assert _host.available_memory() == 50 * MB

    def test_the_machine_counts_when_it_has_less_than_the_limit(self, v2: Path) -> None:
        """A generous limit on a full machine does not add memory."""
        write(v2 / "a" / "b", memory__max=20000 * MB, memory__current=0)
        assert _host.available_memory() == 8000 * MB

    def test_what_the_limit_of_version_1_has_left_counts(self, tree: Tree) -> None:
        """With the cache of the groups below, as the usage includes theirs too."""
        tree.join("4:memory:/a")
        point = tree.mount("memory", kind="cgroup", options="rw,memory")
        write(
            point / "a",
            memory__limit_in_bytes=600 * MB,
            memory__usage_in_bytes=500 * MB,
            memory__stat=f"inactive_file {1 * MB}\ntotal_inactive_file {150 * MB}",
        )
        assert _host.available_memory() == 250 * MB

    @pytest.mark.parametrize("limit", [NO_LIMIT_V1, 0x7FFFFFFFFFFF0000, 2**63 - 1])
    def test_an_absurdly_large_limit_of_version_1_is_none(self, tree: Tree, limit: int) -> None:
        """It is the largest long, rounded down to a page of any size."""
        tree.join("4:memory:/")
        point = tree.mount("memory", kind="cgroup", options="rw,memory")
        write(point, memory__limit_in_bytes=limit, memory__usage_in_bytes=1)
        assert _host.container_memory() is None


class TestEnvironment:
    """The three predicates that choose a preset."""

    @pytest.fixture(autouse=True)
    def outside_ci(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """These tests run in CI, too."""
        for name in _host.CI_VARIABLES:
            monkeypatch.delenv(name, raising=False)

    @pytest.mark.parametrize("name", ["CI", "GITHUB_ACTIONS", "GITLAB_CI"])
    @pytest.mark.parametrize("value", ["true", "1", "yes", "woodpecker"])
    def test_each_variable_that_is_set_means_ci(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str
    ) -> None:
        """Whatever it is set to."""
        monkeypatch.setenv(name, value)
        assert _host.is_ci()

    @pytest.mark.parametrize("value", ["", "0", "false", "False", " FALSE "])
    def test_a_variable_that_says_no_means_no_ci(
        self, monkeypatch: pytest.MonkeyPatch, value: str
    ) -> None:
        """Common ways to switch it off."""
        monkeypatch.setenv("CI", value)
        assert not _host.is_ci()

    def test_no_variable_means_no_ci(self) -> None:
        """On a developer's machine."""
        assert not _host.is_ci()

    @pytest.mark.parametrize(("left", "low"), [(512 * MB - 1, True), (512 * MB, False)])
    def test_low_memory_is_less_than_512_mb(
        self, monkeypatch: pytest.MonkeyPatch, *, left: int, low: bool
    ) -> None:
        """Of the available memory."""
        monkeypatch.setattr(_host, "available_memory", lambda: left)
        assert _host.is_low_memory() is low

    def test_a_nearly_full_container_is_low_memory_on_a_large_machine(self, v2: Path) -> None:
        """And so is every small process in it."""
        write(v2 / "a", memory__max=4000 * MB, memory__current=3800 * MB)
        assert _host.is_low_memory()

    @pytest.mark.parametrize(("cores", "high"), [(7, False), (8, True), (64, True)])
    def test_high_performance_is_eight_cores_or_more(
        self, monkeypatch: pytest.MonkeyPatch, *, cores: int, high: bool
    ) -> None:
        """Of those this process may use."""
        monkeypatch.setattr(_host, "available_cores", lambda: cores)
        assert _host.is_high_performance() is high

    def test_ci_is_never_high_performance(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its cores are shared with other jobs."""
        monkeypatch.setattr(_host, "available_cores", lambda: 64)
        monkeypatch.setenv("CI", "true")
        assert not _host.is_high_performance()
