"""waitress's own functional tests, with a bus as the dispatcher of every server that they start.

Its wheel has no tests: unpack its source distribution (`pip download --no-binary :all: waitress`)
and name the folder in WAITRESS_SOURCE. Left out: `TestThreadedTaskDispatcher`, which looks at the
threads and locks of waitress's own dispatcher, and `test_ctor_makes_dispatcher`, at its class.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = os.environ.get("WAITRESS_SOURCE", "")

PLUGIN = """
import waitress.server
from brummerbus import EventBus
from brummerbus.wsgi import BusDispatcher

def dispatcher():
    return BusDispatcher(EventBus(name="waitress", workers=4, queue_size=100, policy="reject"))

waitress.server.ThreadedTaskDispatcher = dispatcher
"""


@pytest.mark.skipif(not SOURCE, reason="WAITRESS_SOURCE is not set: the wheel has no tests")
@pytest.mark.parametrize("name", ["test_functional.py", "test_server.py", "test_channel.py"])
def test_its_own_tests_pass(tmp_path: Path, name: str) -> None:
    """Servers in processes, with pipelining, chunks, large answers, broken applications."""
    (tmp_path / "with_a_bus.py").write_text(PLUGIN, encoding="utf-8")
    command = f"-m pytest -q -p no:cacheprovider -p with_a_bus -o addopts= tests/{name}"
    left_out = ["--deselect", "tests/test_server.py::TestWSGIServer::test_ctor_makes_dispatcher"]
    done = subprocess.run(
        [sys.executable, *command.split(), *left_out],
        cwd=SOURCE,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    print(done.stdout.splitlines()[-1])
