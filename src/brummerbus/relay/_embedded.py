"""The embedded nats-server of this machine: the first to join starts it, the last to leave ends it.

Three locks of files, which the kernel releases however a process ends:

    start.lock    exclusive, while a process starts, joins or ends the server
    members.lock  shared, held by each member; who gets it exclusively was the last
    server.lock   exclusive, inherited and held by the server itself: held means that it runs

The first two are in the user's runtime directory, with the address and the token; the third is
beside the store, so that no two servers ever write to one.
"""

import json
import secrets
import sys
from pathlib import Path

from brummerbus._arguments import check_timeout
from brummerbus._errors import BusError
from brummerbus.relay import _nats_server
from brummerbus.relay._filelock import FileLock
from brummerbus.relay._folders import data_directory, runtime_directory, write_private
from brummerbus.relay._nats_server import HOST, State

START_TIMEOUT = 30.0
"""Seconds until a server answers; it needs 0.03, and longer only with a very large store."""

PORTS_TRIED = 5


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
            Whether it was started by this call. Not while one that was killed still holds its
            lock, some ms: call it again.

        Raises:
            BusError: It did not start, or this membership has ended.
        """
        if not self._member.held:
            raise BusError("this process has left the embedded nats-server")
        with FileLock(self._runtime / "start.lock"):
            with FileLock(_nats_server.store_of(self._state) / "server.lock", wait=False) as lock:
                if not lock.held:
                    return False
                _nats_server.launch(self._runtime, self._state, lock)
            _nats_server.wait_ready(self._runtime, self._state, timeout)
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
                    _nats_server.end(self._runtime, _nats_server.store_of(self._state))
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
    runtime, store = runtime_directory(), data_directory()
    with FileLock(runtime / "start.lock"):
        state = _read_state(runtime)
        with FileLock(store / "server.lock", wait=False) as lock:
            if lock.held:
                state = _start(runtime, store, state, lock, timeout)
            elif state is None or state["store"] != str(store):
                raise BusError(_foreign(store))
            else:
                try:
                    _nats_server.wait_ready(runtime, state, timeout)
                except BusError:
                    if not lock.acquire(wait=False):
                        raise
                    # It was killed: until all its threads have ended, it holds its lock.
                    state = _start(runtime, store, state, lock, timeout)
        return Server(runtime, state, FileLock(runtime / "members.lock", shared=True))


def _start(
    runtime: Path, store: Path, state: State | None, lock: FileLock, timeout: float
) -> State:
    """Start a server, whose lock is held; return where it listens."""
    with FileLock(runtime / "members.lock", wait=False) as alone:
        if state is not None and state["store"] == str(store) and not alone.held:
            # It has ended, and its members know this address.
            _nats_server.launch(runtime, state, lock)
            lock.release()
            _nats_server.wait_ready(runtime, state, timeout)
            return state
    for remaining in reversed(range(PORTS_TRIED)):
        state = State(
            port=_nats_server.free_port(),
            token=secrets.token_urlsafe(32),
            name=f"brummerbus-{secrets.token_hex(8)}",
            store=str(store),
        )
        write_private(runtime / "server.json", json.dumps(state))
        _nats_server.launch(runtime, state, lock)
        lock.release()
        try:
            _nats_server.wait_ready(runtime, state, timeout)
            return state
        except BusError:
            # Someone may have taken the port since; what has not ended is no such case.
            again = lock.acquire(wait=False)
            taken = "address already in use" in _nats_server.log_of(runtime)
            if not (remaining and again and taken):
                raise
    raise AssertionError("unreachable")


def _read_state(runtime: Path) -> State | None:
    try:
        state: State = json.loads((runtime / "server.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_one = isinstance(state, dict) and state.keys() == State.__annotations__.keys()
    return state if is_one else None


def _foreign(store: Path) -> str:
    return (
        f"a nats-server uses the store in {store}, but the runtime directory has no address of it: "
        "set XDG_RUNTIME_DIR to what it was when that server was started, or end that server"
    )
