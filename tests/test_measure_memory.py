"""The memory of a bus is measured in separate processes, and used for sizing."""

import gc
import json
import mmap
import sys
import threading
import weakref
from dataclasses import asdict, replace
from typing import Any

import pytest

from brummerbus._cli import measure_memory as memory_module
from brummerbus._cli.measure_memory import MeasuredMemory, measure_memory, workers_within
from brummerbus.sizing import calculate_optimal_workers
from helpers.processes import run_python

KB, MB = 1024, 1024 * 1024
STACK = MB

COSTS = MeasuredMemory(
    base=1000,
    idle_worker=20,
    busy_worker=100,
    slot=3,
    event=7,
    worker_reserved=400,
    first_worker_reserved=500,
    thread_stack_size=None,
    resident_by="uss",
)
"""Round numbers: a worker with its 10 slots costs 200."""


@pytest.fixture(scope="module")
def measured() -> MeasuredMemory:
    """The figures of this machine, measured once."""
    return measure_memory(thread_stack_size=STACK)


@pytest.mark.slow
def test_every_cost_is_of_a_plausible_size(measured: MeasuredMemory) -> None:
    """None is 0, as it would be if memory was reused; all are plausible."""
    assert KB <= measured.idle_worker <= MB
    assert measured.idle_worker <= measured.busy_worker <= MB
    assert 32 <= measured.slot <= 512
    assert 64 <= measured.event <= 2 * KB
    assert KB <= measured.base <= 4 * MB
    assert measured.thread_stack_size == STACK
    assert measured.resident_by in {"uss", "rss"}


@pytest.mark.slow
def test_deep_calls_make_more_of_a_stack_resident(measured: MeasuredMemory) -> None:
    """32 calls, 16 of them through C, need at least a page more than a shallow handler."""
    assert measured.busy_worker >= measured.idle_worker + 4 * KB


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not count reserved stacks")
@pytest.mark.slow
def test_a_larger_stack_reserves_more_and_keeps_no_more_resident(measured: MeasuredMemory) -> None:
    """16 MB instead of 1 MB: 15 MB more address space per worker, and not 1 MB more memory."""
    larger = memory_module._costs(memory_module._run_probe(16 * STACK))
    more = larger["worker_reserved"] - measured.worker_reserved
    assert 14 * STACK <= more <= 16 * STACK
    assert measured.first_worker_reserved >= measured.worker_reserved // 2 >= STACK // 2
    assert larger["busy_worker"] <= 2 * measured.busy_worker


@pytest.mark.slow
def test_the_estimate_is_what_a_bus_really_takes(measured: MeasuredMemory) -> None:
    """32 workers blocked in a handler and 20,000 queued events, in a separate process."""
    ended = run_python("""
        import psutil
        process, gate = psutil.Process(), Gate()
        before = process.memory_info().rss
        bus = bus_of(workers=32, queue_size=20_000, thread_stack_size=1 << 20)
        bus.subscribe("gate", gate)
        bus.subscribe("queued", gate)
        for _ in range(32):
            assert bus.publish(Event("gate"))
            assert gate.entered.acquire(timeout=30)
        events = (Event("queued", {"number": n, "line": f"line {n}"}) for n in range(20_000))
        assert bus.publish_many(events) == 20_000
        say(process.memory_info().rss - before)
        os._exit(0)
    """)
    assert ended.code == 0, ended.err
    really, estimate = int(ended.lines[0]), measured.estimate(32, 20_000)
    assert really / 2 <= estimate <= 2 * really


@pytest.mark.slow
def test_measuring_leaves_the_caller_as_it_was(measured: MeasuredMemory) -> None:
    """Its stack size is still the default; that no thread is left is checked after each test."""
    before = threading.stack_size()
    memory_module._run_probe(STACK)
    assert threading.stack_size() == before


def test_the_estimate_adds_base_busy_workers_and_a_full_queue() -> None:
    """1,000 + 2 x 100 + 5 x (3 + 7), and 2 x 500 of address space."""
    assert COSTS.estimate(2, 5) == 1250
    assert COSTS.estimate_reserved(2) == 1000


@pytest.mark.parametrize(
    ("available", "workers"),
    [(0, 1), (1000, 1), (1399, 1), (1400, 2), (1999, 4), (2000, 5), (10**12, 10)],
)
def test_as_many_workers_as_fit_in_memory(available: int, workers: int) -> None:
    """At least 1, and no more than the formula gives for 4 cores, which is 10."""
    assert workers_within(available, COSTS, cores=4) == workers


@pytest.mark.parametrize(
    ("reserved", "workers"), [(0, 1), (1999, 1), (2000, 2), (2500, 3), (10**12, 10)]
)
def test_as_many_workers_as_fit_in_address_space(reserved: int, workers: int) -> None:
    """500 for each, in addition to the bus itself."""
    assert workers_within(10**12, COSTS, reserved=reserved, cores=4) == workers


def test_memory_is_looked_up_when_it_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Available memory and cores are those of the machine."""
    monkeypatch.setattr(memory_module, "available_memory", lambda: 1600)
    assert workers_within(None, COSTS, cores=4) == 3
    free = replace(COSTS, busy_worker=0, slot=0, event=0, first_worker_reserved=0)
    assert workers_within(10**12, free, reserved=10**12) == calculate_optimal_workers()


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: COSTS.estimate(0, 1), ValueError),
        (lambda: COSTS.estimate(1, 1.5), TypeError),
        (lambda: COSTS.estimate_reserved("1"), TypeError),
        (lambda: workers_within(-1, COSTS), ValueError),
        (lambda: workers_within(1, COSTS, reserved=-1), ValueError),
        (lambda: workers_within(1, COSTS, workload="unknown"), ValueError),
        (lambda: measure_memory(thread_stack_size=32_767), ValueError),
        (lambda: measure_memory(thread_stack_size=1 << 31), ValueError),
        (lambda: measure_memory(thread_stack_size=1.0), TypeError),
    ],
)
def test_wrong_arguments_are_refused(call: Any, error: type[Exception]) -> None:
    """Before anything is measured, and by name."""
    with pytest.raises(error, match=r"workers|queue_size|available|reserved|workload|stack_size"):
        call()


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("executable", "/no/such/python", "No such file|cannot find"),
        ("path", ["/no/such/place"], "ModuleNotFoundError"),
    ],
)
def test_a_probe_that_fails_says_why(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: Any, message: str
) -> None:
    """It runs the caller's interpreter with the caller's modules, and its error is passed on."""
    monkeypatch.setattr(sys, setting, value)
    with pytest.raises(RuntimeError, match=message):
        measure_memory()


def touched(size: int) -> mmap.mmap:
    """Return memory of which each page is used."""
    memory_map = mmap.mmap(-1, size)
    for offset in range(0, size, mmap.PAGESIZE):
        memory_map[offset] = 1
    return memory_map


def test_without_the_unique_set_size_the_resident_set_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on systems where psutil has no better figure, or lacks permission."""

    def refused(_process: Any) -> Any:
        raise memory_module.psutil.AccessDenied

    monkeypatch.setattr(memory_module.psutil.Process, "memory_full_info", refused)
    assert memory_module._resident_by() == "rss"
    meter = memory_module._Meter()
    # Of the system, not of an allocator, which may have kept any amount from other tests.
    meter.grown("much", lambda: touched(64 * MB))
    assert 32 * MB <= meter.growth["much"][0] <= 128 * MB


@pytest.mark.slow
def test_the_figures_can_be_written_as_json(measured: MeasuredMemory) -> None:
    """For programs, and for reports."""
    assert MeasuredMemory(**json.loads(json.dumps(asdict(measured)))) == measured


def test_what_was_measured_is_kept() -> None:
    """So that no allocator reuses it in the next step."""
    meter = memory_module._Meter()
    first = meter.grown("first", lambda: type("Thing", (), {})())
    gone: list[object] = []
    weakref.finalize(first, gone.append, "first")
    del first
    meter.grown("second", gc.collect)
    assert gone == []
