"""`make relay`, with fewer events: what it says is so, and it notices what is not."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("nats")

from bench.relay_demo import problems
from brummerbus import BusError
from brummerbus.relay._nats_server import binary

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_every_event_arrives_although_the_broker_is_killed() -> None:
    try:
        binary()
    except BusError as error:
        pytest.skip(str(error))
    ended = subprocess.run(
        [sys.executable, "-m", "bench.relay_demo", "--events", "4000"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "the broker was killed with SIGKILL" in ended.stdout
    assert "All counts agree." in ended.stdout, ended.stdout + ended.stderr
    assert ended.returncode == 0


def counted(handled: int, acked: int, out_of_order: int = 0) -> dict[str, object]:
    stats = {"finished": True, "spooled": acked, "acked": acked, "out_of_order": out_of_order}
    return {"counted": stats, "handled": handled}


def test_what_does_not_add_up_is_named() -> None:
    right = {"shop": counted(0, 10), "workshop": counted(10, 10), "ledger": counted(10, 0)}
    assert problems(right, 10) == []
    assert problems({**right, "ledger": counted(9, 0)}, 10) == ["ledger: 10 sent to it, 9 handled"]
    assert problems({**right, "shop": counted(0, 9)}, 10) == ["shop: 10 published, 9 acknowledged"]
    assert problems({**right, "ledger": counted(10, 0, 2)}, 10) == ["ledger: 2 out of order"]
    del right["workshop"]
    assert problems(right, 10) == ["workshop has counted nothing"]
