"""Who can use the embedded server, and what is said when it cannot be started."""

import re
import shutil
import socket
import sys
from pathlib import Path

import pytest

from brummerbus import BusError

if sys.platform == "win32":
    pytest.skip("the server needs POSIX", allow_module_level=True)

from brummerbus.relay import Relay, _embedded, _nats_server
from brummerbus.relay._embedded import join
from brummerbus.relay._folders import data_directory, runtime_directory
from helpers.buses import BusFactory
from relay.members import folder, joining, servers

__all__ = ["folder", "joining"]


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


@pytest.mark.parametrize("variable", ["XDG_RUNTIME_DIR", "XDG_DATA_HOME"])
def test_a_folder_that_cannot_be_made_is_named_with_the_variable_that_says_where(
    folder: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_way = folder / "file"
    in_the_way.touch()
    monkeypatch.setenv(variable, str(in_the_way))
    with pytest.raises(BusError, match=f"{in_the_way}.* cannot be used: .*; {variable} says"):
        join()


def test_a_variable_that_is_empty_is_as_good_as_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is not made in the folder that the program happens to run in."""
    monkeypatch.setenv("XDG_DATA_HOME", "")
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.chdir(folder)
    assert data_directory().is_relative_to(folder / "home")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"port": 1}'])
def test_an_address_that_cannot_be_read_is_replaced(folder: Path, text: str) -> None:
    runtime = runtime_directory()
    (runtime / "server.json").write_text(text)
    assert _embedded._read_state(runtime) is None


def test_a_mistake_in_the_arguments_leaves_no_server_behind(
    folder: Path, factory: BusFactory
) -> None:
    with pytest.raises(TypeError, match="nope"):
        Relay(factory.bus(), send=["t"], connect={"nope": 1})
    assert not servers(folder)


def test_it_acknowledges_what_it_has_synced(folder: Path) -> None:
    server = join()
    server.leave()
    configuration = (folder / "XDG_RUNTIME_DIR" / "brummerbus" / "nats.conf").read_text()
    assert re.search(r"jetstream \{.*sync_interval: always", configuration)


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
    monkeypatch.setattr(_nats_server, "binary", lambda: str(program))
    with pytest.raises(BusError, match=r"ended at once; it said:\n.*no room for me"):
        join()


@pytest.mark.slow
def test_a_port_that_someone_took_meanwhile_is_replaced_by_another(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_port = _nats_server.free_port
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = stranger.getsockname()[1]
        ports = [taken]
        monkeypatch.setattr(
            _nats_server, "free_port", lambda: ports.pop() if ports else free_port()
        )
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
