"""A gRPC server on a `BusExecutor` refuses what is too much, and lives.

12 calls at once, 2 workers that are held, room for 2. The server runs in another process: some
settings kill it, which the documentation warns of.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("grpc")

PROGRAM = Path(__file__).with_name("grpc_server.py")
HANG = 100.0


def outcome(policy: str, *, limited: bool) -> Any:
    """Run the server and the calls; return what it says."""
    command = [sys.executable, str(PROGRAM), policy, str(int(limited))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=HANG, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.parametrize("policy", ["reject", "block"])
def test_with_a_limit_of_its_capacity_it_refuses_within_a_second_and_lives(policy: str) -> None:
    """And what it has accepted is answered."""
    assert outcome(policy, limited=True) == {
        "within 1 s": {"RESOURCE_EXHAUSTED": 10, "no answer": 2},
        "later": {"RESOURCE_EXHAUSTED": 10, "OK": 2},
        "a further call": "OK",
    }


@pytest.mark.parametrize("policy", ["reject", "block"])
def test_without_the_limit_it_answers_nothing_any_more(policy: str) -> None:
    """`submit` raises in the one thread of the server, or waits there."""
    said = outcome(policy, limited=False)
    assert said["within 1 s"] == {"no answer": 12}
    assert said["a further call"] == "DEADLINE_EXCEEDED"
