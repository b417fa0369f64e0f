"""What tests of the embedded server share: a machine of its own, and processes that join."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from brummerbus import BusError
from helpers.waiting import HANG

if sys.platform == "win32":
    pytest.skip("the server needs POSIX", allow_module_level=True)

from brummerbus.relay import _nats_server
from brummerbus.relay._embedded import Server
from brummerbus.relay._nats_server import binary

MEMBER = """
import sys
from brummerbus.relay._embedded import join
server = join()
print(server.url, server.token, flush=True)
for line in sys.stdin:
    if line == "revive\\n":
        print(server.revive(), flush=True)
server.leave()
print("left", flush=True)
"""


def servers(folder: Path) -> list[psutil.Process]:
    """Return the servers that run with a configuration in this folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and any(
                str(folder) in word for word in process.cmdline() if word.endswith("nats.conf")
            ):
                found.append(process)
    return found


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine of its own: no other server than those of the test."""
    try:
        binary()
    except BusError as error:
        pytest.skip(str(error))
    for name in ("XDG_RUNTIME_DIR", "XDG_DATA_HOME"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    yield tmp_path
    for left in servers(tmp_path):
        left.kill()


class Member:
    """A process that joins the server."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", MEMBER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def says(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def revive(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("revive\n")
        self.process.stdin.flush()

    def leave(self) -> None:
        out, _ = self.process.communicate(timeout=HANG)
        assert out == "left\n"
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=HANG)


Joining = Callable[[], Member]


@pytest.fixture
def joining() -> Iterator[Joining]:
    """What starts members, and kills those that are left."""
    members: list[Member] = []

    def start() -> Member:
        members.append(Member())
        return members[-1]

    yield start
    for member in members:
        if member.process.poll() is None:
            member.kill()


def runs(server: Server) -> bool:
    return _nats_server.name_at(int(server.url.rpartition(":")[2])) == server._state["name"]
