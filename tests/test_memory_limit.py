"""Constrained sizing under a real limit: a process with little address space.

The limit is `RLIMIT_AS`, set in a separate process. It limits what is reserved, mainly stacks; a
limit on resident memory (a control group) would need permissions that a test does not have.
"""

import json
import sys
from dataclasses import asdict

import pytest

from brummerbus._cli.measure_memory import MeasuredMemory, measure_memory
from helpers.processes import Ended, run_python

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux", reason="only Linux refuses address space beyond RLIMIT_AS"
    ),
]

STACK = 32 * 1024 * 1024
"""Large, so that a thread's stack fails for lack of space and not some small allocation."""

PREPARE = """
import json, resource
import psutil
from brummerbus._cli.measure_memory import MeasuredMemory, workers_within

STACK, FITTING, TOO_MANY = 32 * 2**20, 12, 256
measured = MeasuredMemory(**json.loads({figures!r}))
room = measured.base + FITTING * measured.first_worker_reserved
used = psutil.Process().memory_info().vms
resource.setrlimit(resource.RLIMIT_AS, (used + room, used + room))
workers = workers_within(None, measured, reserved=room, cores=64)

def use(workers, stack=STACK):
    bus, gate = bus_of(workers=workers, queue_size=workers, thread_stack_size=stack), Gate()
    bus.subscribe("gate", gate)
    for _ in range(workers):
        assert bus.publish(Event("gate"))
    for _ in range(workers):
        assert gate.entered.acquire(timeout=30)
    gate.opened.set()
    assert bus.stop()
    assert bus.stats().processed == workers
    return workers

def fail(workers, stack=STACK):
    try:
        bus_of(workers=workers, thread_stack_size=stack)
    except RuntimeError as error:
        return error
    raise AssertionError("there is no limit")
"""


@pytest.fixture(scope="module")
def measured() -> MeasuredMemory:
    """The memory of a worker with a large stack here."""
    return measure_memory(thread_stack_size=STACK)


def run_limited(measured: MeasuredMemory, code: str) -> Ended:
    """Run a program that may reserve what 12 workers need, and no more."""
    return run_python(PREPARE.format(figures=json.dumps(asdict(measured))) + code)


def test_the_recommended_number_of_workers_starts_works_and_stops(
    measured: MeasuredMemory,
) -> None:
    """All of them are in a handler concurrently."""
    ended = run_limited(measured, "say(workers, use(workers))")
    assert (ended.code, ended.lines, ended.err) == (0, ["12 12"], "")


def test_far_more_workers_are_refused_and_leave_no_thread(measured: MeasuredMemory) -> None:
    """The error says what is missing, and a bus that fits can be created afterwards."""
    code = """
say(fail(TOO_MANY))
say(threading.enumerate() == [threading.main_thread()])
say(use(workers))
"""
    ended = run_limited(measured, code)
    assert (ended.code, ended.err) == (0, "")
    assert ended.lines == ["can't start new thread", "True", "12"]


def test_a_smaller_stack_lets_far_more_workers_in(measured: MeasuredMemory) -> None:
    """`thread_stack_size` is for this: the same limit, the same number, 256 KB instead of 32 MB."""
    ended = run_limited(measured, "say(fail(TOO_MANY), use(TOO_MANY, 256 * 1024))")
    assert (ended.code, ended.err) == (0, "")
    assert ended.lines == ["can't start new thread 256"]
