"""The study's formulas, with its errors corrected."""

import mmap
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brummerbus import sizing
from brummerbus.sizing import _formulas
from helpers.interpreter import needs_gil

KB, MB = 1024, 1024 * 1024
WORKLOADS = ["brummer", "io", "mixed", "cpu"]


def small_pages() -> bool:
    """Return whether thread stacks become resident 4 KB at a time."""
    huge = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return mmap.PAGESIZE == 4 * KB and not (huge.exists() and "[always]" in huge.read_text())


class TestWorkers:
    """`calculate_optimal_workers` is clamp(int(cores * factor), 4, 32)."""

    @pytest.mark.parametrize(
        ("cores", "workers"),
        [(1, 4), (2, 5), (3, 7), (4, 10), (8, 20), (12, 30), (13, 32), (64, 32), (10**400, 32)],
    )
    def test_brummers_factor_is_two_and_a_half(self, cores: int, workers: int) -> None:
        """Rounded down, between 4 and 32."""
        assert sizing.calculate_optimal_workers(cores) == workers

    @pytest.mark.parametrize(
        ("workload", "workers"), [("brummer", 25), ("io", 30), ("mixed", 20), ("cpu", 10)]
    )
    def test_each_workload_has_its_factor(self, workload: str, workers: int) -> None:
        """On ten cores, where no bound interferes."""
        assert sizing.calculate_optimal_workers(10, workload) == workers

    def test_the_factors_lie_in_the_studys_ranges(self) -> None:
        """2-4 for waiting work, 1.5-3 for mixed, 1 for computing."""
        assert 2 <= sizing.WORKLOAD_FACTORS["io"] <= 4
        assert 1.5 <= sizing.WORKLOAD_FACTORS["mixed"] <= 3
        assert sizing.WORKLOAD_FACTORS["cpu"] == 1
        assert sizing.WORKLOAD_FACTORS["brummer"] == 2.5

    def test_cores_default_to_those_available(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """To this process, and not to the host."""
        monkeypatch.setattr(_formulas, "available_cores", lambda: 6)
        assert sizing.calculate_optimal_workers() == 15
        assert sizing.calculate_optimal_workers(workload="io") == 18

    @settings(deadline=None)
    @given(cores=st.integers(1, 10_000), workload=st.sampled_from(WORKLOADS))
    def test_is_always_an_int_from_4_to_32(self, cores: int, workload: str) -> None:
        """Never 0 workers, whatever the workload."""
        workers = sizing.calculate_optimal_workers(cores, workload)
        assert type(workers) is int
        assert 4 <= workers <= 32

    @settings(deadline=None)
    @given(cores=st.integers(1, 10_000), workload=st.sampled_from(WORKLOADS))
    def test_more_cores_never_give_fewer_workers(self, cores: int, workload: str) -> None:
        """The formula is monotonic."""
        fewer = sizing.calculate_optimal_workers(cores, workload)
        assert fewer <= sizing.calculate_optimal_workers(cores + 1, workload)


class TestMemoryConstrained:
    """`memory_constrained_workers` gives each worker 256 KB."""

    def test_memory_is_divided_and_not_multiplied(self) -> None:
        """1,300 KB hold five workers of 256 KB."""
        assert sizing.memory_constrained_workers(1300 * KB, cores=8) == 5

    @pytest.mark.parametrize("memory", [0, 1, 256 * KB - 1, 256 * KB])
    def test_there_is_never_less_than_one_worker(self, memory: int) -> None:
        """The study's formula could give 0."""
        assert sizing.memory_constrained_workers(memory, cores=8) == 1

    def test_never_gives_more_than_the_formula(self) -> None:
        """However much memory there is."""
        assert sizing.memory_constrained_workers(2**60, cores=8) == 20
        assert sizing.memory_constrained_workers(2**60, cores=8, workload="cpu") == 8

    def test_memory_and_cores_default_to_those_available(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """To this process."""
        monkeypatch.setattr(_formulas, "available_memory", lambda: 3 * 256 * KB)
        monkeypatch.setattr(_formulas, "available_cores", lambda: 2)
        assert sizing.memory_constrained_workers() == 3
        assert sizing.memory_constrained_workers(2**40) == 5

    @settings(deadline=None)
    @given(
        memory=st.integers(0, 99 * MB),
        cores=st.integers(1, 99),
        workload=st.sampled_from(WORKLOADS),
    )
    def test_fits_in_memory_from_one_worker_on(
        self, memory: int, cores: int, workload: str
    ) -> None:
        """At 256 KB each, except for the one that is the minimum."""
        workers = sizing.memory_constrained_workers(memory, cores, workload)
        assert 1 <= workers <= sizing.calculate_optimal_workers(cores, workload)
        assert workers == 1 or workers * 256 * KB <= memory


class TestQueueAndMemory:
    """Queue and memory follow from the workers."""

    def test_the_queue_has_ten_places_for_each_worker(self) -> None:
        """Unless a preset differs."""
        assert sizing.calculate_queue_size(8) == 80
        assert sizing.calculate_queue_size(8, 20) == 160

    def test_memory_is_stacks_and_events_and_state(self) -> None:
        """An event takes 1,024 bytes on average, a worker's state 512."""
        stacks_and_state = 4 * (sizing.WORKER_STACK + 512)
        assert sizing.calculate_memory_usage(4, 40) == stacks_and_state + 40 * 1024
        assert sizing.calculate_memory_usage(4, 40, 100) == stacks_and_state + 40 * 100

    def test_a_workers_stack_is_not_a_goroutines(self) -> None:
        """8 KB is the cost of a goroutine; a thread's is measured."""
        assert sizing.WORKER_STACK > 8 * KB

    @needs_gil
    @pytest.mark.skipif(
        not Path("/proc/self").exists() or not small_pages(),
        reason="measured on Linux with pages of 4 KB; larger ones make more of a stack resident",
    )
    def test_the_stack_figure_is_that_of_an_idle_thread(self) -> None:
        """Measured again: not above the constant, and not far below it."""
        measured = float(
            subprocess.run(
                [sys.executable, "-c", MEASURE], check=True, capture_output=True, text=True
            ).stdout
        )
        assert sizing.WORKER_STACK / 3 < measured <= sizing.WORKER_STACK


# Prints the resident bytes of a blocked thread. In a separate process, so that the memory of
# other tests is neither counted nor reused. The first thread pays one-time costs.
MEASURE = """
import gc, psutil, threading

def block(count):
    gate, up = threading.Lock(), threading.Barrier(count + 1)
    gate.acquire()

    def idle():
        up.wait()
        with gate:
            pass

    threads = [threading.Thread(target=idle) for _ in range(count)]
    for thread in threads:
        thread.start()
    up.wait()
    return gate, threads

def resident():
    gc.collect()
    return psutil.Process().memory_info().rss

def release(gate, threads):
    gate.release()
    for thread in threads:
        thread.join()

release(*block(1))
resident()
before = resident()
blocked = block(64)
print((resident() - before) / 64)
release(*blocked)
"""


class TestPreset:
    """`choose_preset` sizes for an environment."""

    @pytest.mark.parametrize("cores", [1, 2, 8, 64])
    def test_ci_gets_at_most_four_workers_and_five_places_each(self, cores: int) -> None:
        """Other jobs share the machine."""
        assert sizing.choose_preset(cores, ci=True) == ("ci", 4, 5)
        assert sizing.choose_preset(cores, ci=True).queue_size == 20

    @pytest.mark.parametrize("cores", [1, 2, 8, 64])
    def test_low_memory_gets_at_most_two_workers_and_five_places_each(self, cores: int) -> None:
        """However many cores there are."""
        assert sizing.choose_preset(cores, low_memory=True) == ("low_memory", 2, 5)
        assert sizing.choose_preset(cores, low_memory=True).queue_size == 10

    @pytest.mark.parametrize(("cores", "workers"), [(8, 32), (64, 32), (7, 28)])
    def test_high_performance_gets_four_workers_a_core_and_twenty_places_each(
        self, cores: int, workers: int
    ) -> None:
        """At most 32 workers."""
        preset = sizing.choose_preset(cores, high_performance=True)
        assert preset == ("high_performance", workers, 20)
        assert preset.queue_size == workers * 20

    def test_elsewhere_the_formula_counts(self) -> None:
        """Ten slots each."""
        assert sizing.choose_preset(4) == ("default", 10, 10)

    def test_low_memory_outranks_ci_outranks_high_performance(self) -> None:
        """The scarcer resource decides."""
        everything = {"ci": True, "low_memory": True, "high_performance": True}
        assert sizing.choose_preset(16, **everything).name == "low_memory"
        assert sizing.choose_preset(16, **everything | {"low_memory": False}).name == "ci"


CALLS: list[tuple[str, Callable[[Any], object], str]] = [
    ("cores", sizing.calculate_optimal_workers, "at least 1"),
    ("cores", lambda value: sizing.memory_constrained_workers(2**30, value), "at least 1"),
    ("memory", sizing.memory_constrained_workers, "at least 0"),
    ("workers", sizing.calculate_queue_size, "at least 1"),
    ("factor", lambda value: sizing.calculate_queue_size(1, value), "at least 1"),
    ("workers", lambda value: sizing.calculate_memory_usage(value, 1), "at least 1"),
    ("queue_size", lambda value: sizing.calculate_memory_usage(1, value), "at least 1"),
    ("event_size", lambda value: sizing.calculate_memory_usage(1, 1, value), "at least 1"),
    ("cores", sizing.choose_preset, "at least 1"),
]


class TestArguments:
    """A wrong argument is named, with the value and the range."""

    @pytest.mark.parametrize(("name", "call", "accepted"), CALLS)
    @pytest.mark.parametrize("value", [True, False, 2.0, "2", b"2", [], float("nan")])
    def test_a_wrong_type_is_a_type_error(
        self, name: str, call: Callable[[Any], object], accepted: str, value: object
    ) -> None:
        """A bool is not an int here, and neither is a float."""
        with pytest.raises(TypeError) as caught:
            call(value)
        assert str(caught.value) == f"{name} must be an int of {accepted}, got {value!r}"

    @pytest.mark.parametrize(("name", "call", "accepted"), CALLS)
    @pytest.mark.parametrize("value", [-1, -(2**63)])
    def test_a_value_out_of_range_is_a_value_error(
        self, name: str, call: Callable[[Any], object], accepted: str, value: int
    ) -> None:
        """Below the minimum."""
        with pytest.raises(ValueError, match=f"^{name} must be an int of {accepted}, got {value}"):
            call(value)

    @pytest.mark.parametrize(("name", "call", "accepted"), CALLS)
    def test_an_int_too_long_to_print_is_still_named(
        self, name: str, call: Callable[[Any], object], accepted: str
    ) -> None:
        """`repr` refuses it on new versions, and would fill the screen on old ones."""
        with pytest.raises(ValueError, match=f"^{name} must be an int") as caught:
            call(-(10**9999))
        assert len(str(caught.value)) < 200

    def test_zero_cores_are_refused(self) -> None:
        """And not turned into four workers."""
        with pytest.raises(ValueError, match="cores must be an int of at least 1, got 0"):
            sizing.calculate_optimal_workers(0)

    @pytest.mark.parametrize(
        "call",
        [
            lambda value: sizing.calculate_optimal_workers(1, value),
            lambda value: sizing.memory_constrained_workers(1, 1, value),
        ],
    )
    @pytest.mark.parametrize(
        ("value", "error"),
        [("", ValueError), ("gpu", ValueError), (None, TypeError), ([], TypeError)],
    )
    def test_an_unknown_workload_is_refused_with_the_known_ones(
        self, call: Callable[[Any], int], value: object, error: type[Exception]
    ) -> None:
        """By both functions that take one."""
        with pytest.raises(error) as caught:
            call(value)
        accepted = "'brummer', 'io', 'mixed', 'cpu'"
        assert str(caught.value) == f"workload must be one of {accepted}, got {value!r}"

    def test_arguments_are_checked_before_the_machine_is_asked(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A wrong argument is rejected before anything else happens."""

        def never() -> int:
            raise AssertionError("asked")

        monkeypatch.setattr(_formulas, "available_cores", never)
        monkeypatch.setattr(_formulas, "available_memory", never)
        with pytest.raises(ValueError, match="workload"):
            sizing.calculate_optimal_workers(workload="gpu")
        with pytest.raises(ValueError, match="workload"):
            sizing.memory_constrained_workers(workload="gpu")
        with pytest.raises(ValueError, match="memory"):
            sizing.memory_constrained_workers(-1)


def test_the_public_module_has_all_names_of_the_contract() -> None:
    """Programs are written against them."""
    names = {
        "available_cores",
        "available_memory",
        "calculate_memory_usage",
        "calculate_optimal_workers",
        "is_ci",
        "is_high_performance",
        "is_low_memory",
        "memory_constrained_workers",
    }
    assert names <= set(sizing.__all__)
    assert all(getattr(sizing, name).__doc__ for name in sizing.__all__ if name[0].islower())
