"""dask's scheduler of threads and a distributed Worker run their tasks on a `BusExecutor`."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from brummerbus.executor import BusExecutor

pytest.importorskip("dask")

HANG = 120.0

PROGRAM = """
import sys, pytest, dask.threaded
from brummerbus.executor import BusExecutor

made = []

class Adapter(BusExecutor):
    def __init__(self, max_workers=None):
        super().__init__(max_workers, queue_size=100)
        made.append(self)

names = [name for name in vars(dask.threaded) if name.endswith("ThreadPoolExecutor")]
assert names
for name in names:
    setattr(dask.threaded, name, Adapter)
options = ["-q", "-c", "/dev/null", "-p", "no:cacheprovider"]
code = pytest.main([*options, "--pyargs", "dask.tests.test_threaded"])
assert sum(executor.bus.stats().processed for executor in made) > 0
sys.exit(code)
"""


@pytest.fixture(autouse=True)
def no_thread_left() -> None:
    """Instead of the check that all tests have: distributed keeps threads of its own."""


def test_its_own_tests_of_threads_pass(tmp_path: Path) -> None:
    """With the class replaced by which it makes its pools."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
        cwd=tmp_path,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert " passed" in ended.stdout


def test_a_graph_is_computed_in_a_pool_with_less_room_than_the_graph_has_tasks() -> None:
    """Dask submits no more at a time than there are workers."""
    dask = pytest.importorskip("dask")
    with BusExecutor(2, queue_size=2) as executor, dask.config.set(pool=executor):
        total = dask.delayed(sum)([dask.delayed(pow)(n, 2) for n in range(200)])
        assert total.compute(scheduler="threads") == sum(n**2 for n in range(200))
        assert executor.bus.stats().dropped == 0


def test_a_distributed_worker_runs_its_tasks_on_it() -> None:
    """As its default executor."""
    distributed = pytest.importorskip("distributed")
    executor = BusExecutor(2, queue_size=100)

    async def main() -> Any:
        quiet = {"dashboard": False, "host": "127.0.0.1", "port": 0}
        async with (
            distributed.Scheduler(**quiet) as scheduler,
            distributed.Worker(scheduler.address, nthreads=2, executor=executor) as worker,
            distributed.Client(scheduler.address, asynchronous=True) as client,
        ):
            assert worker.executors["default"] is executor
            return await client.gather(client.map(pow, range(300), [2] * 300))

    assert asyncio.run(asyncio.wait_for(main(), HANG)) == [n**2 for n in range(300)]
    stats = executor.bus.stats()
    assert stats.processed >= 300
    assert stats.dropped == 0
    assert executor._shutdown
    assert not any(thread.is_alive() for thread in executor._threads)
