"""The embedded nats-server: one for all processes, ended by the last that leaves."""

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from brummerbus import BusError
from helpers.processes import in_child
from helpers.waiting import HANG, poll

if sys.platform == "win32":
    pytest.skip("the server needs POSIX", allow_module_level=True)

from brummerbus.relay import _embedded
from brummerbus.relay._embedded import Server, binary, join

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
    return _embedded._name_at(int(server.url.rpartition(":")[2])) == server._state["name"]


# ---- one server ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_processes_that_join_at_once_have_one_server_and_the_last_to_leave_ends_it(
    folder: Path, joining: Joining
) -> None:
    members = [joining() for _ in range(5)]
    assert len({member.says() for member in members}) == 1
    for member in members:
        assert len(servers(folder)) == 1
        member.leave()
    assert servers(folder) == []


def test_the_server_outlives_the_process_that_started_it(folder: Path, joining: Joining) -> None:
    first = joining()
    said = first.says()
    (server,) = servers(folder)
    second = joining()
    assert second.says() == said
    first.leave()
    assert servers(folder) == [server]
    second.leave()
    assert servers(folder) == []


@pytest.mark.slow
def test_a_killed_member_is_counted_out_and_the_last_to_leave_ends_the_server(
    folder: Path, joining: Joining
) -> None:
    first, second = joining(), joining()
    assert first.says() == second.says()
    first.kill()
    assert len(servers(folder)) == 1
    second.leave()
    assert servers(folder) == []


@pytest.mark.slow
def test_who_joins_after_all_members_were_killed_finds_the_server_and_ends_it(
    folder: Path, joining: Joining
) -> None:
    first = joining()
    said = first.says()
    first.kill()
    (server,) = servers(folder)
    second = joining()
    assert second.says() == said
    assert servers(folder) == [server]
    second.leave()
    assert servers(folder) == []


@pytest.mark.slow
def test_who_joins_while_the_last_one_leaves_gets_a_server_that_stays(
    folder: Path, joining: Joining, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = join()
    late: list[Member] = []
    end = _embedded._end

    def end_beside_another(*arguments: Path) -> None:
        late.append(joining())
        # It says nothing before the server has ended; how long it is watched proves nothing more.
        assert late[0].process.stdout
        assert not select.select([late[0].process.stdout], [], [], 1)[0]
        end(*arguments)

    monkeypatch.setattr(_embedded, "_end", end_beside_another)
    server.leave()
    _, token = late[0].says().split()
    assert token != server.token
    assert len(servers(folder)) == 1
    late[0].leave()
    assert servers(folder) == []


def test_a_process_may_join_twice(folder: Path) -> None:
    first, second = join(), join()
    assert first.url == second.url
    first.leave()
    first.leave()
    assert runs(second)
    second.leave()
    assert servers(folder) == []


def test_a_forked_child_is_no_member(folder: Path) -> None:
    server = join()
    # Its end, and its calls, are nothing to the server.
    assert in_child(server.leave) == 0
    assert runs(server)
    # While it lives, it does not keep the server running.
    ready, go = os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        os.close(go[1])
        os.write(ready[1], b"!")
        os.read(go[0], 1)
        os._exit(0)
    try:
        os.read(ready[0], 1)
        server.leave()
        assert servers(folder) == []
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        for descriptor in (*ready, *go):
            os.close(descriptor)


def test_a_child_that_joins_itself_is_a_member(folder: Path) -> None:
    def work() -> None:
        server = join()
        assert runs(server)
        server.leave()

    server = join()
    assert in_child(work) == 0
    assert runs(server)
    server.leave()
    assert in_child(work) == 0
    assert servers(folder) == []


# ---- a server that ended -------------------------------------------------------------------------


@pytest.mark.slow
def test_a_killed_server_is_started_again_once_with_the_same_address_token_and_store(
    folder: Path, joining: Joining
) -> None:
    members = [joining() for _ in range(3)]
    (said,) = {member.says() for member in members}
    (server,) = servers(folder)
    server.kill()
    poll(lambda: servers(folder) == [])
    for member in members:
        member.revive()
    assert sorted(member.says() for member in members) == ["False", "False", "True"]
    assert len(servers(folder)) == 1
    late = joining()
    assert late.says() == said
    for member in (*members, late):
        member.leave()
    assert servers(folder) == []


def test_who_joins_when_the_server_was_killed_starts_it_for_the_others_too(folder: Path) -> None:
    first = join()
    servers(folder)[0].kill()
    poll(lambda: servers(folder) == [])
    second = join()
    assert (second.url, second.token) == (first.url, first.token)
    assert not first.revive()
    first.leave()
    second.leave()
    with pytest.raises(BusError, match="has left"):
        first.revive()


def test_each_server_has_a_token_of_its_own(folder: Path) -> None:
    first = join()
    first.leave()
    second = join()
    second.leave()
    assert len({first.token, second.token}) == 2
    assert min(len(first.token), len(second.token)) >= 40


# ---- who can use it ------------------------------------------------------------------------------


def test_only_this_user_can_read_the_token_and_only_this_machine_can_connect(folder: Path) -> None:
    server = join()
    try:
        runtime = folder / "XDG_RUNTIME_DIR" / "brummerbus"
        holders = [path for path in runtime.iterdir() if server.token in path.read_text()]
        assert {path.name for path in holders} == {"nats.conf", "server.json"}
        assert {path.stat().st_mode & 0o777 for path in holders} == {0o600}
        assert runtime.stat().st_mode & 0o777 == 0o700
        (process,) = servers(folder)
        assert server.token not in " ".join(process.cmdline())
        listening = [c.laddr.ip for c in process.net_connections() if c.status == "LISTEN"]
        assert listening == ["127.0.0.1"]
    finally:
        server.leave()


def test_a_folder_that_others_can_enter_is_refused(folder: Path) -> None:
    runtime = folder / "XDG_RUNTIME_DIR" / "brummerbus"
    runtime.mkdir()
    runtime.chmod(0o755)
    with pytest.raises(BusError, match="brummerbus must be a folder of this user that no other"):
        join()


def test_it_acknowledges_what_it_has_synced(folder: Path) -> None:
    server = join()
    server.leave()
    configuration = (folder / "XDG_RUNTIME_DIR" / "brummerbus" / "nats.conf").read_text()
    assert re.search(r"jetstream \{.*sync_interval: always", configuration)


# ---- what goes wrong -----------------------------------------------------------------------------


def test_without_a_server_the_error_names_the_extra(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(BusError, match=re.escape("pip install 'brummerbus[relay]'")):
        join()


def test_what_a_server_said_that_ended_at_once_is_in_the_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = folder / "nats-server"
    program.write_text("#!/bin/sh\necho no room for me >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(_embedded, "binary", lambda: str(program))
    with pytest.raises(BusError, match=r"ended at once; it said:\n.*no room for me"):
        join()


@pytest.mark.slow
def test_a_port_that_someone_took_meanwhile_is_replaced_by_another(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_port = _embedded._free_port
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = stranger.getsockname()[1]
        ports = [taken]
        monkeypatch.setattr(_embedded, "_free_port", lambda: ports.pop() if ports else free_port())
        server = join()
    assert server.url != f"nats://127.0.0.1:{taken}"
    server.leave()


def test_a_store_that_another_server_uses_is_not_shared(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = join()
    (folder / "other").mkdir()
    with monkeypatch.context() as patched:
        patched.setenv("XDG_RUNTIME_DIR", str(folder / "other"))
        with pytest.raises(BusError, match="set XDG_RUNTIME_DIR"):
            join()
    server.leave()
