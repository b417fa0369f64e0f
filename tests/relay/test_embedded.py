"""The embedded nats-server: one for all processes, ended by the last that leaves."""

import os
import select
import signal
import sys
from pathlib import Path

import pytest

from brummerbus import BusError
from helpers.processes import in_child
from helpers.waiting import poll

if sys.platform == "win32":
    pytest.skip("the server needs POSIX", allow_module_level=True)

from brummerbus.relay import _nats_server
from brummerbus.relay._embedded import join
from brummerbus.relay._filelock import FileLock
from relay.members import Joining, Member, folder, joining, runs, servers

__all__ = ["folder", "joining"]

STORE = "XDG_DATA_HOME/brummerbus/nats"


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
    end = _nats_server.end

    def end_beside_another(*arguments: Path) -> None:
        late.append(joining())
        # It says nothing before the server has ended; how long it is watched proves nothing more.
        assert late[0].process.stdout
        assert not select.select([late[0].process.stdout], [], [], 1)[0]
        end(*arguments)

    monkeypatch.setattr(_nats_server, "end", end_beside_another)
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


def await_end(folder: Path) -> None:
    """Return when a killed server has released its lock, which is after it is seen to end."""
    poll(lambda: servers(folder) == [] and not _nats_server.runs(folder / STORE))


@pytest.mark.slow
def test_a_killed_server_is_started_again_once_with_the_same_address_token_and_store(
    folder: Path, joining: Joining
) -> None:
    members = [joining() for _ in range(3)]
    (said,) = {member.says() for member in members}
    (server,) = servers(folder)
    server.kill()
    await_end(folder)
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
    await_end(folder)
    second = join()
    assert (second.url, second.token) == (first.url, first.token)
    assert not first.revive()
    first.leave()
    second.leave()
    with pytest.raises(BusError, match="has left"):
        first.revive()


def test_who_joins_while_a_killed_server_still_holds_its_lock_starts_it_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = join()
    servers(folder)[0].kill()
    lock = FileLock(folder / STORE / "server.lock")
    name_at = _nats_server.name_at

    def release(port: int) -> str | None:
        lock.release()
        return name_at(port)

    monkeypatch.setattr(_nats_server, "name_at", release)
    second = join()
    assert (second.url, second.token) == (first.url, first.token)
    assert len(servers(folder)) == 1
    first.leave()
    second.leave()


def test_each_server_has_a_token_of_its_own(folder: Path) -> None:
    first = join()
    first.leave()
    second = join()
    second.leave()
    assert len({first.token, second.token}) == 2
    assert min(len(first.token), len(second.token)) >= 40
